//! Sets up the connections of a client.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::address::{PrivateOnly, PublicOnly};
use super::cause;
use super::proxies::Proxies;
use crate::error::{Class, Failure};

/// Which hosts may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On the public internet only.
    Public,
    /// On loopback and in private networks only.
    Private,
    All,
}

/// Settings of every client: each request takes at most `timeout`, including the response. `plain`: all URLs are http.
pub fn builder(timeout: Duration, plain: bool) -> anyhow::Result<reqwest::ClientBuilder> {
    // A redirect could lead to a forbidden address, and take a token or a text there.
    let builder =
        reqwest::Client::builder().timeout(timeout).connect_timeout(timeout).redirect(reqwest::redirect::Policy::none());
    // Loading the platform's certificates takes longer than many a run; without https, they are not needed.
    if plain { without_certificates(builder) } else { Ok(builder) }
}

/// The same for hosts that the settings name.
pub fn within(reach: Reach, timeout: Duration, plain: bool) -> anyhow::Result<reqwest::ClientBuilder> {
    let builder = builder(timeout, plain)?;
    Ok(match reach {
        // A proxy resolves names itself: `Proxies::check` comes before each request.
        Reach::Public => builder.dns_resolver(Arc::new(PublicOnly { except: Proxies::of_environment().hosts() })),
        // What is sent without TLS stays in the private network, which a proxy need not do.
        Reach::Private => builder.no_proxy().dns_resolver(Arc::new(PrivateOnly)),
        Reach::All => builder,
    })
}

/// Configures a client for plain http: it loads no certificates.
fn without_certificates(builder: reqwest::ClientBuilder) -> anyhow::Result<reqwest::ClientBuilder> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("building the TLS settings")?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

/// The failure to build a client. The usual cause is missing root certificates: a container with a single binary has none.
pub fn unbuilt(error: reqwest::Error) -> Failure {
    let advice = "if root certificates are missing, install ca-certificates or name a bundle in SSL_CERT_FILE";
    Failure::new(Class::Internal, format!("HTTPS cannot be set up{}; {advice}", cause(&error)))
}
