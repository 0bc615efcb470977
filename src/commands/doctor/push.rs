//! Whether notifications can come in: push.address as it looks from this machine, which may see it in another way than Google does.

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
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A certificate that ends sooner should have been renewed by now.
const SOON: i64 = 14;

pub async fn address(settings: &Settings, http: &Arc<http::Client>, found: &mut Findings) -> anyhow::Result<()> {
    let address = settings.push.address.trim_end_matches('/');
    if address.is_empty() {
        found.ok(CHECK, "none is set: streams are polled only");
        return Ok(());
    }
    let url = Url::parse(address).context("reading push.address")?;
    let (host, port) = (url.host_str().unwrap_or_default().trim_matches(['[', ']']), url.port_or_known_default().unwrap_or(443));
    let addresses: Vec<String> = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.map(|address| address.ip().to_string()).collect(),
        Err(error) => {
            found.fail(CHECK, format!("{host} does not resolve: {error}"), "make a DNS record for it, or correct push.address");
            return Ok(());
        }
    };
    found.ok(CHECK, format!("{host} is {}", addresses.join(", ")));
    if url.scheme() == "https" {
        match tokio::time::timeout(PATIENCE, certificate(host, port)).await {
            Ok(Ok(ends)) => life(ends, found),
            Ok(Err(error)) => {
                found.fail(
                    "push TLS",
                    format!("{host}:{port}: {error:#}"),
                    "Google takes a certificate of a public authority only, for this name, with its chain",
                );
                return Ok(());
            }
            Err(_) => {
                found.fail(
                    "push TLS",
                    format!("{host}:{port} does not answer within {PATIENCE:?}"),
                    "open the port, or correct push.address",
                );
                return Ok(());
            }
        }
    }
    serving(address, http, found).await
}

/// When the certificate ends that the server shows; it is one that this machine trusts.
async fn certificate(host: &str, port: u16) -> anyhow::Result<DateTime<Utc>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).context("the platform's root certificates")?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let stream = TcpStream::connect((host, port)).await.context("connecting")?;
    let name = ServerName::try_from(host.to_owned()).context("the name of the host")?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the certificate is refused")?;
    let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first).context("no certificate is shown")?;
    let certificate = Certificate::from_der(shown).context("reading the certificate")?;
    let ends = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    DateTime::from_timestamp(i64::try_from(ends.as_secs())?, 0).context("the certificate's end")
}

fn life(ends: DateTime<Utc>, found: &mut Findings) {
    let days = (ends - Utc::now()).num_days();
    let message = format!("the certificate is good for {days} days");
    match days < SOON {
        true => found.warn("push TLS", message, "renew it, and see why that did not happen by itself"),
        false => found.ok("push TLS", message),
    }
}

/// Whether it is `syncctl webhook serve` that answers: by its health, or where a proxy lets only notifications through, by the way in which
/// it refuses a channel that nobody has.
async fn serving(address: &str, http: &Arc<http::Client>, found: &mut Findings) -> anyhow::Result<()> {
    let healthz = Url::parse(&format!("{address}/healthz"))?;
    let health = http::sent("GET healthz", http.to(&healthz)?.get(healthz), http::SMALL).await;
    if let Ok((status, _, body)) = &health
        && (body == b"ok\n" || body == b"the database is away\n")
    {
        match status {
            200 => found.ok("webhook", "`syncctl webhook serve` answers there, and is well"),
            _ => found.fail(
                "webhook",
                "`syncctl webhook serve` answers there, and cannot reach its database",
                "mend its database; Google sends again for a while",
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
        Ok((404, _, body)) if body == b"unknown" => {
            found.ok("webhook", "`syncctl webhook serve` answers there, as far as can be told")
        }
        Ok((status, ..)) => found.fail(
            "webhook",
            format!("something answers there with HTTP {status}, and it is not `syncctl webhook serve`"),
            "let the proxy pass push.address and what is below it to `syncctl webhook serve`, without what comes before",
        ),
        Err(failure) => found.fail(
            "webhook",
            failure.message,
            "start `syncctl webhook serve` (systemd: syncctl-webhook.socket), and look at the proxy before it",
        ),
    }
    Ok(())
}
