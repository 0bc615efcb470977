//! Database connections: with and without TLS, through a pooler, and their error messages.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use postgres::types::Type;
use syncctl::db::conninfo::{Target, explain};
use syncctl::error::{Exit, Fault};

use crate::support::postgres as server;
use crate::support::{pgbouncer, tls};

fn target(url: &str) -> Target {
    Target::parse(url, None, Duration::from_secs(10)).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Connects without a runtime; errors are explained.
fn connect(url: &str) -> Result<postgres::Client, Fault> {
    let target = target(url);
    let tls = target.tls().unwrap_or_else(|error| panic!("{error:#}"));
    postgres::Config::from(target.config()).connect(tls).map_err(|error| explain(&error, &target))
}

#[track_caller]
fn assert_refused(url: &str, exit: Exit, expected: &str) {
    let fault = connect(url).err().expect("refused");
    assert!(fault.exit == exit && fault.message.contains(expected), "{fault:?}");
    assert!(!fault.message.contains(tls::PASSWORD), "{fault}");
}

fn is_encrypted(url: &str) -> bool {
    let mut client = connect(url).unwrap_or_else(|fault| panic!("{url}: {fault}"));
    client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).expect("a row").get(0)
}

#[test]
fn a_server_that_proves_who_it_is_is_let_in() {
    let server = tls::server();
    assert!(is_encrypted(&server.url_verify_full()));
    assert!(is_encrypted(&server.url("127.0.0.1", "verify-ca", Some(&server.ca()))), "the name does not count");
    assert!(is_encrypted(&server.url("127.0.0.1", "require", None)), "nothing counts");
    assert!(is_encrypted(&server.url("127.0.0.1", "prefer", None)));
    assert!(!is_encrypted(&server.url("127.0.0.1", "disable", None)));
}

#[test]
fn an_unverified_server_is_refused_with_the_reason() {
    let server = tls::server();
    let (ca, other) = (server.ca(), server.other_ca());
    let signed = "signed by an authority that is not trusted here";
    assert_refused(&server.url("localhost", "verify-full", Some(&other)), Exit::Unavailable, signed);
    assert_refused(&server.url("localhost", "verify-ca", Some(&other)), Exit::Unavailable, signed);
    assert_refused(&server.url("localhost", "require", Some(&other)), Exit::Unavailable, signed);
    assert_refused(&server.url("localhost", "verify-full", None), Exit::Unavailable, signed);
    let name = "it is for localhost, not for 127.0.0.1";
    assert_refused(&server.url("127.0.0.1", "verify-full", Some(&ca)), Exit::Unavailable, name);
}

#[test]
fn a_failed_connection_says_what_is_wrong() {
    let server = tls::server();
    let good = server.url_verify_full();
    let wrong = good.replacen(":p%40", ":wrong-", 1);
    assert_refused(&wrong, Exit::Refused, "wrong password for user \"tess\"");
    assert_refused(&good.replacen(":p%40ss%2Fw0rd%25", "", 1), Exit::Refused, "asks for a password and none is set");
    let name = server.database.name();
    let missing = good.replacen(&format!("/{name}?"), "/nowhere?", 1);
    assert_refused(&missing, Exit::Unavailable, "there is no such database: create it with `createdb nowhere`");

    let port = pgbouncer::free_port();
    assert_refused(&format!("postgres://u@127.0.0.1:{port}/d"), Exit::Unavailable, "nothing listens there");
    assert_refused(
        "postgres://u@no-such-host.invalid/d",
        Exit::Unavailable,
        "cannot reach database d on no-such-host.invalid:5432",
    );
    assert_refused("host=/no/such/folder user=u dbname=d", Exit::Unavailable, "there is no such socket");

    server.database.connect().batch_execute("CREATE ROLE crowd LOGIN PASSWORD 'x' CONNECTION LIMIT 0").expect("a role");
    let crowd = good.replacen("tess:p%40ss%2Fw0rd%25", "crowd:x", 1);
    assert_refused(&crowd, Exit::Unavailable, "too many connections");
}

#[test]
fn the_program_uses_libpqs_service_and_password_files() {
    let server = tls::server();
    let folder = tempfile::tempdir().expect("a folder");
    let (port, database, ca) = (server.port(), server.database.name(), server.ca());
    let service = format!(
        "[mine]\nhost=localhost\nport={port}\nuser={}\ndbname={database}\nsslmode=verify-full\nsslrootcert={}\n",
        tls::USER,
        ca.display()
    );
    fs::write(folder.path().join(".pg_service.conf"), service).expect("the services");
    let passwords = folder.path().join(".pgpass");
    fs::write(&passwords, format!("localhost:{port}:{database}:{}:{}\n", tls::USER, tls::PASSWORD)).expect("the passwords");
    let status = |mode: u32, variables: &[(&str, &str)]| {
        fs::set_permissions(&passwords, fs::Permissions::from_mode(mode)).expect("a mode");
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncctl"));
        command.args(["db", "status"]).env_clear().env("HOME", folder.path()).env("PGSERVICE", "mine");
        let output = command.envs(variables.iter().copied()).output().expect("the binary starts");
        (output.status.code(), [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    };
    let (code, text) = status(0o600, &[]);
    assert!(code == Some(0) && text.contains(&format!("database {database} on localhost:{port}")), "{code:?}: {text}");
    let (code, text) = status(0o644, &[]);
    assert!(code == Some(77) && text.contains("others may read or change it (mode 0644)"), "{code:?}: {text}");
    let (code, text) = status(0o644, &[("PGPASSWORD", tls::PASSWORD)]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = status(0o600, &[("PGSERVICE", "other")]);
    assert!(code == Some(78) && text.contains("there is no service \"other\" in "), "{code:?}: {text}");
}

#[test]
fn a_pooler_in_transaction_mode_serves_more_clients_than_it_has_connections() {
    let database = server::shared().database();
    let bouncer = pgbouncer::start(server::shared());
    let url = bouncer.url(database.name());
    let clients = 2 * pgbouncer::SERVER_CONNECTIONS;
    let mut clients: Vec<_> = (0..clients).map(|_| connect(&url).unwrap_or_else(|fault| panic!("{fault}"))).collect();
    let mut backends = HashSet::new();
    for round in 0..3_i32 {
        for (number, client) in clients.iter_mut().enumerate() {
            let number = i32::try_from(number).expect("few clients");
            let mut tx = client.transaction().expect("a transaction");
            let sum = "SELECT $1 + $2, pg_backend_pid()";
            let rows = tx.query_typed(sum, &[(&round, Type::INT4), (&number, Type::INT4)]).expect("an answer");
            assert_eq!(rows[0].get::<_, i32>(0), round + number);
            backends.insert(rows[0].get::<_, i32>(1));
            tx.commit().expect("a commit");
        }
    }
    assert!(backends.len() <= pgbouncer::SERVER_CONNECTIONS, "{backends:?}");

    let has_no_tls = format!("{url}?sslmode=require");
    assert_refused(&has_no_tls, Exit::Unavailable, "the server does not support TLS, which sslmode requires");
    assert_refused(&bouncer.url("nowhere"), Exit::Unavailable, "there is no such database");
}
