//! The database: whether it answers, is recent enough, has our schema, and keeps to itself what it should.

use std::time::Duration;

use chrono::Utc;
use tokio_postgres::config::{Host, SslMode};

use super::{Findings, machine, privacy};
use crate::config::{Settings, duration};
use crate::db::migrate::{self, Schema};
use crate::db::pool::DatabaseLocation;
use crate::db::{OLDEST_POSTGRES, Pool, health};

const CHECK: &str = "database";
/// Round trips from which on a sync waits more than it works, in milliseconds.
const SLOW: f64 = 20.0;

/// Connects. `None`: it cannot be reached.
pub async fn connect(place: &DatabaseLocation, settings: &Settings, found: &mut Findings) -> Option<Pool> {
    let connected = async {
        let pool = Pool::new(place.target.clone(), &settings.db)?;
        let first = pool.get().await?;
        drop(first);
        anyhow::Ok(pool)
    };
    match connected.await {
        Ok(pool) => Some(pool),
        Err(error) => {
            found.fail(CHECK, format!("{error:#}"), "start the server, or correct db.url (`syncctl config show`)");
            None
        }
    }
}

/// Answers whether the tables are those that this version knows.
pub async fn check(pool: &Pool, place: &DatabaseLocation, settings: &Settings, found: &mut Findings) -> bool {
    let before = Utc::now();
    let server = health::server(pool).await;
    let after = Utc::now();
    let schema = pool.check_schema().await;
    let is_current = matches!(schema, Ok(Schema::Current));
    match server {
        Ok(server) => {
            report_server(&server, place, found);
            machine::compare(found, "the database's", server.now, before, after);
            rights(&server, is_current, found);
        }
        Err(error) => found.attempt(CHECK, Err(error)),
    }
    match schema {
        Ok(Schema::Current) => found.ok("schema", format!("version {}", migrate::newest())),
        Ok(Schema::Behind { version }) if place.migrates_itself(&settings.db) => {
            found.warn(
                "schema",
                format!("version {version} of {}", migrate::newest()),
                "nothing: the next command brings it up to date",
            );
        }
        Ok(schema) => {
            let message = schema.must_be_current().err().map_or_else(String::new, |fault| fault.to_string());
            found.fail("schema", message, "`syncctl db migrate` with a role that may make tables, or the matching syncctl");
        }
        Err(error) => found.attempt("schema", Err(error)),
    }
    let checked = check_pooler(pool, found).await;
    found.attempt(CHECK, checked);
    let checked = privacy::check(pool, found).await;
    found.attempt("privacy", checked);
    let checked = transactions(pool, settings, found).await;
    found.attempt("transactions", checked);
    is_current
}

fn report_server(server: &health::Server, place: &DatabaseLocation, found: &mut Findings) {
    let message = format!("PostgreSQL {}, {:.1} MB ({})", server.version, server.bytes as f64 / 1e6, place.target.display());
    // 150018 is 15.18.
    match server.number / 10_000 >= OLDEST_POSTGRES as i32 {
        true => found.ok(CHECK, message),
        false => found.fail(CHECK, message, format!("upgrade the server: syncctl needs PostgreSQL {OLDEST_POSTGRES} or newer")),
    }
    let config = place.target.config();
    let is_local = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    });
    tls(is_local, server.tls.as_deref(), config.get_ssl_mode(), found);
}

fn tls(is_local: bool, tls: Option<&str>, mode: SslMode, found: &mut Findings) {
    match (tls, mode) {
        _ if is_local => found.ok("tls", "not needed: the server is on this machine"),
        (Some(version), SslMode::Require) => found.ok("tls", format!("{version}, and plain connections are refused")),
        (Some(version), _) => found.warn(
            "tls",
            format!("{version}, but a plain connection would do too"),
            "set sslmode=verify-full (with sslrootcert where the authority is your own) in db.url",
        ),
        (None, _) => found.fail(
            "tls",
            "the server's connection is not encrypted: tokens and mail cross the network as they are",
            "set sslmode=verify-full in db.url, and give the server (or the pooler's way to it) a certificate",
        ),
    }
}

fn rights(server: &health::Server, is_current: bool, found: &mut Findings) {
    let role = &server.role;
    match (server.may_create, is_current) {
        (true, _) => found.ok("role", format!("{role:?} may make tables, so it can migrate")),
        (false, true) => found.ok("role", format!("{role:?} may not make tables: migrations need another role")),
        (false, false) => {
            found.fail(
                "role",
                format!("{role:?} may not make tables, and the schema is not current"),
                "run `syncctl db migrate` as the owner of the schema",
            );
        }
    }
}

async fn check_pooler(pool: &Pool, found: &mut Findings) -> anyhow::Result<()> {
    let latency = health::latency(pool).await?.as_secs_f64() * 1e3;
    let message = format!("a round trip takes {latency:.2} ms");
    match latency > SLOW {
        true => {
            found.warn("latency", message, "run syncctl nearer to its database: each page of a stream takes several round trips")
        }
        false => found.ok("latency", message),
    }
    found.ok(
        "pooler",
        match health::shares_processes(pool).await? {
            true => "a pooler in transaction mode: syncctl works with it",
            false => "none, or one in session mode",
        },
    );
    Ok(())
}

/// Those that have been open for longer than a lease: what they hold, no run gets.
async fn transactions(pool: &Pool, settings: &Settings, found: &mut Findings) -> anyhow::Result<()> {
    const CHECK: &str = "transactions";
    let lease = settings.engine.lease;
    let open = health::open_transactions(pool, lease.as_secs_f64()).await?;
    if open.is_empty() {
        found.ok(CHECK, format!("none is open for longer than {}", duration::text(lease)));
    }
    for health::OpenTransaction { pid, application, host, state, age, waiting } in open {
        let from = host.map_or_else(|| "by the server's socket".into(), |host| format!("from {host}"));
        let age = duration::text(Duration::from_secs(age as u64));
        let message = format!("process {pid} ({application:?} {from}) has a transaction open for {age}, {state}");
        let remedy = format!("end it where it was begun, or by `SELECT pg_terminate_backend({pid})` in `syncctl db psql`");
        match waiting {
            0 => found.warn(CHECK, message, remedy),
            1 => found.fail(CHECK, format!("{message}; 1 statement waits for it"), remedy),
            waiting => found.fail(CHECK, format!("{message}; {waiting} statements wait for it"), remedy),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn tls_matters_between_machines_only() {
        let table = [
            (true, None, SslMode::Disable, Level::Ok),
            (false, Some("TLSv1.3"), SslMode::Require, Level::Ok),
            (false, Some("TLSv1.3"), SslMode::Prefer, Level::Warn),
            (false, None, SslMode::Prefer, Level::Fail),
        ];
        for (is_local, version, mode, expected) in table {
            let mut found = Findings::default();
            tls(is_local, version, mode, &mut found);
            assert_eq!(found.0[0].level, expected, "{is_local} {version:?} {mode:?}");
        }
    }
}
