//! Sends calls to Attendee: with the project's key, with retries, and with at most one timeout per run for a server that never answers.

use std::sync::atomic::Ordering;
use std::time::Instant;

use chrono::Utc;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::{Api, COST};
use crate::engine::Calls;
use crate::error::{Class, Failure};
use crate::http;
use crate::services::attendee::failure;

impl Api {
    /// Makes a call with retries. A server that has never answered costs one timeout per run, not one per attempt and call; once it has answered,
    /// timeouts are retried as usual.
    pub(super) async fn make<T, F, Fut>(&self, calls: &Calls, call: F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let call = &call;
        let once = move || async move {
            match call().await {
                Err(failure) if self.is_silent() => Ok(Err(failure)),
                answer => answer.map(Ok),
            }
        };
        calls.make(COST, once).await?
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed) && !self.answered.load(Ordering::Relaxed)
    }

    pub(in crate::services::attendee) fn url(&self, segments: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.root.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("attendee.root cannot have a path"))?
            .pop_if_empty()
            .extend(["api", "v1", "bots"])
            .extend(segments);
        Ok(url)
    }

    /// Sends one request. `what` names it in messages.
    pub(in crate::services::attendee) async fn send(
        &self,
        what: &'static str,
        method: Method,
        project: Uuid,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Failure> {
        let key = self.keys.get(&project).ok_or_else(|| failure::no_key(project))?;
        let key = key.as_ref().map_err(Clone::clone)?;
        if self.is_silent() {
            return Err(Failure::new(Class::Transient, format!("{what}: not called: Attendee did not answer a moment ago")));
        }
        self.http.count();
        let client = self.http.to(&url)?;
        let mut request = client.request(method, url).header(AUTHORIZATION, format!("Token {}", key.expose_secret()));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let turn = self.http.turn().await;
        let started = Instant::now();
        let response = request.send().await.map_err(|error| {
            self.silent.fetch_or(error.is_timeout(), Ordering::Relaxed);
            let failure = http::transient(what, error);
            http::log_call(what, started, Err(&failure));
            failure
        })?;
        self.answered.store(true, Ordering::Relaxed);
        turn.answered(what, http::is_overloaded(response.status().as_u16()));
        let (status, retry_after, body) = http::received(what, response, self.http.most()).await?;
        http::log_call(what, started, Ok((status, body.len())));
        match status {
            200..300 if body.trim_ascii_start().starts_with(b"<") => Err(failure::no_attendee(what)),
            200..300 => Ok(body),
            _ => Err(failure::classify(what, status, retry_after.as_deref(), &body, Utc::now())),
        }
    }
}
