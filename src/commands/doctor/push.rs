//! Checks whether notifications can arrive: push.address as seen from this machine, which may differ from Google's view.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;
use uuid::Uuid;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::Findings;
use crate::config::Settings;
use crate::http;

const CHECK: &str = "push address";
/// Maximum time to connect.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Remaining days below which a certificate should have been renewed already.
const MIN_DAYS: i64 = 14;

pub async fn address(settings: &Settings, http: &Arc<http::Client>, findings: &mut Findings) -> anyhow::Result<()> {
    let address = settings.push.address.trim_end_matches('/');
    if address.is_empty() {
        findings.ok(CHECK, "not set: streams are only polled");
        return Ok(());
    }
    let url = Url::parse(address).context("reading push.address")?;
    let (host, port) = (url.host_str().unwrap_or_default().trim_matches(['[', ']']), url.port_or_known_default().unwrap_or(443));
    let addresses: Vec<String> = match tokio::net::lookup_host((host, port)).await {
        Ok(resolved) => resolved.map(|address| address.ip().to_string()).collect(),
        Err(error) => {
            findings.fail(
                CHECK,
                format!("{host} does not resolve: {error}"),
                "create a DNS record for it, or correct push.address",
            );
            return Ok(());
        }
    };
    findings.ok(CHECK, format!("{host} is {}", addresses.join(", ")));
    if url.scheme() == "https" {
        match tokio::time::timeout(TIMEOUT, certificate(host, port)).await {
            Ok(Ok(ends)) => expiry(ends, findings),
            Ok(Err(error)) => {
                findings.fail(
                    "push TLS",
                    format!("{host}:{port}: {error:#}"),
                    "Google accepts only a certificate from a public authority, for this name, with its chain",
                );
                return Ok(());
            }
            Err(_) => {
                findings.fail(
                    "push TLS",
                    format!("{host}:{port} does not answer within {TIMEOUT:?}"),
                    "open the port, or correct push.address",
                );
                return Ok(());
            }
        }
    }
    serving(address, http, findings).await
}

/// Returns when the server's certificate expires. Fails if this machine does not trust it.
async fn certificate(host: &str, port: u16) -> anyhow::Result<DateTime<Utc>> {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).context("loading the platform's root certificates")?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let stream = TcpStream::connect((host, port)).await.context("connecting")?;
    let name = ServerName::try_from(host.to_owned()).context("reading the host name")?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the certificate is refused")?;
    let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first).context("the server presents no certificate")?;
    let certificate = Certificate::from_der(shown).context("reading the certificate")?;
    let ends = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    DateTime::from_timestamp(i64::try_from(ends.as_secs())?, 0).context("reading the certificate's expiry")
}

fn expiry(ends: DateTime<Utc>, findings: &mut Findings) {
    let days = (ends - Utc::now()).num_days();
    let message = format!("the certificate is valid for {days} days");
    if days < MIN_DAYS {
        findings.warn("push TLS", message, "renew it, and find out why it was not renewed automatically")
    } else {
        findings.ok("push TLS", message)
    }
}

/// Checks that `syncctl webhook serve` answers: by its health endpoint or, if a proxy passes only notifications, by how it refuses an
/// unknown channel.
async fn serving(address: &str, http: &Arc<http::Client>, findings: &mut Findings) -> anyhow::Result<()> {
    let healthz = Url::parse(&format!("{address}/healthz"))?;
    let health = http::sent("GET healthz", http.to(&healthz)?.get(healthz), http::SMALL).await;
    if let Ok((status, _, body)) = &health
        && (body == b"ok\n" || body == b"the database is away\n")
    {
        match status {
            200 => findings.ok("webhook", "`syncctl webhook serve` answers there and is healthy"),
            _ => findings.fail(
                "webhook",
                "`syncctl webhook serve` answers there, but cannot reach its database",
                "repair its database; Google retries for a while",
            ),
        }
        return Ok(());
    }
    let url = Url::parse(&format!("{address}/calendar"))?;
    let request = http
        .to(&url)?
        .post(url)
        .header("x-goog-channel-id", Uuid::new_v4().to_string())
        .header("x-goog-channel-token", "doctor")
        .header("x-goog-message-number", "1")
        .header("x-goog-resource-id", "doctor")
        .header("x-goog-resource-state", "sync");
    match http::sent("POST calendar", request, http::SMALL).await {
        Ok((404, _, body)) if body == b"unknown" => findings.ok("webhook", "`syncctl webhook serve` seems to answer there"),
        Ok((status, ..)) => findings.fail(
            "webhook",
            format!("a server that is not `syncctl webhook serve` answers there with HTTP {status}"),
            "configure the proxy to pass push.address and the paths below it to `syncctl webhook serve`, without the path prefix",
        ),
        Err(failure) => findings.fail(
            "webhook",
            failure.message,
            "start `syncctl webhook serve` (systemd: syncctl-webhook.socket), and check the proxy in front of it",
        ),
    }
    Ok(())
}
