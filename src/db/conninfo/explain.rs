//! Why a connection failed, on one line, with the exit code that fits. Connects to nothing.

use std::error::Error as _;
use std::io;

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::Target;
use crate::error::Fault;

/// Says why connecting to `target` failed: what is wrong, where, what to do. Never the password.
pub fn explain(error: &Error, target: &Target) -> Fault {
    if let Some(refusal) = error.as_db_error() {
        return refused(refusal, target);
    }
    let place = target.display();
    let causes = causes(error);
    if let Some(reason) = causes.iter().find_map(|cause| cause.downcast_ref()).and_then(tls_reason) {
        return Fault::unavailable(format!("{place}: {reason}"));
    }
    let text = causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    if text.contains("server does not support TLS") {
        let reason = "the server has no TLS, which sslmode asks for (set sslmode=prefer or disable if that is acceptable)";
        return Fault::unavailable(format!("{place}: {reason}"));
    }
    if text.contains("password missing") {
        let message = format!("{place}: the server asks for a password and none is set (db.password, or in db.url)");
        return Fault::refused(message);
    }
    if error.to_string() == "authentication error" {
        return Fault::refused(format!("{place}: {text}"));
    }
    match causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()) {
        Some(error) => Fault::unavailable(format!("cannot reach {place}: {}", unreachable(error))),
        None => Fault::unavailable(format!("cannot connect to {place}: {text}")),
    }
}

/// The server answered, and said no.
fn refused(error: &DbError, target: &Target) -> Fault {
    let place = target.display();
    let said = error.message();
    let code = error.code();
    // PgBouncer says much of this with one code, so its words have to tell.
    let words = |part: &str| *code == SqlState::PROTOCOL_VIOLATION && said.contains(part);
    if *code == SqlState::INVALID_CATALOG_NAME || words("no such database") || words("does not exist") {
        let name = target.config.get_dbname().or(target.config.get_user()).unwrap_or_default();
        let message = format!("{place}: there is no such database: create it with `createdb {name}`, or correct db.url");
        return Fault::unavailable(message);
    }
    let user = target.config.get_user().unwrap_or_default();
    if *code == SqlState::INVALID_PASSWORD || words("password authentication failed") || words("no such user") || words("SASL") {
        return Fault::refused(format!("{place}: wrong password for user {user:?}, or no such user ({said})"));
    }
    if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION || *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return Fault::refused(format!("{place}: user {user:?} is not let in: {said}"));
    }
    if *code == SqlState::TOO_MANY_CONNECTIONS || words("no more connections allowed") {
        let message =
            format!("{place}: too many connections ({said}): lower db.pool_size, or raise the server's max_connections");
        return Fault::unavailable(message);
    }
    Fault::unavailable(format!("{place}: {said} ({})", code.code()))
}

fn unreachable(error: &io::Error) -> String {
    let detail = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".into(),
        io::ErrorKind::NotFound => "there is no such socket: the server does not run, or listens elsewhere".into(),
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

/// `DnsName("localhost")`, as rustls writes it → `localhost`
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

/// The error and what is behind it. An `io::Error` hides what it carries from `source`.
fn causes<'a>(error: &'a Error) -> Vec<&'a (dyn std::error::Error + 'static)> {
    let mut causes: Vec<&'a (dyn std::error::Error + 'static)> = vec![error];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        let carried = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        };
    }
    causes
}
