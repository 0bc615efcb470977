//! The listening sockets and their connections: TLS, their number, how long each may dawdle, and how long it lives. Knows no notification.

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
use super::write_timeout::Impatient;
use crate::error::Fault;

/// How long requests in hand may take after a signal, or at the end of their connection's life.
const FINISH: Duration = Duration::from_secs(10);
/// Room for headers, in bytes.
const HEADERS_MAX: usize = 16 << 10;

/// Descriptors besides those of connections: the database's, files, the process that drains.
const OTHER_FILES: u64 = 128;

/// Certificate and key, in PEM.
pub struct Tls<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
}

/// A socket that listens.
pub struct Listener {
    socket: tokio::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
}

impl Listener {
    /// On this address, or without one on the socket that systemd has opened, for so many connections.
    ///
    /// # Errors
    /// No address and no socket (exit 2), an address that cannot be used, a certificate that cannot be read, or no room for so many
    /// connections (exit 78).
    pub fn open(address: Option<SocketAddr>, tls: Option<&Tls<'_>>, connections: u32) -> anyhow::Result<Self> {
        make_room(connections)?;
        let socket = match address {
            Some(address) => return Self::on(address, tls),
            None => listenfd::ListenFd::from_env()
                .take_tcp_listener(0)
                .context("taking the socket from systemd")?
                .ok_or_else(|| Fault::usage("name an address with --listen, or start this from a socket unit of systemd"))?,
        };
        Self::of(socket, tls)
    }

    /// On this address.
    ///
    /// # Errors
    /// As `open`.
    pub fn on(address: SocketAddr, tls: Option<&Tls<'_>>) -> anyhow::Result<Self> {
        let socket = TcpListener::bind(address);
        Self::of(socket.map_err(|error| Fault::settings(format!("cannot listen on {address}: {error}")))?, tls)
    }

    fn of(socket: TcpListener, tls: Option<&Tls<'_>>) -> anyhow::Result<Self> {
        socket.set_nonblocking(true).context("preparing the socket")?;
        let socket = tokio::net::TcpListener::from_std(socket).context("preparing the socket")?;
        Ok(Self { socket, acceptor: tls.map(acceptor).transpose()? })
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> anyhow::Result<String> {
        let scheme = if self.acceptor.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.socket.local_addr().context("reading the address")?))
    }
}

/// Lets this process open as many files as it has connections to take. Without room, whoever holds connections open would also keep it from
/// its database.
///
/// # Errors
/// The system allows no more (exit 78).
fn make_room(connections: u32) -> anyhow::Result<()> {
    let wanted = u64::from(connections) + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(most) = limit.maximum.filter(|most| *most < wanted) {
        return Err(Fault::settings(format!(
            "webhook.max_connections = {connections} takes {wanted} open files, and the system allows {most}: lower the setting, or raise \
             the limit (LimitNOFILE of the systemd unit, `ulimit -Hn` of a shell)"
        ))
        .into());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
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

/// Takes connections until told to stop, then finishes the requests in hand.
pub(super) async fn serve(
    listener: Listener,
    router: Router,
    (places, life): (&Arc<ConnectionSlots>, Duration),
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
                // Out of descriptors, or a peer that left at once.
                log::warn!("a connection could not be taken: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = places.take(peer.ip()) else {
            metrics.refused();
            continue;
        };
        // Small answers must not wait for each other's acknowledgement.
        let _ = stream.set_nodelay(true);
        let stream = Impatient::new(stream, PATIENCE);
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            match acceptor {
                None => converse(stream, router, life, &stop).await,
                // Scanners and half-open connections: nobody is waiting for us to say so.
                Some(acceptor) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                        converse(stream, router, life, &stop).await;
                    }
                }
            }
            drop(place);
        });
    }
    drop(socket);
    if tokio::time::timeout(FINISH, places.all_free()).await.is_err() {
        log::warn!("requests were still under way {} s after the signal", FINISH.as_secs());
    }
}

/// Answers requests until the connection's life, or that of the server, is over; whoever still gets an answer then gets it.
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
        Err(_) => log::debug!("a connection was cut {} s after the end of its life", FINISH.as_secs()),
    }
}
