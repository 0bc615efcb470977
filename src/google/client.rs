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

/// Google's hosts. One origin setting replaces them all.
#[derive(Debug, Clone, Copy)]
pub enum Host {
    /// Calendar and Drive.
    Apis,
    /// Gmail.
    Gmail,
    /// The page on which people consent.
    Accounts,
    /// The token endpoint, and where grants end.
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

/// Google, as one run reaches it.
pub struct Client {
    root: Option<Url>,
    token_hosts: Vec<String>,
    http: Arc<http::Client>,
}

impl Client {
    /// A client that has opened nothing yet.
    ///
    /// # Errors
    /// A root that is no http(s) origin (exit 78).
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
    pub async fn get(&self, what: &'static str, token: &dyn GetToken, scope: &str, url: Url) -> Result<Vec<u8>, Failure> {
        let token = token_of(what, token, scope).await?;
        self.count();
        judged(what, self.send(what, url, token.as_deref()).await?)
    }

    /// As `get`, for content of any size and kind: hands each part to `take` as it comes, until that answers false. Answers the content type.
    ///
    /// # Errors
    /// As `get`.
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
        // The content may take any time: what tells of the server is its first answer.
        let status = response.status().as_u16();
        turn.answered(what, is_overloaded(status));
        if !response.status().is_success() {
            let answer = received(what, response, SMALL).await?;
            log_call(what, started, Ok((status, answer.2.len())));
            judged(what, answer)?;
            return Ok(None);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        // What comes is unpacked already, so that a small answer cannot unpack to a large one.
        while let Some(part) = response.chunk().await.map_err(|error| transient(what, error))? {
            bytes += part.len();
            if !take(&part) {
                break;
            }
        }
        log_call(what, started, Ok((status, bytes)));
        Ok(kind)
    }

    /// POSTs JSON to `url` with the caller's token; an empty answer is an empty body.
    ///
    /// # Errors
    /// As `get`.
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
        judged(what, self.http.send(what, request, self.http.most()).await?)
    }

    pub(super) async fn send(&self, what: &'static str, url: Url, token: Option<&str>) -> Result<Answer, Failure> {
        let mut request = self.http.to(&url)?.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        self.http.send(what, request, self.http.most()).await
    }

    /// Sends a form to a token endpoint; answers status, `Retry-After` and body.
    pub(super) async fn post_form(&self, what: &'static str, url: Url, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.post_encoded(what, url, body.into_bytes()).await
    }

    /// The same, of a form that is encoded already.
    pub(super) async fn post_encoded(&self, what: &'static str, url: Url, body: Vec<u8>) -> Result<Answer, Failure> {
        let request = self.http.to(&url)?.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        // An answer that cannot be read says nothing of the grant.
        self.http.send(what, request, SMALL).await.map_err(|failure| Failure { class: Class::Transient, ..failure })
    }

    /// Where tokens are asked for when a credential does not say.
    pub(super) fn default_token_uri(&self) -> anyhow::Result<Url> {
        self.url(Host::OAuth, &["token"])
    }

    /// Where credentials that name this address ask for tokens.
    ///
    /// # Errors
    /// Why that address is not asked.
    pub(super) fn token_endpoint(&self, uri: &str) -> Result<Url, String> {
        endpoint::allowed(uri, self.root.as_ref(), &self.token_hosts)
    }

    /// Waits until one more request may be under way.
    pub(super) async fn turn(&self) -> RequestPermit<'_> {
        self.http.turn().await
    }

    /// Most bytes that are read of an answer.
    pub(super) fn most(&self) -> usize {
        self.http.most()
    }

    /// What asks this address.
    pub(super) fn to(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        self.http.to(url)
    }

    /// Counts a call that is made by other ways than these.
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
        // Stored by a version that took any text; a new one is asked for.
        Some(token) if !endpoint::is_token(&token) => {
            Err(Failure::new(Class::TokenStale, format!("{what}: the stored text is no access token (RFC 6750)")))
        }
        token => Ok(token),
    }
}

/// The body of a good answer.
pub(super) fn judged(what: &str, (status, retry_after, body): Answer) -> Result<Vec<u8>, Failure> {
    match status {
        200..300 => Ok(body),
        _ => Err(classify(what, status, retry_after.as_deref(), &body, chrono::Utc::now())),
    }
}
