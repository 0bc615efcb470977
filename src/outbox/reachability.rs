//! Whether a target can be reached, by the same rule of addresses as a delivery, and without a request.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use url::Url;

use crate::http::address::{self, Private};

/// How a look for a target came out; each text in words, without the path of the url.
#[derive(Debug)]
pub enum Reached {
    /// Nothing in the url speaks against it, and the network was not to be asked.
    NotAsked,
    /// Events are never sent there.
    Refused(Private),
    /// Its name leads nowhere.
    Unresolved(String),
    /// Nobody takes connections there.
    Silent(String),
    /// Somebody does: host and port.
    Answers(String),
}

/// Looks for a target. `offline`: by its url alone.
pub async fn reach(url: &Url, allow_private: bool, offline: bool, patience: Duration) -> Reached {
    if let (false, Err(private)) = (allow_private, address::check(url)) {
        return Reached::Refused(private);
    }
    if offline {
        return Reached::NotAsked;
    }
    let (host, port) = (url.host_str().unwrap_or_default().trim_matches(['[', ']']), url.port_or_known_default().unwrap_or(443));
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.collect(),
        Err(error) => return Reached::Unresolved(format!("{host} does not resolve: {error}")),
    };
    let usable: Vec<SocketAddr> =
        addresses.iter().copied().filter(|found| allow_private || address::is_public(found.ip())).collect();
    match (addresses.as_slice(), usable.as_slice()) {
        ([], _) => return Reached::Unresolved(format!("{host} has no address")),
        (_, []) => return Reached::Refused(Private),
        _ => {}
    }
    let place = format!("{host}:{port}");
    match tokio::time::timeout(patience, TcpStream::connect(usable.as_slice())).await {
        Ok(Ok(_)) => Reached::Answers(place),
        Ok(Err(error)) => Reached::Silent(format!("nothing answers at {place}: {error}")),
        Err(_) => Reached::Silent(format!("nothing answers at {place} within {patience:?}")),
    }
}
