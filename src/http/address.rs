//! Restricts which addresses may be called. The check applies to the address actually connected to, so that a name that resolves differently each time
//! cannot bypass it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// A host that is not on the public internet.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("its host is on loopback or in a private network")]
pub struct Private;

/// A host on the public internet, where only private ones may be called.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("its host is on the public internet")]
pub struct Public;

/// Resolves names to public addresses only.
#[derive(Debug)]
pub struct PublicOnly {
    /// Hosts that may be anywhere: the proxies of the environment.
    pub except: Vec<String>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let is_allowed: fn(IpAddr) -> bool =
            if self.except.iter().any(|host| host == name.as_str()) { |_| true } else { is_public };
        Box::pin(async move { resolve(&name, is_allowed, Private).await })
    }
}

/// Resolves names to loopback and private addresses only: data sent without TLS stays there.
#[derive(Debug)]
pub struct PrivateOnly;

impl Resolve for PrivateOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { resolve(&name, |ip| !is_public(ip), Public).await })
    }
}

/// Resolves a name to those of its addresses that may be called.
async fn resolve(
    name: &Name,
    is_allowed: fn(IpAddr) -> bool,
    refusal: impl std::error::Error + Send + Sync + 'static,
) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
    let usable: Vec<SocketAddr> = addresses.iter().copied().filter(|address| is_allowed(address.ip())).collect();
    // A name without any address is a failed lookup, not a refusal.
    if usable.is_empty() && !addresses.is_empty() {
        return Err(refusal.into());
    }
    Ok(Box::new(usable.into_iter()))
}

/// Rejects a private address given literally in the URL, for which no resolver is used.
pub fn check(url: &Url) -> Result<(), Private> {
    if literal(url).is_none_or(is_public) { Ok(()) } else { Err(Private) }
}

/// The literal address in the URL.
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        Host::Domain(_) => None,
    }
}

/// Whether this is an address on the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// According to IANA's registry of special-purpose addresses.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && b & 0b1100_0000 == 64;
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && b & 0b1111_1110 == 18;
    let reserved = a == 0 || a >= 240;
    !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_multicast() || ip.is_documentation())
        && !(shared || protocols || benchmarks || reserved)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let inside = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped, compatible (including :: and ::1), NAT64 and 6to4 addresses lead to the embedded IPv4 address.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            inside(high, low)
        }
        // Local NAT64, discard, Teredo and other protocols, documentation.
        [0x64, 0xff9b, 1, ..] | [0x100, 0, 0, ..] | [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => false,
        // Only this block is allocated: unique local, link-local, site-local and multicast addresses are outside.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_public_addresses_are_recognized() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:a00:1::1",
            "2001:db8::1",
        ];
        for ip in private {
            assert!(!is_public(ip.parse().expect("an address")), "{ip}");
        }
        let public =
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"];
        for ip in public {
            assert!(is_public(ip.parse().expect("an address")), "{ip}");
        }
    }

    #[test]
    fn ip_addresses_in_urls_are_recognized_in_any_spelling() {
        for url in ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]/", "http://[::ffff:7f00:1]/"] {
            assert!(check(&Url::parse(url).expect("a URL")).is_err(), "{url}");
        }
        assert!(check(&Url::parse("https://n8n.example.com/").expect("a URL")).is_ok());
    }
}
