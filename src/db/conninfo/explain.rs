//! Maps connection errors to a one-line explanation and an exit code. Performs no I/O.

use std::error::Error as _;
use std::io;

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::Target;
use crate::error::Fault;

/// Explains why connecting to `target` failed: the problem, the target and the remedy. Never contains the password.
pub fn explain(error: &Error, target: &Target) -> Fault {
    if let Some(refusal) = error.as_db_error() {
        return refused(refusal, target);
    }
    let server = target.display();
    let causes = causes(error);
    if let Some(reason) = causes.iter().find_map(|cause| cause.downcast_ref()).and_then(tls_reason) {
        return Fault::unavailable(format!("{server}: {reason}"));
    }
    let text = causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    if text.contains("server does not support TLS") {
        let reason =
            "the server does not support TLS, which sslmode requires (set sslmode=prefer or disable if that is acceptable)";
        return Fault::unavailable(format!("{server}: {reason}"));
    }
    if text.contains("password missing") {
        let message = format!(
            "{server}: the server asks for a password and none is set (db.password, in db.url, PGPASSWORD, or ~/.pgpass)"
        );
        return Fault::refused(message);
    }
    if error.to_string() == "authentication error" {
        return Fault::refused(format!("{server}: {text}"));
    }
    match causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()) {
        Some(error) => Fault::unavailable(format!("cannot reach {server}: {}", unreachable(error))),
        None => Fault::unavailable(format!("cannot connect to {server}: {text}")),
    }
}

/// Explains an error response of the server.
fn refused(error: &DbError, target: &Target) -> Fault {
    let server = target.display();
    let message = error.message();
    let code = error.code();
    // PgBouncer uses one code for many of these errors, so its text decides.
    let pooler_says = |part: &str| *code == SqlState::PROTOCOL_VIOLATION && message.contains(part);
    if *code == SqlState::INVALID_CATALOG_NAME || pooler_says("no such database") || pooler_says("does not exist") {
        let name = target.config.get_dbname().or(target.config.get_user()).unwrap_or_default();
        let text = format!("{server}: there is no such database: create it with `createdb {name}`, or correct db.url");
        return Fault::unavailable(text);
    }
    let user = target.config.get_user().unwrap_or_default();
    if *code == SqlState::INVALID_PASSWORD
        || pooler_says("password authentication failed")
        || pooler_says("no such user")
        || pooler_says("SASL")
    {
        return Fault::refused(format!("{server}: wrong password for user {user:?}, or no such user ({message})"));
    }
    if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION || *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return Fault::refused(format!("{server}: user {user:?} is not allowed to connect: {message}"));
    }
    if *code == SqlState::TOO_MANY_CONNECTIONS || pooler_says("no more connections allowed") {
        let text =
            format!("{server}: too many connections ({message}): lower db.pool_size, or raise the server's max_connections");
        return Fault::unavailable(text);
    }
    Fault::unavailable(format!("{server}: {message} ({})", code.code()))
}

fn unreachable(error: &io::Error) -> String {
    let detail = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".into(),
        io::ErrorKind::NotFound => "there is no such socket: the server is not running, or listens elsewhere".into(),
        io::ErrorKind::TimedOut => "no answer in time (db.connect_timeout)".into(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            format!("the server closed the connection ({detail})")
        }
        _ if detail.contains("failed to lookup address") => "there is no such host".into(),
        _ => detail,
    }
}

fn tls_reason(error: &rustls::Error) -> Option<String> {
    let reason = match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "it is signed by an authority that is not trusted here (sslrootcert names the file of the right one)".into()
            }
            CertificateError::NotValidForName => "it is for another host name".into(),
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                "it names no host at all (subjectAltName)".into()
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                format!("it is for {}, not for {}", names.join(", "), expected.to_str())
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".into(),
            other => other.to_string(),
        },
        other => return Some(format!("TLS: {other}")),
    };
    Some(format!("the server's certificate is refused: {reason}"))
}

/// Extracts `localhost` from `DnsName("localhost")`, the format of rustls.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

/// The error and its causes. `source` skips the error inside an `io::Error`, so that one is added.
fn causes<'a>(error: &'a Error) -> Vec<&'a (dyn std::error::Error + 'static)> {
    let mut causes: Vec<&'a (dyn std::error::Error + 'static)> = vec![error];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        };
    }
    causes
}
