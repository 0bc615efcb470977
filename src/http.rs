//! The HTTP client of one run, whoever is asked: connections, time limits, and how many calls were made. Knows no provider.

pub mod address;
mod concurrency;
pub mod signature;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use reqwest::header::RETRY_AFTER;
use url::Url;

use crate::config;
use crate::error::{Class, Failure};

pub use concurrency::{ConcurrencyLimit, RequestPermit};

// "gzip" in the User-Agent is what makes Google compress.
pub(crate) const USER_AGENT: &str = concat!("syncctl/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// The answer to one call: status, `Retry-After`, body.
pub type Answer = (u16, Option<String>, Vec<u8>);

/// Most bytes of an answer that is small by its nature: a token, a set of keys, or what went wrong.
pub const SMALL: usize = 64 << 10;
/// The reason of a failure: the answer is larger than what is read of one.
pub const TOO_LARGE: &str = "answerTooLarge";
/// The reason of a failure: no connection was made, so that the request was not sent.
pub const UNREACHED: &str = "unreached";

/// Connections of one run.
pub struct Client {
    timeout: Duration,
    connect_timeout: Duration,
    /// Most bytes of a page.
    most: usize,
    // Built at the first call: a run in which nothing is due loads no certificates. One a thread, because connections are driven by the
    // runtime that opened them, and a request that wakes another thread costs more than the request. One that speaks TLS is another.
    clients: Mutex<HashMap<(ThreadId, bool), reqwest::Client>>,
    calls: AtomicU64,
    /// Bounds the requests under way.
    width: ConcurrencyLimit,
}

impl Client {
    /// A client that has opened nothing yet.
    pub fn new(settings: &config::Google, engine: &config::Engine) -> Self {
        Self {
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            most: usize::try_from(engine.answer_max_size).unwrap_or(usize::MAX),
            clients: Mutex::default(),
            calls: AtomicU64::new(0),
            width: ConcurrencyLimit::new(engine.concurrency),
        }
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a call.
    pub fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until one more request may be under way.
    pub async fn turn(&self) -> RequestPermit<'_> {
        self.width.enter().await
    }

    /// How many requests may be under way now.
    pub fn width(&self) -> usize {
        self.width.limit()
    }

    /// Most bytes that are read of a page of things (`engine.answer_max_size`).
    pub fn most(&self) -> usize {
        self.most
    }

    /// The whole answer to a request, which waits for its turn first. `most`: bytes of its body.
    pub async fn send(&self, what: &'static str, request: reqwest::RequestBuilder, most: usize) -> Result<Answer, Failure> {
        let turn = self.turn().await;
        let answer = sent(what, request, most).await;
        turn.answered(what, answer.as_ref().map_or_else(|_| true, |(status, ..)| is_overloaded(*status)));
        answer
    }

    /// What asks this address on this thread.
    pub fn to(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        let secure = url.scheme() != "http";
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = clients.get(&(std::thread::current().id(), secure)) {
            return Ok(http.clone());
        }
        let mut builder = reqwest::Client::builder();
        if !secure {
            // The platform's certificates take longer to load than many a run takes; without https nothing asks for them.
            builder = without_certificates(builder)?;
        }
        let http = builder
            .user_agent(USER_AGENT)
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .gzip(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(unbuilt)?;
        clients.insert((std::thread::current().id(), secure), http.clone());
        Ok(http)
    }
}

/// What builds a client for http alone: it loads no certificates.
pub fn without_certificates(builder: reqwest::ClientBuilder) -> anyhow::Result<reqwest::ClientBuilder> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("building the TLS settings")?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

/// The whole answer to a request. The body may be cut after a good status: that is a failure too.
pub async fn sent(what: &str, request: reqwest::RequestBuilder, most: usize) -> Result<Answer, Failure> {
    let started = Instant::now();
    let answer = async { received(what, request.send().await.map_err(|error| transient(what, error))?, most).await }.await;
    log_call(what, started, answer.as_ref().map(|(status, _, body)| (*status, body.len())));
    answer
}

/// One line of a call, at `-vv`: the method, the status and how many bytes came. Never with the address, which can hold a person's, or a secret.
pub fn log_call(what: &str, started: Instant, answer: Result<(u16, usize), &Failure>) {
    let ms = started.elapsed().as_millis() as u64;
    match answer {
        Ok((status, bytes)) => log::debug!(status, ms, bytes; "{what}"),
        // It names the method.
        Err(failure) => log::debug!(ms; "{failure}"),
    }
}

/// The whole answer, of at most so many bytes; of one that tells what went wrong, the beginning.
///
/// # Errors
/// `Permanent` with the reason `TOO_LARGE`: it does not end within `most` bytes.
pub async fn received(what: &str, mut response: reqwest::Response, most: usize) -> Result<Answer, Failure> {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let most = if status.is_success() { most } else { most.min(SMALL) };
    let (body, is_whole) = beginning(&mut response, most).await;
    let is_whole = is_whole.map_err(|error| transient(what, error))?;
    if !is_whole && status.is_success() {
        let how = if most == SMALL { "as no answer of its kind is" } else { "see engine.answer_max_size" };
        let failure = Failure::new(Class::Permanent, format!("{what}: the answer is larger than {most} bytes, {how}"));
        return Err(Failure { reason: TOO_LARGE.into(), ..failure });
    }
    Ok((status.as_u16(), retry_after, body))
}

/// The first bytes of a body, and whether that is all of it, or why it broke off. They are counted as they come, unpacked: a small answer can unpack
/// to any size.
pub async fn beginning(response: &mut reqwest::Response, most: usize) -> (Vec<u8>, Result<bool, reqwest::Error>) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(part)) => {
                let room = most - body.len();
                body.extend_from_slice(&part[..part.len().min(room)]);
                if part.len() > room {
                    return (body, Ok(false));
                }
            }
            Ok(None) => return (body, Ok(true)),
            Err(error) => return (body, Err(error)),
        }
    }
}

/// Whether a status says that there was too much at once.
pub fn is_overloaded(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// Connection, timeout, cut body: worth another try. The address stays out of the message, since it can hold one.
pub fn transient(what: &str, error: reqwest::Error) -> Failure {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "could not connect"
    } else if error.is_body() || error.is_decode() {
        "the answer was cut"
    } else {
        "the connection broke"
    };
    let class = if is_misplaced(&error) { Class::Settings } else { Class::Transient };
    let reason = if error.is_connect() { UNREACHED } else { "" };
    Failure { reason: reason.into(), ..Failure::new(class, format!("{what}: {kind}{}", cause(&error.without_url()))) }
}

/// Whether the host has no address at which it may be called.
fn is_misplaced(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<address::Private>() || inner.is::<address::Public>() {
            return true;
        }
        source = inner.source();
    }
    false
}

/// A client that cannot be built. What a machine lacks for it is root certificates: a container that holds one binary has none.
pub fn unbuilt(error: reqwest::Error) -> Failure {
    let advice = "if root certificates are missing, install ca-certificates or name a bundle in SSL_CERT_FILE";
    Failure::new(Class::Internal, format!("HTTPS cannot be set up{}; {advice}", cause(&error)))
}

/// The innermost source, which says most, after a colon.
fn cause(error: &reqwest::Error) -> String {
    let mut cause = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        cause = format!(": {inner}");
        source = inner.source();
    }
    cause
}

/// `Retry-After`: seconds, or an HTTP date.
pub fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(value.trim()).ok()?;
    (at.to_utc() - now).to_std().ok()
}

/// One short line of a provider's message, addresses replaced: messages end up in logs and in tables, which hold no NUL.
pub fn without_addresses(message: &str) -> String {
    let words = message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let clean: Vec<&str> = words.map(|word| if word.contains('@') { "<address>" } else { word }).collect();
    let clean = clean.join(" ");
    match clean.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &clean[..at]),
        None => clean,
    }
}

/// Reads the JSON that the method `what` answered.
///
/// # Errors
/// `Transient`: a body that ends early can still have come with a good status and length.
pub fn parse_json<'a, T: serde::Deserialize<'a>>(what: &str, body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(Class::Transient, format!("{what}: the answer is no whole JSON: {error}")))
}
