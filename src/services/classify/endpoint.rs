//! The model endpoint: asks one question per document through the OpenAI-compatible `POST /chat/completions`, within budgets shared by all hosts.
//!
//! - `prompt`: the messages to the model; `request`: the request body; `answer`: strict parsing of the model's answer
//! - `failure`: classifies error responses; `tokens`: the maximum tokens of a call, and their cost
//!
//! Neither document text nor the key appears in a message or a log: of the endpoint's error responses, only short codes are kept.

mod answer;
mod failure;
mod prompt;
mod request;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::ExposeSecret as _;
use tokio::sync::OnceCell;
use url::{Position, Url};
use uuid::Uuid;

use crate::config;
use crate::db::Pool;
use crate::db::model_usage::{self, Budget, Call, Spending};
use crate::db::quota::{self, Carried, Limits, Reservation};
use crate::error::{Class, Failure, Fault};
use crate::http::connections::{self, Reach};
use crate::http::proxies::Proxies;
use crate::http::{self, address};
use prompt::Prompt;
use request::Format;
use tokens::Prices;

pub use tokens::Usage;

/// The method name in messages.
const WHAT: &str = "chat.completions";
/// Key of the requests per minute in the quota ledger. The slash distinguishes it from a project.
const SERVICE: &str = "classify";
const SUBJECT: &str = "endpoint/requests";

/// A document, and the projects of its user that it may belong to, most likely first. The first 20 are offered.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub title: &'a str,
    pub author: &'a str,
    /// The first 2,000 characters are sent.
    pub text: &'a str,
    pub candidates: &'a [Candidate<'a>],
}

/// A project.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// `projects.id`; never sent.
    pub id: Uuid,
    pub name: &'a str,
    pub description: Option<&'a str>,
}

/// The model's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// One of the offered candidates.
    Project(Uuid),
    NoneOfThem,
    Unsure,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered {
    pub choice: Choice,
    /// From 0 to 1, as stated by the model.
    pub confidence: f32,
    /// Tokens used by the answered request.
    pub usage: Usage,
}

/// The endpoint of the settings, for one run.
pub struct Endpoint {
    http: Arc<http::Client>,
    /// Built by the first call, so that a run without questions loads no certificates.
    client: OnceCell<reqwest::Client>,
    url: Url,
    /// Host, and port unless it is the scheme's default.
    host: String,
    settings: config::Endpoint,
    prices: Prices,
    /// The strictest response format that the endpoint has not refused in this run, as `Format`.
    format: AtomicU8,
}

impl Endpoint {
    /// # Errors
    /// Returns a `Fault` (exit 78) if the URL is missing or invalid, or the endpoint must not be called there.
    pub fn new(http: Arc<http::Client>, settings: &config::Endpoint) -> anyhow::Result<Self> {
        let mut url = Url::parse(&settings.url)
            .map_err(|error| Fault::settings(format!("classify.endpoint.url is not a valid URL: {error}")))?;
        may_be_called(&url, settings.allow_private)?;
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        url.path_segments_mut()
            .map_err(|()| Fault::settings("classify.endpoint.url cannot have a path"))?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        Ok(Self {
            http,
            client: OnceCell::new(),
            url,
            host,
            prices: Prices::of(settings),
            settings: settings.clone(),
            format: AtomicU8::new(Format::Schema as u8),
        })
    }

    /// Asks which project a document belongs to. Reserves from the budgets before each request and corrects them after it.
    ///
    /// # Errors
    /// Returns `RateLimited` or `DailyQuota` if a limit of the endpoint or of the settings is reached (`retry_after`: how long); `BadAnswer` if the
    /// answer is unusable (see `reason`); `AuthRevoked` if the key is refused, which is not the fault of any user; `Settings` if the URL or the model
    /// is wrong; `Transient`, `Permanent` and `Internal` as elsewhere.
    pub async fn request(&self, pool: &Pool, question: &Question<'_>) -> Result<Answered, Failure> {
        let mut max_text = prompt::MAX_TEXT;
        loop {
            let format = Format::of(self.format.load(Ordering::Relaxed));
            let prompt = Prompt::new(question, max_text);
            let failure = match self.attempt(pool, &prompt, format).await {
                Ok((said, usage)) => return said.answered(question.candidates, usage),
                Err(failure) => failure,
            };
            match (failure.reason.as_str(), format.looser()) {
                (failure::NO_SUCH_FORMAT, Some(looser)) => {
                    self.format.fetch_max(looser as u8, Ordering::Relaxed);
                }
                (failure::TOO_LONG, _) if max_text == prompt::MAX_TEXT => {
                    max_text = question.text.chars().take(max_text).count() / 2;
                }
                _ => return Err(failure),
            }
        }
    }

    /// Makes one request within the budgets.
    async fn attempt(&self, pool: &Pool, prompt: &Prompt, format: Format) -> Result<(answer::Said, Usage), Failure> {
        let body = request::body(&self.settings.model, prompt, format);
        let max = request::max_usage(prompt, format);
        let reserved = self.prices.spending(max);
        let day = self.reserve(pool, reserved).await?;
        let answer = self.post(body.to_string()).await;
        let (used, said) = evaluate(answer, prompt, max, Utc::now());
        let call = Call {
            endpoint: &self.host,
            model: &self.settings.model,
            prompt_tokens: used.prompt_tokens,
            completion_tokens: used.completion_tokens,
            cost: self.prices.spending(used).cost,
            failed: said.is_err(),
        };
        model_usage::record_call(pool, day, reserved, &call).await?;
        Ok((said?, used))
    }

    /// Reserves one request and its maximum spending; returns the day that it counts towards. A request beyond the day's budget still counts
    /// towards its minute.
    async fn reserve(&self, pool: &Pool, max: Spending) -> Result<NaiveDate, Failure> {
        let minute = Limits { per_minute: self.settings.requests_per_minute.into(), per_day: i64::MAX };
        let room_in = match quota::reserve(pool, SERVICE, SUBJECT, 1, Carried::default(), &minute).await? {
            Reservation::Granted { .. } => None,
            Reservation::MinuteFull { room_in, .. } => Some(room_in),
            Reservation::DayFull { day_ends } => Some(day_ends),
        };
        if let Some(seconds) = room_in {
            return Err(failure::minute_full(seconds));
        }
        match model_usage::reserve(pool, max, self.prices.limits(&self.settings)).await? {
            Budget::Granted { day } => Ok(day),
            Budget::UsedUp { until } => Err(failure::used_up(until, Utc::now())),
        }
    }

    async fn post(&self, body: String) -> Result<http::Answer, Failure> {
        let client = self.client.get_or_try_init(async || self.connections()).await?;
        if !self.settings.allow_private
            && let Err(private) = Proxies::of_environment().check(&self.url).await
        {
            return Err(Failure::new(Class::Settings, format!("classify.endpoint.url: {private}")));
        }
        let mut request = client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let key = self.settings.key.expose_secret();
        if !key.is_empty() {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                Failure::new(Class::Settings, "classify.endpoint.key_file holds characters that are invalid in an HTTP header")
            })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        self.http.count();
        self.http.send(WHAT, request, http::SMALL).await
    }

    fn connections(&self) -> anyhow::Result<reqwest::Client> {
        let plain = self.url.scheme() == "http";
        let reach = match (self.settings.allow_private, plain) {
            (false, _) => Reach::Public,
            (true, true) => Reach::Private,
            (true, false) => Reach::All,
        };
        let builder = connections::within(reach, self.settings.timeout, plain)?.user_agent(http::USER_AGENT).gzip(true);
        // Each thread has its own runtime, and a connection dies with the runtime that opened it. Connecting is fast compared with an answer.
        let builder = builder.pool_max_idle_per_host(0);
        builder.build().context("building the HTTP client of the model endpoint")
    }
}

/// Checks addresses written in the URL. The addresses of host names are checked on connecting.
fn may_be_called(url: &Url, allow_private: bool) -> Result<(), Fault> {
    let wrong = |why: String| Err(Fault::settings(format!("classify.endpoint.url: {why}")));
    if let (false, Err(private)) = (allow_private, address::check(url)) {
        return wrong(format!("{private}: set classify.endpoint.allow_private=true if the endpoint is on a private network"));
    }
    match (url.scheme(), address::literal(url)) {
        ("https", _) => Ok(()),
        ("http", None) if allow_private => Ok(()),
        ("http", Some(ip)) if allow_private && !address::is_public(ip) => Ok(()),
        _ => wrong("must be https: http is for loopback and private networks, with classify.endpoint.allow_private=true".into()),
    }
}

/// Returns the tokens a request used, and the model's answer. If the usage is unknown, it counts as everything reserved. Pure.
fn evaluate(
    answer: Result<http::Answer, Failure>,
    prompt: &Prompt,
    max: Usage,
    now: DateTime<Utc>,
) -> (Usage, Result<answer::Said, Failure>) {
    match answer {
        // The request did not reach the endpoint.
        Err(failure) if failure.reason == http::UNREACHED || matches!(failure.class, Class::Settings | Class::Internal) => {
            (Usage::default(), Err(failure))
        }
        Err(failure) => (max, Err(failure::unread(failure))),
        Ok((200..300, _, body)) => {
            let completion = answer::completion(&body);
            let used = completion.as_ref().ok().and_then(|completion| completion.usage());
            (used.unwrap_or(max), completion.and_then(|completion| completion.parse(prompt)))
        }
        Ok((status, retry_after, body)) => (Usage::default(), Err(failure::classify(status, retry_after.as_deref(), &body, now))),
    }
}

/// Formats a time for messages.
fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;
