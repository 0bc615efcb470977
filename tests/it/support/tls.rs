//! A PostgreSQL server with TLS on a port of 127.0.0.1 that requires a password. Its certificate is only for `localhost`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::pgbouncer::free_port;
use super::postgres::{Database, Postgres};

pub const USER: &str = "tess";
pub const PASSWORD: &str = "p@ss/w0rd%";
/// The password, URL-encoded.
const PASSWORD_ENCODED: &str = "p%40ss%2Fw0rd%25";

/// The server, with a fresh database in it that belongs to [`USER`].
pub struct Server {
    server: &'static Postgres,
    pub database: Database,
}

/// A database on the TLS server shared by the tests of this process.
pub fn server() -> Server {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    let server = SHARED.get_or_init(start);
    let database = server.database();
    let own = format!("ALTER DATABASE {} OWNER TO {USER}", database.name());
    server.connect("postgres").batch_execute(&own).expect("a separate database");
    Server { server, database }
}

impl Server {
    /// With the strictest settings.
    pub fn url_verify_full(&self) -> String {
        self.url("localhost", "verify-full", Some(&self.ca()))
    }

    /// `host` may be 127.0.0.1, which the certificate does not cover.
    pub fn url(&self, host: &str, sslmode: &str, roots: Option<&Path>) -> String {
        let (port, database) = (self.server.port(), self.database.name());
        let roots = roots.map_or_else(String::new, |roots| format!("&sslrootcert={}", roots.display()));
        format!("postgres://{USER}:{PASSWORD_ENCODED}@{host}:{port}/{database}?sslmode={sslmode}{roots}")
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The authority that signed the server's certificate.
    pub fn ca(&self) -> PathBuf {
        self.server.folder.join("ca.pem")
    }

    /// An unrelated authority.
    pub fn other_ca(&self) -> PathBuf {
        self.server.folder.join("other-ca.pem")
    }
}

fn start() -> Postgres {
    let mut server = Postgres::new(Some(free_port()), &[]);
    server.cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
    let folder = server.folder.clone();
    let issuer = authority(&folder.join("ca.pem"));
    drop(authority(&folder.join("other-ca.pem")));

    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    fs::write(folder.join("server.crt"), certificate.pem()).expect("written");
    let key_file = folder.join("server.key");
    fs::write(&key_file, key.serialize_pem()).expect("written");
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let owner = fs::metadata(server.socket_dir()).expect("the socket's folder");
    chown(&key_file, Some(owner.uid()), Some(owner.gid())).expect("the server's own key");

    let file = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) =
        (format!("ssl_cert_file = '{}'", file("server.crt")), format!("ssl_key_file = '{}'", file("server.key")));
    server.restart_with(&["ssl = on", &certificate, &key]);
    let role = format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'");
    server.connect("postgres").batch_execute(&role).expect("a role");
    server
}

/// A new authority, whose certificate is written to `file`.
pub fn authority(file: &Path) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    let name = file.file_stem().expect("a name").to_string_lossy();
    params.distinguished_name.push(DnType::CommonName, name.into_owned());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(file, params.self_signed(&key).expect("a certificate").pem()).expect("written");
    Issuer::new(params, key)
}
