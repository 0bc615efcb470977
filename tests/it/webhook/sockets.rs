//! How the server gets its socket, and TLS on it.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::server::{Server, TOKEN, google, watched};

#[test]
fn it_listens_on_the_socket_that_systemd_passes() {
    let (world, channels) = watched(1);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let program = world.command(&[]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" webhook serve"#])
        .arg(program.get_program())
        .env_clear()
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::piped());
    let server = Server::of(shell.spawn().expect("a shell"));
    assert_eq!(server.address, address);
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
    assert!(server.stop().success());
}

#[test]
fn with_a_certificate_it_speaks_tls_itself() {
    let (world, channels) = watched(1);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = world.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (certificate, key) = (file("chain.pem", made.cert.pem()), file("key.pem", made.signing_key.serialize_pem()));
    let refused = world.syncctl(&["webhook", "serve", "--listen", "127.0.0.1:0", "--tls-cert", &key, "--tls-key", &key]);
    assert_eq!(refused.code, 78, "{refused:?}");
    let server = Server::start(&world, &["--tls-cert", &certificate, "--tls-key", &key]);

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).expect("a client"), server.connect());
    let mut request = String::from("POST /calendar HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in google(&channels[0], TOKEN, "1", "exists") {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).expect("sent");
    assert_eq!(super::server::status(&mut stream), 200);
    // A client without TLS gets no answer, and does not disturb others.
    assert_eq!(server.notify(&channels[0], 2, "exists"), 0);
    assert!(server.stop().success());
}
