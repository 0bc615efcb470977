//! Checks whether a target can be reached, with the address rules of deliveries but without a request.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use url::Url;

use crate::http::address::{self, Private};
use crate::http::proxies::Proxies;

/// The result of a check. The messages omit the path of the URL.
#[derive(Debug)]
pub enum Reached {
    /// The URL is allowed; the network was not used.
    NotAsked,
    /// Events are never sent to this address.
    Refused(Private),
    /// The host name does not resolve.
    Unresolved(String),
    /// The target accepts no connections.
    Silent(String),
    /// The target, or the proxy before it, accepts connections: host and port.
    Answers(String),
}

/// Checks a target. `offline`: checks only its URL.
pub async fn reach(url: &Url, allow_private: bool, offline: bool, patience: Duration) -> Reached {
    if let (false, Err(private)) = (allow_private, address::check(url)) {
        return Reached::Refused(private);
    }
    if offline {
        return Reached::NotAsked;
    }
    let proxies = Proxies::of_environment();
    let proxy = proxies.of(url);
    if let (false, Err(private)) = (allow_private, proxies.check(url).await) {
        return Reached::Refused(private);
    }
    let direct =
        || (url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(), url.port_or_known_default().unwrap_or(443));
    // Of a target behind a proxy, only the proxy can be reached from here; it may be anywhere.
    let allow_private = allow_private || proxy.is_some();
    let (host, port) = proxy.unwrap_or_else(direct);
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host.as_str(), port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Reached::Unresolved(format!("{host} does not resolve: {error}")),
    };
    let usable: Vec<SocketAddr> =
        addresses.iter().copied().filter(|address| allow_private || address::is_public(address.ip())).collect();
    match (addresses.as_slice(), usable.as_slice()) {
        ([], _) => return Reached::Unresolved(format!("{host} has no address")),
        (_, []) => return Reached::Refused(Private),
        _ => {}
    }
    let authority = format!("{host}:{port}");
    match tokio::time::timeout(patience, TcpStream::connect(usable.as_slice())).await {
        Ok(Ok(_)) => Reached::Answers(authority),
        Ok(Err(error)) => Reached::Silent(format!("nothing answers at {authority}: {error}")),
        Err(_) => Reached::Silent(format!("nothing answers at {authority} within {patience:?}")),
    }
}
