//! Listening sockets and their connections: TLS, connection limits, timeouts and lifetime.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::connection_slots::ConnectionSlots;
use super::metrics::Metrics;
use super::write_timeout::WriteTimeout;
use crate::error::Fault;

/// Time for requests in progress to finish after a signal, or at the end of their connection's lifetime.
const FINISH: Duration = Duration::from_secs(10);
/// Maximum size of the headers, in bytes.
const HEADERS_MAX: usize = 16 << 10;

/// File descriptors besides those of connections: database, files, the drain process.
const OTHER_FILES: u64 = 128;

/// Certificate and key, in PEM.
pub struct Tls<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
}

/// A listening socket.
pub struct Listener {
    socket: tokio::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
}

impl Listener {
    /// Listens on this address, or without one on the socket opened by systemd, for up to `connections` connections.
    ///
    /// # Errors
    /// Returns `Fault::usage` (exit 2) without an address or socket. Returns `Fault::settings` (exit 78) if the address is unusable, the
    /// certificate cannot be read, or the limit of open files is too low.
    pub fn open(address: Option<SocketAddr>, tls: Option<&Tls<'_>>, connections: u32) -> anyhow::Result<Self> {
        raise_file_limit(connections)?;
        let socket = match address {
            Some(address) => return Self::on(address, tls),
            None => listenfd::ListenFd::from_env()
                .take_tcp_listener(0)
                .context("taking the socket from systemd")?
                .ok_or_else(|| Fault::usage("specify an address with --listen, or start this from a systemd socket unit"))?,
        };
        Self::of(socket, tls)
    }

    /// Listens on this address.
    ///
    /// # Errors
    /// Like `open`.
    pub fn on(address: SocketAddr, tls: Option<&Tls<'_>>) -> anyhow::Result<Self> {
        let socket = TcpListener::bind(address);
        Self::of(socket.map_err(|error| Fault::settings(format!("cannot listen on {address}: {error}")))?, tls)
    }

    fn of(socket: TcpListener, tls: Option<&Tls<'_>>) -> anyhow::Result<Self> {
        socket.set_nonblocking(true).context("preparing the socket")?;
        let socket = tokio::net::TcpListener::from_std(socket).context("preparing the socket")?;
        Ok(Self { socket, acceptor: tls.map(acceptor).transpose()? })
    }

    /// The URL of the socket.
    pub fn url(&self) -> anyhow::Result<String> {
        let scheme = if self.acceptor.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.socket.local_addr().context("reading the address")?))
    }
}

/// Raises the limit of open files to fit the maximum number of connections. Otherwise clients that hold connections open could also cut off
/// the database.
///
/// # Errors
/// Returns `Fault::settings` (exit 78) if the system's limit is too low.
fn raise_file_limit(connections: u32) -> anyhow::Result<()> {
    let needed = u64::from(connections) + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(max) = limit.maximum.filter(|max| *max < needed) {
        return Err(Fault::settings(format!(
            "webhook.max_connections = {connections} needs {needed} open files, but the system allows {max}: lower the setting, or raise \
             the limit (LimitNOFILE of the systemd unit, `ulimit -Hn` of a shell)"
        ))
        .into());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })
        .context("raising the limit of open files")
}

fn acceptor(tls: &Tls<'_>) -> anyhow::Result<TlsAcceptor> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| Fault::settings(format!("{}: {error}", path.display()));
    let chain = CertificateDer::pem_file_iter(tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(tls.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(tls.key).map_err(|error| unreadable(tls.key, &error))?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unreadable(tls.certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections until cancelled, then finishes the requests in progress.
pub(super) async fn serve(
    listener: Listener,
    router: Router,
    (slots, life): (&Arc<ConnectionSlots>, Duration),
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let Listener { socket, acceptor } = listener;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer has already left.
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(slot) = slots.take(peer.ip()) else {
            metrics.refused();
            continue;
        };
        // Small responses must not wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let stream = WriteTimeout::new(stream, PATIENCE);
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            match acceptor {
                None => converse(stream, router, life, &stop).await,
                // Failed handshakes (scanners, half-open connections) are not worth a message.
                Some(acceptor) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                        converse(stream, router, life, &stop).await;
                    }
                }
            }
            drop(slot);
        });
    }
    drop(socket);
    if tokio::time::timeout(FINISH, slots.all_free()).await.is_err() {
        log::warn!("requests were still in progress {} s after the signal", FINISH.as_secs());
    }
}

/// Serves requests until the end of the connection's lifetime or of the server, then finishes the request in progress.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    life: Duration,
    stop: &CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        _ = tokio::time::timeout(life, stop.cancelled()) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FINISH, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("a connection ended: {error}"),
        Err(_) => log::debug!("a connection was closed {} s after the end of its lifetime", FINISH.as_secs()),
    }
}
