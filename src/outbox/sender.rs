//! Sends one event to one target: request, signature, and interpretation of the response. No database access.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::config::{Outbox, Target};
use crate::db::deliveries::Delivery;
use crate::http::address::Private;
use crate::http::connections::{self, Reach};
use crate::http::proxies::Proxies;
use crate::http::{SMALL, beginning, cause, causes, log_call, retry_after, signature, without_addresses};

const USER_AGENT: &str = concat!("syncctl/", env!("CARGO_PKG_VERSION"));
/// Maximum number of characters kept of a response.
const MAX_TEXT: usize = 200;

/// The outcome of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The target has the event.
    Delivered { status: u16 },
    /// The target does not have the event, or the result is unknown.
    Failed { status: Option<u16>, error: String, retry_after: Option<Duration> },
    /// The target must not be called at all.
    Refused(Private),
}

/// Sends to all targets of a run, over persistent connections.
pub struct Sender {
    http: reqwest::Client,
    allow_private: bool,
    proxies: Proxies,
}

impl Sender {
    /// A sender whose requests take at most `timeout`, including the response.
    pub fn new(settings: &Outbox, timeout: Duration) -> anyhow::Result<Self> {
        let reach = if settings.allow_private { Reach::All } else { Reach::Public };
        let plain = settings.targets.iter().all(|target| target.url.starts_with("http://"));
        let builder = connections::within(reach, timeout, plain)?.user_agent(USER_AGENT).no_gzip();
        let http = builder.build().context("building the HTTP client")?;
        Ok(Self { http, allow_private: settings.allow_private, proxies: Proxies::of_environment() })
    }

    /// POSTs an event.
    pub async fn post(&self, target: &Target, url: &Url, delivery: &Delivery, now: DateTime<Utc>) -> Outcome {
        if !self.allow_private
            && let Err(private) = self.proxies.check(url).await
        {
            return Outcome::Refused(private);
        }
        let (id, at, body) = (delivery.event.to_string(), now.timestamp(), delivery.payload.as_bytes());
        let mut request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", &id)
            .header("X-Syncctl-Event", &delivery.kind)
            // Standard Webhooks.
            .header("webhook-id", &id)
            .header("webhook-timestamp", at);
        let secret = target.secret.expose_secret();
        if !secret.is_empty() {
            request = request
                .header(signature::HEADER, signature::sign(secret, at, body))
                .header("webhook-signature", signature::standard(&target.standard_key(), &id, at, body));
        }
        let started = Instant::now();
        let mut response = match request.body(delivery.payload.clone()).send().await {
            Ok(response) => response,
            Err(error) => return broken(error),
        };
        let status = response.status().as_u16();
        let hint = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let hint = hint.and_then(|value| retry_after(value, now));
        // Read the body even of a success: a connection can be reused only after its response has been read to the end.
        // The status decides; the body only serves the error text, so a truncated or long body does not matter.
        let (body, _) = beginning(&mut response, SMALL).await;
        log_call("POST of an event", started, Ok((status, body.len())));
        match status {
            200..300 => Outcome::Delivered { status },
            300..400 => {
                let error = format!("HTTP {status}: redirects are not followed; set the url to the redirect's target");
                Outcome::Failed { status: Some(status), error, retry_after: hint }
            }
            _ => {
                let text = readable(&String::from_utf8_lossy(&body), secret);
                let error = if text.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {text}") };
                Outcome::Failed { status: Some(status), error, retry_after: hint }
            }
        }
    }
}

/// The outcome without a response. The message omits the URL, which is often the secret of a webhook.
fn broken(error: reqwest::Error) -> Outcome {
    let kind = match &error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "could not connect",
        error if error.is_builder() => "the request cannot be made",
        _ => "the connection broke",
    };
    let error = error.without_url();
    if let Some(private) = causes(&error).find_map(|inner| inner.downcast_ref::<Private>()) {
        return Outcome::Refused(*private);
    }
    Outcome::Failed { status: None, error: format!("{kind}{}", cause(&error)), retry_after: None }
}

/// The beginning of a response on one line, without the secret and without email addresses, since it ends up in tables and mails.
fn readable(body: &str, secret: &str) -> String {
    let body = if secret.is_empty() { body.to_owned() } else { body.replace(secret, "***") };
    without_addresses(&body).chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_messages_are_short_without_secrets_or_addresses() {
        let text = readable(&format!("no\n  hook s3cret for ann@example.com\u{1b}[31m {}", "x ".repeat(500)), "s3cret");
        assert!(text.starts_with("no hook *** for <address> [31m x"), "{text}");
        assert_eq!(text.chars().count(), MAX_TEXT);
    }
}
