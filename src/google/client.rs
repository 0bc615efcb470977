//! Authorized GETs and POSTs against Google's APIs, each answered with the body or a classified failure.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use anyhow::Context;
use google_apis_common::GetToken;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use url::Url;

use super::batch::Answer;
use super::classify;
use crate::config;
use crate::error::{Class, Failure, Fault};

// "gzip" in the User-Agent is what makes Google compress.
const USER_AGENT: &str = concat!("syncctl/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// Google's hosts. One origin setting replaces both.
#[derive(Debug, Clone, Copy)]
pub enum Host {
    /// Calendar and Drive.
    Apis,
    /// Gmail.
    Gmail,
}

impl Host {
    fn origin(self) -> &'static str {
        match self {
            Self::Apis => "https://www.googleapis.com",
            Self::Gmail => "https://gmail.googleapis.com",
        }
    }
}

/// The HTTP client of one run.
pub struct Client {
    root: Option<Url>,
    timeout: Duration,
    connect_timeout: Duration,
    // Built at the first call: a run in which nothing is due loads no certificates. One a thread, because connections are driven by the
    // runtime that opened them, and a request that wakes another thread costs more than the request.
    http: Mutex<HashMap<ThreadId, reqwest::Client>>,
    pub(super) calls: AtomicU64,
}

impl Client {
    /// A client that has opened nothing yet.
    ///
    /// # Errors
    /// A root that is no http(s) origin (exit 78).
    pub fn new(settings: &config::Google) -> anyhow::Result<Self> {
        let root = match settings.root.as_str() {
            "" => None,
            root => {
                Some(Url::parse(root).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(
                    || Fault::settings(format!("google.root must be an origin such as http://127.0.0.1:8080, not {root:?}")),
                )?)
            }
        };
        Ok(Self {
            root,
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            http: Mutex::default(),
            calls: AtomicU64::new(0),
        })
    }

    /// API calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The address of a resource. Each segment is percent-encoded, so ids with `#`, `/` or `@` are safe.
    pub fn url(&self, host: Host, segments: &[&str]) -> anyhow::Result<Url> {
        let mut url = match &self.root {
            Some(root) => root.clone(),
            None => Url::parse(host.origin()).context("parsing Google's origin")?,
        };
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("Google's origin cannot have a path"))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    /// GETs `url` with the caller's token. `what` names the method for messages (`events.list`).
    ///
    /// # Errors
    /// A `Failure` of the class that google.md's error table gives, or the one that the token source raised.
    pub async fn get(&self, what: &str, token: &dyn GetToken, scope: &str, url: Url) -> Result<Vec<u8>, Failure> {
        let token = token_of(what, token, scope).await?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        judged(what, self.send(what, url, token.as_deref()).await?)
    }

    /// As `get`, for content of any size and kind: what is sent of at most `most` bytes, with its content type; `None`: there is more.
    ///
    /// # Errors
    /// As `get`.
    pub async fn download(
        &self,
        what: &str,
        token: &dyn GetToken,
        scope: &str,
        url: Url,
        most: usize,
    ) -> Result<Option<(Option<String>, Vec<u8>)>, Failure> {
        let token = token_of(what, token, scope).await?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut request = self.http()?.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(|error| transient(what, error))?;
        if !response.status().is_success() {
            return judged(what, received(what, response).await?).map(|body| Some((None, body)));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        // What comes is unpacked already, so that a small answer cannot unpack to a large one.
        while let Some(part) = response.chunk().await.map_err(|error| transient(what, error))? {
            if body.len() + part.len() > most {
                return Ok(None);
            }
            body.extend_from_slice(&part);
        }
        Ok(Some((kind, body)))
    }

    /// POSTs JSON to `url` with the caller's token; an empty answer is an empty body.
    ///
    /// # Errors
    /// As `get`.
    pub async fn post(
        &self,
        what: &str,
        token: &dyn GetToken,
        scope: &str,
        url: Url,
        body: &serde_json::Value,
    ) -> Result<Vec<u8>, Failure> {
        let token = token_of(what, token, scope).await?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut request = self.http()?.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        judged(what, received(what, request.send().await.map_err(|error| transient(what, error))?).await?)
    }

    pub(super) async fn send(&self, what: &str, url: Url, token: Option<&str>) -> Result<Answer, Failure> {
        let mut request = self.http()?.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        received(what, request.send().await.map_err(|error| transient(what, error))?).await
    }

    /// Sends a form to a token endpoint; answers status, `Retry-After` and body.
    pub(super) async fn post_form(&self, what: &str, url: Url, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let response = self
            .http()?
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(|error| transient(what, error))?;
        received(what, response).await
    }

    /// Where tokens are asked for when a credential does not say.
    pub(super) fn default_token_uri(&self) -> anyhow::Result<Url> {
        match &self.root {
            Some(root) => root.join("token").context("joining the token path"),
            None => Url::parse("https://oauth2.googleapis.com/token").context("parsing Google's token address"),
        }
    }

    /// How long one answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn http(&self) -> Result<reqwest::Client, Failure> {
        let mut clients = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = clients.get(&std::thread::current().id()) {
            return Ok(http.clone());
        }
        let mut builder = reqwest::Client::builder();
        if self.root.as_ref().is_some_and(|root| root.scheme() == "http") {
            // The platform's certificates take longer to load than many a run takes; without https nothing asks for them.
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| Failure::new(Class::Internal, format!("building the TLS settings: {error}")))?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            builder = builder.tls_backend_preconfigured(config);
        }
        let http = builder
            .user_agent(USER_AGENT)
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .gzip(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::new(Class::Internal, format!("building the HTTP client: {error}")))?;
        clients.insert(std::thread::current().id(), http.clone());
        Ok(http)
    }
}

pub(super) async fn token_of(what: &str, token: &dyn GetToken, scope: &str) -> Result<Option<String>, Failure> {
    token.get_token(&[scope]).await.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) => *failure,
        Err(error) => Failure::new(Class::Internal, format!("{what}: no token: {error}")),
    })
}

/// The whole answer. The body may be cut after a good status: that is a failure too.
pub(super) async fn received(what: &str, response: reqwest::Response) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.bytes().await.map_err(|error| transient(what, error))?;
    Ok((status, retry_after, body.into()))
}

/// The body of a good answer.
pub(super) fn judged(what: &str, (status, retry_after, body): Answer) -> Result<Vec<u8>, Failure> {
    match status {
        200..300 => Ok(body),
        _ => Err(classify(what, status, retry_after.as_deref(), &body, chrono::Utc::now())),
    }
}

/// Connection, timeout, cut body: worth another try. The address stays out of the message, since it can hold one.
pub(super) fn transient(what: &str, error: reqwest::Error) -> Failure {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "could not connect"
    } else if error.is_body() || error.is_decode() {
        "the answer was cut"
    } else {
        "the connection broke"
    };
    let error = error.without_url();
    let mut cause = String::new();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        cause = format!(": {inner}");
        source = inner.source();
    }
    Failure::new(Class::Transient, format!("{what}: {kind}{cause}"))
}
