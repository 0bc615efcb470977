//! Connection strings: libpq's URLs and keywords, with libpq's TLS rules. Opens no connection.

mod explain;
mod keywords;
mod libpq_files;
mod tls;

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Fault;
use keywords::Pairs;
use libpq_files::Variables;
use tls::{Roots, Trust};

pub use explain::explain;

/// TCP keepalives: an unreachable server is given up within half a minute, not after the two-hour default of most systems. The values are the idle
/// seconds before the first probe, the seconds between probes, and the number of probes.
const KEEPALIVES: [(&str, &str); 3] = [("keepalives_idle", "10"), ("keepalives_interval", "5"), ("keepalives_count", "3")];
/// The same for sent data that is not acknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// A database to connect to. Its `Debug` output and `display` contain no password.
#[derive(Clone)]
pub struct Target {
    config: Config,
    trust: Trust,
    client_cert: Option<(String, String)>,
    variables: Vec<(String, String)>,
    shown: String,
    schema: String,
}

impl Target {
    /// Parses a URL (`postgres://`, `postgresql://`) or keywords (`host=… dbname=…`) as libpq does, without the environment.
    ///
    /// `password` and `connect_timeout` apply if the URL has none.
    ///
    /// # Errors
    /// Returns `Fault::settings` with the key and its allowed values.
    pub fn parse(url: &str, password: Option<&str>, connect_timeout: Duration) -> Result<Self, Fault> {
        Self::completed(url, password, connect_timeout, &|_| None)
    }

    /// The same, completed from libpq's service file, PGPASSWORD and password file. An empty URL stands for the service that PGSERVICE names.
    ///
    /// # Errors
    /// Returns `Fault::settings` with the key and its allowed values, or with the file and what is wrong in it.
    pub fn with_environment(url: &str, password: Option<&str>, connect_timeout: Duration) -> Result<Self, Fault> {
        Self::completed(url, password, connect_timeout, &variable)
    }

    fn completed(url: &str, password: Option<&str>, connect_timeout: Duration, variable: Variables<'_>) -> Result<Self, Fault> {
        let pairs = if url.is_empty() && variable("PGSERVICE").is_some() { Ok(Pairs::default()) } else { Pairs::parse(url) };
        pairs
            .and_then(|pairs| Self::from_pairs(pairs, password, connect_timeout, variable))
            .map_err(|reason| Fault::settings(format!("db.url: {reason}")))
    }

    fn from_pairs(
        mut pairs: Pairs,
        password: Option<&str>,
        connect_timeout: Duration,
        variable: Variables<'_>,
    ) -> Result<Self, String> {
        let pairs = &mut pairs;
        libpq_files::add_service(pairs, variable)?;
        let passfile = pairs.take("passfile");
        let mut variables = pairs.variables();
        let (mode, trust) = trust(pairs)?;
        let client_cert = match (pairs.take("sslcert"), pairs.take("sslkey")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("sslcert and sslkey must be set together".into()),
        };
        let name = pairs.take("application_name").or_else(|| pairs.take("fallback_application_name"));
        pairs.take_ignored()?;
        default_host(pairs);
        let password = match (pairs.get("password"), password) {
            (Some(_), _) => None,
            (None, Some(password)) => Some(password.to_owned()),
            (None, None) => libpq_files::password(pairs, passfile, variable)?,
        };
        for (key, value) in KEEPALIVES.into_iter().filter(|(key, _)| pairs.get(key).is_none()).collect::<Vec<_>>() {
            pairs.set(key, value.into());
        }

        let mut config: Config = pairs.keywords().parse().map_err(|error| reason(&error))?;
        config.application_name(name.unwrap_or_else(default_name));
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(USER_TIMEOUT);
        }
        if let Some(password) = password {
            config.password(&password);
            variables.push(("PGPASSWORD".into(), password));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(connect_timeout);
        }
        // PostgreSQL has no TLS on unix sockets; libpq ignores sslmode there.
        let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(if local { SslMode::Disable } else { mode });
        Ok(Self { trust, client_cert, variables, shown: shown(&config), config, schema: String::new() })
    }

    /// The same database with this schema (`db.schema`).
    pub fn with_schema(self, schema: &str) -> Self {
        Self { schema: schema.to_owned(), ..self }
    }

    /// The schema of the tables; empty if it is to be found (see `search_path`).
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The configuration for tokio-postgres, without TLS; also accepted by `postgres::Config::from`.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// The TLS connector that `sslmode` and `sslrootcert` require, for both tokio-postgres and postgres.
    ///
    /// Reads the certificates on every call; those of the platform only if needed (verify-full without sslrootcert).
    ///
    /// # Errors
    /// Returns `Fault::settings` if a certificate cannot be read.
    pub fn tls(&self) -> anyhow::Result<MakeRustlsConnect> {
        // A connection without TLS must not fail because of a certificate it does not use.
        let plain = self.config.get_ssl_mode() == SslMode::Disable;
        let trust = if plain { &Trust::Anyone } else { &self.trust };
        let client_cert = self.client_cert.as_ref().filter(|_| !plain);
        tls::connector(trust, client_cert)
    }

    /// The same as environment variables of libpq, for its programs: arguments would expose the password to other users.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Host, port and database, for messages.
    pub fn display(&self) -> String {
        self.shown.clone()
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.shown).finish()
    }
}

/// Whether a service for libpq is configured in the environment of this process.
pub fn names_a_service() -> bool {
    variable("PGSERVICE").is_some()
}

/// A variable of the environment of this process. Like libpq, ignores empty ones.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Maps `sslmode` and `sslrootcert` to the required verification and its roots, by libpq's rules.
fn trust(pairs: &mut Pairs) -> Result<(SslMode, Trust), String> {
    let mode = pairs.take("sslmode").filter(|mode| !mode.is_empty());
    let roots = match pairs.take("sslrootcert").filter(|roots| !roots.is_empty()) {
        Some(roots) if roots == "system" => Some(Roots::Platform),
        Some(path) => Some(Roots::File(path)),
        None => None,
    };
    let platform = matches!(roots, Some(Roots::Platform));
    let default = if platform { "verify-full" } else { "prefer" };
    let mode = mode.unwrap_or_else(|| default.into());
    Ok(match (mode.as_str(), roots) {
        ("verify-full", roots) => (SslMode::Require, Trust::Name(roots.unwrap_or(Roots::Platform))),
        // Anyone can get a certificate for some name from the platform's authorities.
        ("disable" | "allow" | "prefer" | "require" | "verify-ca", Some(Roots::Platform)) => {
            return Err(format!("sslmode={mode} is too weak for sslrootcert=system: use sslmode=verify-full"));
        }
        ("verify-ca", None) => return Err("sslmode=verify-ca needs sslrootcert, the file with the CA certificate".into()),
        ("verify-ca" | "require", Some(roots)) => (SslMode::Require, Trust::Chain(roots)),
        ("require", None) => (SslMode::Require, Trust::Anyone),
        ("prefer" | "allow", _) => (SslMode::Prefer, Trust::Anyone),
        ("disable", _) => (SslMode::Disable, Trust::Anyone),
        _ => {
            let allowed = "disable, allow, prefer, require, verify-ca or verify-full";
            return Err(format!("sslmode is not one of {allowed}"));
        }
    })
}

/// The default application name, `syncctl on HOST`: behind a pooler the server only sees the pooler's address. The server keeps 63 bytes of it.
fn default_name() -> String {
    format!("syncctl on {}", super::host::host())
}

/// Sets libpq's default host if none is given.
fn default_host(pairs: &mut Pairs) {
    let named = |key: &str| pairs.get(key).is_some_and(|value| !value.is_empty());
    if named("host") {
        return;
    }
    let host = match (pairs.get("hostaddr"), std::path::Path::new("/var/run/postgresql").is_dir()) {
        // TLS needs a name, and the address is the only one.
        (Some(address), _) => address.to_owned(),
        (None, true) => "/var/run/postgresql".into(),
        (None, false) => "localhost".into(),
    };
    pairs.set("host", host);
}

fn shown(config: &Config) -> String {
    let port = |at: usize| config.get_ports().get(at).or(config.get_ports().first()).copied().unwrap_or(5432);
    let host = |(at, host): (usize, &Host)| match host {
        Host::Tcp(host) if host.contains(':') => format!("[{host}]:{}", port(at)),
        Host::Tcp(host) => format!("{host}:{}", port(at)),
        Host::Unix(path) if port(at) == 5432 => path.display().to_string(),
        Host::Unix(path) => format!("{} (port {})", path.display(), port(at)),
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    let database = config.get_dbname().or(config.get_user());
    let database = database.map_or_else(|| "the default database".into(), |name| format!("database {name}"));
    format!("{database} on {}", hosts.join(", "))
}

fn reason(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
