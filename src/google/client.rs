//! Authorized GETs and POSTs against Google's APIs, each answered with the body or a classified failure.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use google_apis_common::GetToken;
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::{classify, endpoint};
use crate::config;
use crate::error::{Class, Failure, Fault};
use crate::http::{self, Answer, RequestPermit, SMALL, is_overloaded, log_call, received, transient};

/// Google's hosts. A single origin setting replaces them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host {
    /// Calendar and Drive.
    Apis,
    /// Gmail.
    Gmail,
    /// The consent page.
    Accounts,
    /// The token endpoint and the revocation of grants.
    OAuth,
    /// The directory of a Workspace domain.
    Admin,
}

impl Host {
    fn origin(self) -> &'static str {
        match self {
            Self::Apis => "https://www.googleapis.com",
            Self::Gmail => "https://gmail.googleapis.com",
            Self::Accounts => "https://accounts.google.com",
            Self::OAuth => "https://oauth2.googleapis.com",
            Self::Admin => "https://admin.googleapis.com",
        }
    }
}

/// A run's client for Google.
pub struct Client {
    root: Option<Url>,
    token_hosts: Vec<String>,
    http: Arc<http::Client>,
}

impl Client {
    /// Creates a client without any connections.
    ///
    /// # Errors
    /// Returns `Fault::settings` if the root is not an http(s) origin.
    pub fn new(settings: &config::Google, http: Arc<http::Client>) -> anyhow::Result<Self> {
        let root = match settings.root.as_str() {
            "" => None,
            root => {
                Some(Url::parse(root).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(
                    || Fault::settings(format!("google.root must be an origin such as http://127.0.0.1:8080, not {root:?}")),
                )?)
            }
        };
        Ok(Self { root, token_hosts: settings.token_hosts.clone(), http })
    }

    /// The URL of a resource. Each segment is percent-encoded, so ids with `#`, `/` or `@` are safe.
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
    /// Returns a `Failure` of the class given in google.md's error table, or the one raised by the token source.
    pub async fn get(&self, what: &'static str, token: &dyn GetToken, scope: &str, url: Url) -> Result<Vec<u8>, Failure> {
        let token = token_of(what, token, scope).await?;
        self.count();
        success_body(what, self.send(what, url, token.as_deref()).await?)
    }

    /// Like `get`, for content of any size and kind: passes each chunk to `take` as it arrives, until `take` returns false. Returns the content type.
    ///
    /// # Errors
    /// Same as `get`.
    pub async fn download(
        &self,
        what: &'static str,
        token: &dyn GetToken,
        scope: &str,
        url: Url,
        mut take: impl FnMut(&[u8]) -> bool + Send,
    ) -> Result<Option<String>, Failure> {
        let token = token_of(what, token, scope).await?;
        self.count();
        let mut request = self.http.to(&url)?.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let turn = self.http.turn().await;
        let (started, mut bytes) = (Instant::now(), 0);
        let mut response = request.send().await.map_err(|error| transient(what, error))?;
        // The content may take any time: only the first response reflects the server's speed.
        let status = response.status().as_u16();
        turn.answered(what, is_overloaded(status));
        if !response.status().is_success() {
            let answer = received(what, response, SMALL).await?;
            log_call(what, started, Ok((status, answer.2.len())));
            success_body(what, answer)?;
            return Ok(None);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        // Chunks are already decompressed, so that a small response cannot decompress to a large one unnoticed.
        while let Some(part) = response.chunk().await.map_err(|error| transient(what, error))? {
            bytes += part.len();
            if !take(&part) {
                break;
            }
        }
        log_call(what, started, Ok((status, bytes)));
        Ok(kind)
    }

    /// POSTs JSON to `url` with the caller's token; an empty response gives an empty body.
    ///
    /// # Errors
    /// Same as `get`.
    pub async fn post(
        &self,
        what: &'static str,
        token: &dyn GetToken,
        scope: &str,
        url: Url,
        body: &serde_json::Value,
    ) -> Result<Vec<u8>, Failure> {
        let token = token_of(what, token, scope).await?;
        self.count();
        let mut request = self.http.to(&url)?.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        success_body(what, self.http.send(what, request, self.http.most()).await?)
    }

    pub(super) async fn send(&self, what: &'static str, url: Url, token: Option<&str>) -> Result<Answer, Failure> {
        let mut request = self.http.to(&url)?.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        self.http.send(what, request, self.http.most()).await
    }

    /// Sends a form to a token endpoint; returns status, `Retry-After` and body.
    pub(super) async fn post_form(&self, what: &'static str, url: Url, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.post_encoded(what, url, body.into_bytes()).await
    }

    /// Sends a form that is already encoded.
    pub(super) async fn post_encoded(&self, what: &'static str, url: Url, body: Vec<u8>) -> Result<Answer, Failure> {
        let request = self.http.to(&url)?.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        // A response that cannot be read says nothing about the grant.
        self.http.send(what, request, SMALL).await.map_err(|failure| Failure { class: Class::Transient, ..failure })
    }

    /// The token endpoint for credentials that do not name one.
    pub(super) fn default_token_uri(&self) -> anyhow::Result<Url> {
        self.url(Host::OAuth, &["token"])
    }

    /// The token endpoint for credentials that name this URL.
    ///
    /// # Errors
    /// Returns why that URL is not allowed.
    pub(super) fn token_endpoint(&self, uri: &str) -> Result<Url, String> {
        endpoint::allowed(uri, self.root.as_ref(), &self.token_hosts)
    }

    /// Waits for a free request slot.
    pub(super) async fn turn(&self) -> RequestPermit<'_> {
        self.http.turn().await
    }

    /// Maximum number of bytes read of a response.
    pub(super) fn most(&self) -> usize {
        self.http.most()
    }

    /// The HTTP client for this URL.
    pub(super) fn to(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        self.http.to(url)
    }

    /// Counts a call made outside this client's methods.
    pub(super) fn count(&self) {
        self.http.count();
    }
}

pub(super) async fn token_of(what: &'static str, token: &dyn GetToken, scope: &str) -> Result<Option<String>, Failure> {
    let token = token.get_token(&[scope]).await.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) => Failure { of_token: true, ..*failure },
        Err(error) => Failure::new(Class::Internal, format!("{what}: no token: {error}")),
    })?;
    match token {
        // Stored by a version that accepted any text; a new token is requested.
        Some(token) if !endpoint::is_token(&token) => {
            Err(Failure::new(Class::TokenStale, format!("{what}: the stored text is not an access token (RFC 6750)")))
        }
        token => Ok(token),
    }
}

/// Returns the body of a successful response, or classifies the failure.
pub(super) fn success_body(what: &str, (status, retry_after, body): Answer) -> Result<Vec<u8>, Failure> {
    match status {
        200..300 => Ok(body),
        _ => Err(classify(what, status, retry_after.as_deref(), &body, chrono::Utc::now())),
    }
}
