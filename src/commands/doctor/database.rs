//! Checks the database: reachability, version, schema, and privacy.

use std::time::Duration;

use chrono::Utc;
use tokio_postgres::config::{Host, SslMode};

use super::{Findings, machine, privacy};
use crate::config::{Settings, duration};
use crate::db::migrate::{self, Schema};
use crate::db::pool::DatabaseLocation;
use crate::db::{OLDEST_POSTGRES, Pool, health};

const CHECK: &str = "database";
/// Round-trip time above which a sync mostly waits, in milliseconds.
const SLOW: f64 = 20.0;

/// Connects. Returns `None` if the database is unreachable.
pub async fn connect(location: &DatabaseLocation, settings: &Settings, findings: &mut Findings) -> Option<Pool> {
    let connected = async {
        let pool = Pool::new(location.target.clone(), &settings.db)?;
        let first = pool.get().await?;
        drop(first);
        anyhow::Ok(pool)
    };
    match connected.await {
        Ok(pool) => Some(pool),
        Err(error) => {
            findings.fail(CHECK, format!("{error:#}"), "start the server, or correct db.url (`syncctl config show`)");
            None
        }
    }
}

/// Reports a schema of the right version, and which of its indexes are missing.
fn current(missing: anyhow::Result<Vec<String>>, findings: &mut Findings) {
    match missing {
        Ok(missing) if missing.is_empty() => findings.ok("schema", format!("version {}", migrate::newest())),
        Ok(missing) => findings.warn(
            "schema",
            format!(
                "version {}, without {} of its indexes ({}): jobs are slower",
                migrate::newest(),
                missing.len(),
                missing.join(", ")
            ),
            "run `syncctl db migrate`, which builds them while jobs run",
        ),
        Err(error) => findings.attempt("schema", Err(error)),
    }
}

/// Returns whether the schema is the one this version expects.
pub async fn check(pool: &Pool, location: &DatabaseLocation, settings: &Settings, findings: &mut Findings) -> bool {
    let before = Utc::now();
    let server = health::server(pool).await;
    let after = Utc::now();
    let schema = pool.check_schema().await;
    let is_current = matches!(schema, Ok(Schema::Current));
    match server {
        Ok(server) => {
            report_server(&server, location, findings);
            machine::compare(findings, "the database's", server.now, before, after);
            rights(&server, is_current, findings);
        }
        Err(error) => findings.attempt(CHECK, Err(error)),
    }
    match schema {
        Ok(Schema::Current) => current(health::missing_indexes(pool).await, findings),
        Ok(Schema::Behind { version }) if location.migrates_itself(&settings.db) => {
            findings.warn(
                "schema",
                format!("version {version} of {}", migrate::newest()),
                "none needed: the next command brings it up to date",
            );
        }
        Ok(schema) => {
            let message = schema.must_be_current().err().map_or_else(String::new, |fault| fault.to_string());
            findings.fail(
                "schema",
                message,
                "run `syncctl db migrate` with a role that may create tables, or use the matching version of syncctl",
            );
        }
        Err(error) => findings.attempt("schema", Err(error)),
    }
    let checked = check_pooler(pool, findings).await;
    findings.attempt(CHECK, checked);
    let checked = privacy::check(pool, findings).await;
    findings.attempt("privacy", checked);
    let checked = transactions(pool, settings, findings).await;
    findings.attempt("transactions", checked);
    is_current
}

fn report_server(server: &health::Server, location: &DatabaseLocation, findings: &mut Findings) {
    let message = format!("PostgreSQL {}, {:.1} MB ({})", server.version, server.bytes as f64 / 1e6, location.target.display());
    // 150018 is 15.18.
    if server.number / 10_000 >= OLDEST_POSTGRES as i32 {
        findings.ok(CHECK, message)
    } else {
        findings.fail(CHECK, message, format!("upgrade the server: syncctl needs PostgreSQL {OLDEST_POSTGRES} or newer"))
    }
    let config = location.target.config();
    let is_local = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    });
    tls(is_local, server.tls.as_deref(), config.get_ssl_mode(), findings);
}

fn tls(is_local: bool, tls: Option<&str>, mode: SslMode, findings: &mut Findings) {
    match (tls, mode) {
        _ if is_local => findings.ok("tls", "not needed: the server is on this machine"),
        (Some(version), SslMode::Require) => findings.ok("tls", format!("{version}, and unencrypted connections are refused")),
        (Some(version), _) => findings.warn(
            "tls",
            format!("{version}, but unencrypted connections are accepted too"),
            "set sslmode=verify-full (with sslrootcert if the authority is your own) in db.url",
        ),
        (None, _) => findings.fail(
            "tls",
            "the connection to the server is not encrypted: tokens and mail cross the network in plain text",
            "set sslmode=verify-full in db.url, and give the server (or the pooler's connection to it) a certificate",
        ),
    }
}

fn rights(server: &health::Server, is_current: bool, findings: &mut Findings) {
    let role = &server.role;
    match (server.may_create, is_current) {
        (true, _) => findings.ok("role", format!("{role:?} may create tables, so it can migrate")),
        (false, true) => findings.ok("role", format!("{role:?} cannot create tables: migrations need another role")),
        (false, false) => {
            findings.fail(
                "role",
                format!("{role:?} cannot create tables, and the schema is not current"),
                "run `syncctl db migrate` as the owner of the schema",
            );
        }
    }
}

async fn check_pooler(pool: &Pool, findings: &mut Findings) -> anyhow::Result<()> {
    let latency = health::latency(pool).await?.as_secs_f64() * 1e3;
    let message = format!("a round trip takes {latency:.2} ms");
    if latency > SLOW {
        findings.warn("latency", message, "run syncctl closer to its database: each page of a stream takes several round trips")
    } else {
        findings.ok("latency", message)
    }
    findings.ok(
        "pooler",
        if health::shares_processes(pool).await? {
            "a pooler in transaction mode: syncctl works with it"
        } else {
            "none, or one in session mode"
        },
    );
    Ok(())
}

/// Reports transactions open for longer than a lease: runs cannot get the locks they hold.
async fn transactions(pool: &Pool, settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    const CHECK: &str = "transactions";
    let lease = settings.engine.lease;
    let open = health::open_transactions(pool, lease.as_secs_f64()).await?;
    if open.is_empty() {
        findings.ok(CHECK, format!("no transaction has been open for longer than {}", duration::text(lease)));
    }
    for health::OpenTransaction { pid, application, host, state, age, waiting } in open {
        let from = host.map_or_else(|| "by the server's socket".into(), |host| format!("from {host}"));
        let age = duration::text(Duration::from_secs(age as u64));
        let message = format!("process {pid} ({application:?} {from}) has a transaction open for {age}, {state}");
        let remedy = format!("end it in its application, or with `SELECT pg_terminate_backend({pid})` in `syncctl db psql`");
        match waiting {
            0 => findings.warn(CHECK, message, remedy),
            1 => findings.fail(CHECK, format!("{message}; 1 statement waits for it"), remedy),
            waiting => findings.fail(CHECK, format!("{message}; {waiting} statements wait for it"), remedy),
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
            let mut findings = Findings::default();
            tls(is_local, version, mode, &mut findings);
            assert_eq!(findings.0[0].level, expected, "{is_local} {version:?} {mode:?}");
        }
    }
}
