//! The proxies of the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, and NO_PROXY for what is called directly.

use hyper_util::client::proxy::matcher::Matcher;
use url::{Host, Url};

use super::address::{self, Private};

/// Which proxy serves which URL.
#[derive(Debug)]
pub struct Proxies(Matcher);

impl Proxies {
    /// Those of this process.
    pub fn of_environment() -> Self {
        Self(Matcher::from_system())
    }

    /// Host and port of the proxy for this URL; `None`: it is called directly.
    pub fn of(&self, url: &Url) -> Option<(String, u16)> {
        let intercepted = self.0.intercept(&url.as_str().parse().ok()?)?;
        let proxy = intercepted.uri();
        let port = proxy.port_u16().unwrap_or(if proxy.scheme_str() == Some("https") { 443 } else { 80 });
        Some((proxy.host()?.trim_matches(['[', ']']).to_owned(), port))
    }

    /// The hosts of all proxies.
    pub fn hosts(&self) -> Vec<String> {
        let proxy = |origin: &str| Some(self.of(&Url::parse(origin).ok()?)?.0);
        ["https://proxied.invalid", "http://proxied.invalid"].into_iter().filter_map(proxy).collect()
    }

    /// Rejects a URL for a proxy whose name leads to private addresses only. The proxy resolves the name itself, so this is a check of the settings; what
    /// the proxy then connects to is up to its rules. A name that only the proxy can resolve is accepted.
    pub async fn check(&self, url: &Url) -> Result<(), Private> {
        match url.host() {
            Some(Host::Domain(name)) if self.of(url).is_some() => {
                let Ok(addresses) = tokio::net::lookup_host((name, 0)).await else { return Ok(()) };
                let mut addresses = addresses.map(|socket| address::is_public(socket.ip())).peekable();
                if addresses.peek().is_some() && !addresses.any(|is_public| is_public) { Err(Private) } else { Ok(()) }
            }
            _ => address::check(url),
        }
    }
}
