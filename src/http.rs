//! The HTTP client of a run, for all providers: connections, time limits, and the number of calls. Independent of any provider.

pub mod address;
mod concurrency;
pub mod connections;
pub mod proxies;
pub mod signature;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::RETRY_AFTER;
use url::Url;

use crate::config;
use crate::error::{Class, Failure};

pub use concurrency::{ConcurrencyLimit, RequestPermit};

// Google compresses responses only if the User-Agent contains "gzip".
pub(crate) const USER_AGENT: &str = concat!("syncctl/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// The response to a call: status, `Retry-After`, body.
pub type Answer = (u16, Option<String>, Vec<u8>);

/// Maximum size in bytes of a response that is small by nature: a token, a set of keys, or an error.
pub const SMALL: usize = 64 << 10;
/// Failure reason: the response is larger than the maximum.
pub const TOO_LARGE: &str = "answerTooLarge";
/// Failure reason: no connection could be made, so the request was not sent.
pub const UNREACHED: &str = "unreached";

/// Connections of one run.
pub struct Client {
    timeout: Duration,
    connect_timeout: Duration,
    /// Maximum size of a page in bytes.
    max: usize,
    // Built on the first call: a run in which nothing is due loads no certificates. One per thread, because connections are driven by the runtime that
    // opened them, and a request that wakes another thread costs more than the request itself. Separate clients with and without TLS.
    clients: Mutex<HashMap<(ThreadId, bool), reqwest::Client>>,
    calls: AtomicU64,
    /// Limits concurrent requests.
    width: ConcurrencyLimit,
}

impl Client {
    /// Creates a client without any connections.
    pub fn new(settings: &config::Google, engine: &config::Engine) -> Self {
        Self {
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            max: usize::try_from(engine.answer_max_size).unwrap_or(usize::MAX),
            clients: Mutex::default(),
            calls: AtomicU64::new(0),
            width: ConcurrencyLimit::new(engine.concurrency),
        }
    }

    /// Number of calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a call.
    pub fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a free request slot.
    pub async fn turn(&self) -> RequestPermit<'_> {
        self.width.enter().await
    }

    /// Current limit of concurrent requests.
    pub fn width(&self) -> usize {
        self.width.limit()
    }

    /// Maximum number of bytes read of a page of items (`engine.answer_max_size`).
    pub fn most(&self) -> usize {
        self.max
    }

    /// Sends a request when a slot is free; returns the complete response. `max`: maximum size of its body in bytes.
    pub async fn send(&self, what: &'static str, request: reqwest::RequestBuilder, max: usize) -> Result<Answer, Failure> {
        let turn = self.turn().await;
        let answer = sent(what, request, max).await;
        turn.answered(what, answer.as_ref().map_or_else(|_| true, |(status, ..)| is_overloaded(*status)));
        answer
    }

    /// The client for this URL on this thread.
    pub fn to(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        let secure = url.scheme() != "http";
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = clients.get(&(std::thread::current().id(), secure)) {
            return Ok(http.clone());
        }
        let builder = connections::builder(self.timeout, !secure)?.connect_timeout(self.connect_timeout);
        let http = builder.user_agent(USER_AGENT).gzip(true).build().map_err(connections::unbuilt)?;
        clients.insert((std::thread::current().id(), secure), http.clone());
        Ok(http)
    }
}

/// Sends a request; returns the complete response. A body that is truncated after a successful status is a failure too.
pub async fn sent(what: &str, request: reqwest::RequestBuilder, max: usize) -> Result<Answer, Failure> {
    let started = Instant::now();
    let answer = async { received(what, request.send().await.map_err(|error| transient(what, error))?, max).await }.await;
    log_call(what, started, answer.as_ref().map(|(status, _, body)| (*status, body.len())));
    answer
}

/// Logs one line per call, at `-vv`: the method, the status and the number of bytes. Never the URL, which can contain an address or a secret.
pub fn log_call(what: &str, started: Instant, answer: Result<(u16, usize), &Failure>) {
    let ms = started.elapsed().as_millis() as u64;
    match answer {
        Ok((status, bytes)) => log::debug!(status, ms, bytes; "{what}"),
        // The failure names the method.
        Err(failure) => log::debug!(ms; "{failure}"),
    }
}

/// Reads the complete response, of at most `max` bytes; of an error response, the beginning.
///
/// # Errors
/// Returns `Permanent` with the reason `TOO_LARGE` if it is longer than `max` bytes.
pub async fn received(what: &str, mut response: reqwest::Response, max: usize) -> Result<Answer, Failure> {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let max = if status.is_success() { max } else { max.min(SMALL) };
    let (body, is_whole) = beginning(&mut response, max).await;
    let is_whole = is_whole.map_err(|error| transient(what, error))?;
    if !is_whole && status.is_success() {
        let how = if max == SMALL { "the limit for this kind of response" } else { "see engine.answer_max_size" };
        let failure = Failure::new(Class::Permanent, format!("{what}: the response is larger than {max} bytes, {how}"));
        return Err(Failure { reason: TOO_LARGE.into(), ..failure });
    }
    Ok((status.as_u16(), retry_after, body))
}

/// Reads the first bytes of a body; returns whether they are complete, or why reading failed. Bytes are counted as they arrive, decompressed: a small
/// response can decompress to any size.
pub async fn beginning(response: &mut reqwest::Response, max: usize) -> (Vec<u8>, Result<bool, reqwest::Error>) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(part)) => {
                let remaining = max - body.len();
                body.extend_from_slice(&part[..part.len().min(remaining)]);
                if part.len() > remaining {
                    return (body, Ok(false));
                }
            }
            Ok(None) => return (body, Ok(true)),
            Err(error) => return (body, Err(error)),
        }
    }
}

/// Whether a status indicates overload.
pub fn is_overloaded(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// Connection failure, timeout, truncated body: worth another try. The URL stays out of the message, since it can contain an address.
pub fn transient(what: &str, error: reqwest::Error) -> Failure {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "could not connect"
    } else if error.is_body() || error.is_decode() {
        "the response was truncated"
    } else {
        "the connection broke"
    };
    let is_misplaced = causes(&error).any(|inner| inner.is::<address::Private>() || inner.is::<address::Public>());
    let class = if is_misplaced { Class::Settings } else { Class::Transient };
    let reason = if error.is_connect() { UNREACHED } else { "" };
    Failure { reason: reason.into(), ..Failure::new(class, format!("{what}: {kind}{}", cause(&error.without_url()))) }
}

/// The reasons behind an error, outermost first.
pub fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |inner| inner.source())
}

/// The innermost reason, which is the most specific, after a colon.
pub fn cause(error: &reqwest::Error) -> String {
    causes(error).last().map(|inner| format!(": {inner}")).unwrap_or_default()
}

/// `Retry-After`: seconds, or an HTTP date.
pub fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(value.trim()).ok()?;
    (at.to_utc() - now).to_std().ok()
}

/// Reduces a provider's message to one short line with addresses replaced: messages end up in logs and in tables, which cannot store NUL.
pub fn without_addresses(message: &str) -> String {
    let words = message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let clean: Vec<&str> = words.map(|word| if word.contains('@') { "<address>" } else { word }).collect();
    let clean = clean.join(" ");
    match clean.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &clean[..at]),
        None => clean,
    }
}

/// Parses the JSON response of the method `what`.
///
/// # Errors
/// Returns `Transient`: a truncated body can still come with a successful status and length.
pub fn parse_json<'a, T: serde::Deserialize<'a>>(what: &str, body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(Class::Transient, format!("{what}: the response is not complete JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::from_timestamp(1_792_000_000, 0).expect("a time");
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        let later = (now + chrono::TimeDelta::seconds(90)).to_rfc2822();
        assert_eq!(retry_after(&later, now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("soon", now), None);
    }
}
