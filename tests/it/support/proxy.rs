//! An HTTP proxy on loopback in front of the simulator: tunnels (CONNECT) end in TLS with a certificate for `google.test`, plain requests
//! are passed on unchanged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::tls::authority;

/// The only host name in the tunnels' certificate.
pub const HOST: &str = "google.test";

/// A proxy that serves until the test ends.
pub struct Proxy {
    /// For `HTTPS_PROXY` and `HTTP_PROXY`.
    pub url: String,
    /// The authority that signed the certificate, for `SSL_CERT_FILE`.
    pub ca: PathBuf,
    targets: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Proxy {
    /// A proxy in front of the server at `origin`; files go to `folder`.
    pub fn before(origin: &str, folder: &Path) -> Self {
        let server: SocketAddr = origin.strip_prefix("http://").and_then(|rest| rest.parse().ok()).expect("a loopback origin");
        let ca = folder.join("proxy-ca.pem");
        let issuer = authority(&ca);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([HOST.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("a certificate with its key");
        let (tls, targets) = (TlsAcceptor::from(Arc::new(config)), Arc::new(Mutex::new(Vec::new())));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::clone(&targets);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                // A client that disconnects early is not the proxy's fault.
                tokio::spawn(async move { drop(serve(client, server, tls, &seen).await) });
            }
        });
        Self { url, ca, targets, _runtime: runtime }
    }

    /// Its requests: one entry per connection, `host:port` of a tunnel or the URL of the first plain request.
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().expect("no thread panicked").clone()
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, tls: TlsAcceptor, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    seen.lock().expect("no thread panicked").push(target.to_owned());
    let mut server = TcpStream::connect(server).await?;
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        let mut inside = tls.accept(client).await?;
        tokio::io::copy_bidirectional(&mut inside, &mut server).await?;
    } else {
        server.write_all(&head).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    }
    Ok(())
}
