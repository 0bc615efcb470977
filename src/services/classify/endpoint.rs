//! The model endpoint: one question about one document, over the OpenAI-compatible `POST /chat/completions`, within budgets that all hosts share.
//!
//! - `prompt`: what is said to the model; `request`: the body of the request; `answer`: what the model says, read strictly
//! - `failure`: what an error answer means; `tokens`: what a call uses at the most, and what that costs
//!
//! Neither a text nor the key gets into a message or a log: of what the endpoint says on errors only short codes are kept.

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
use crate::http::{self, address};
use prompt::Prompt;
use request::Format;
use tokens::Prices;

pub use tokens::Usage;

/// The method, for messages.
const WHAT: &str = "chat.completions";
/// Requests of a minute in the quota ledger. What stands behind a slash is no project's.
const SERVICE: &str = "classify";
const SUBJECT: &str = "endpoint/requests";

/// A document, and the projects of its user that it may belong to, the likeliest first: 20 of them are offered.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub title: &'a str,
    pub author: &'a str,
    /// 2,000 characters of it are sent.
    pub text: &'a str,
    pub candidates: &'a [Candidate<'a>],
}

/// A project.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// `projects.id`. It is never sent.
    pub id: Uuid,
    pub name: &'a str,
    pub description: Option<&'a str>,
}

/// What the model chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// One of the candidates that were offered.
    Project(Uuid),
    NoneOfThem,
    Unsure,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered {
    pub choice: Choice,
    /// From 0 to 1, by the model's own word.
    pub confidence: f32,
    /// Of the request that was answered.
    pub usage: Usage,
}

/// The endpoint of the settings, for one run.
pub struct Endpoint {
    http: Arc<http::Client>,
    /// Built at the first call: a run that asks nothing loads no certificates.
    client: OnceCell<reqwest::Client>,
    url: Url,
    /// Host, with its port unless that is the scheme's.
    place: String,
    settings: config::Endpoint,
    prices: Prices,
    /// The strictest form of answer that the endpoint has not refused in this run, as `Format`.
    format: AtomicU8,
}

impl Endpoint {
    /// # Errors
    /// A `Fault` (exit 78): no endpoint is named, or it is where it may not be.
    pub fn new(http: Arc<http::Client>, settings: &config::Endpoint) -> anyhow::Result<Self> {
        let mut url = Url::parse(&settings.url)
            .map_err(|error| Fault::settings(format!("classify.endpoint.url is no address of an endpoint: {error}")))?;
        may_be_called(&url, settings.allow_private)?;
        let place = url[Position::BeforeHost..Position::AfterPort].to_owned();
        url.path_segments_mut()
            .map_err(|()| Fault::settings("classify.endpoint.url cannot have a path"))?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        Ok(Self {
            http,
            client: OnceCell::new(),
            url,
            place,
            prices: Prices::of(settings),
            settings: settings.clone(),
            format: AtomicU8::new(Format::Schema as u8),
        })
    }

    /// Asks which project a document belongs to. The budgets are asked before each request, and are corrected after it.
    ///
    /// # Errors
    /// `RateLimited` and `DailyQuota`: the endpoint's limits, or those of the settings (`retry_after`: until when); `BadAnswer`: what the model said is
    /// no answer (`reason` says how); `AuthRevoked`: the key is refused, which is no user's fault; `Settings`: the url or the model is wrong;
    /// `Transient`, `Permanent` and `Internal` as everywhere.
    pub async fn request(&self, pool: &Pool, question: &Question<'_>) -> Result<Answered, Failure> {
        let mut most_text = prompt::MOST_TEXT;
        loop {
            let format = Format::of(self.format.load(Ordering::Relaxed));
            let prompt = Prompt::new(question, most_text);
            let failure = match self.attempt(pool, &prompt, format).await {
                Ok((said, usage)) => return said.answered(question.candidates, usage),
                Err(failure) => failure,
            };
            match (failure.reason.as_str(), format.looser()) {
                (failure::NO_SUCH_FORMAT, Some(looser)) => {
                    self.format.fetch_max(looser as u8, Ordering::Relaxed);
                }
                (failure::TOO_LONG, _) if most_text == prompt::MOST_TEXT => {
                    most_text = question.text.chars().take(most_text).count() / 2;
                }
                _ => return Err(failure),
            }
        }
    }

    /// One request, within the budgets.
    async fn attempt(&self, pool: &Pool, prompt: &Prompt, format: Format) -> Result<(answer::Said, Usage), Failure> {
        let body = request::body(&self.settings.model, prompt, format);
        let most = tokens::most(prompt, format);
        let reserved = self.prices.spending(most);
        let day = self.reserve(pool, reserved).await?;
        let answer = self.post(body.to_string()).await;
        let (used, said) = judged(answer, prompt, most, Utc::now());
        let call = Call {
            endpoint: &self.place,
            model: &self.settings.model,
            prompt_tokens: used.prompt_tokens,
            completion_tokens: used.completion_tokens,
            cost: self.prices.spending(used).cost,
            failed: said.is_err(),
        };
        model_usage::record_call(pool, day, reserved, &call).await?;
        Ok((said?, used))
    }

    /// Takes one request and what it uses at the most out of the budgets; answers the day on which that counts. A request that the day has no room
    /// for still counts in its minute.
    async fn reserve(&self, pool: &Pool, most: Spending) -> Result<NaiveDate, Failure> {
        let minute = Limits { per_minute: self.settings.requests_per_minute.into(), per_day: i64::MAX };
        let room_in = match quota::reserve(pool, SERVICE, SUBJECT, 1, Carried::default(), &minute).await? {
            Reservation::Granted { .. } => None,
            Reservation::MinuteFull { room_in, .. } => Some(room_in),
            Reservation::DayFull { day_ends } => Some(day_ends),
        };
        if let Some(seconds) = room_in {
            return Err(failure::minute_full(seconds));
        }
        match model_usage::reserve(pool, most, self.prices.limits(&self.settings)).await? {
            Budget::Granted { day } => Ok(day),
            Budget::UsedUp { until } => Err(failure::used_up(until, Utc::now())),
        }
    }

    async fn post(&self, body: String) -> Result<http::Answer, Failure> {
        let client = self.client.get_or_try_init(async || self.connections()).await?;
        let mut request = client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let key = self.settings.key.expose_secret();
        if !key.is_empty() {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                Failure::new(Class::Settings, "classify.endpoint.key_file holds no key: it has characters that no header takes")
            })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        self.http.count();
        self.http.send(WHAT, request, http::SMALL).await
    }

    fn connections(&self) -> anyhow::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(http::USER_AGENT)
            .timeout(self.settings.timeout)
            .connect_timeout(self.settings.timeout)
            .gzip(true)
            // A redirect could lead where the endpoint itself may not be, and take the text along.
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve names by itself, behind the check of addresses.
            .no_proxy()
            // Threads have runtimes of their own, and a connection dies with the one that opened it. An answer takes much longer than a connection.
            .pool_max_idle_per_host(0);
        let plain = self.url.scheme() == "http";
        if plain {
            builder = http::without_certificates(builder)?;
        }
        builder = match (self.settings.allow_private, plain) {
            (false, _) => builder.dns_resolver(Arc::new(address::PublicOnly)),
            (true, true) => builder.dns_resolver(Arc::new(address::PrivateOnly)),
            (true, false) => builder,
        };
        builder.build().context("building the HTTP client of the model endpoint")
    }
}

/// Refuses addresses that stand in the URL itself; those of names are checked when they are connected to.
fn may_be_called(url: &Url, allow_private: bool) -> Result<(), Fault> {
    let wrong = |why: String| Err(Fault::settings(format!("classify.endpoint.url: {why}")));
    if let (false, Err(private)) = (allow_private, address::check(url)) {
        return wrong(format!("{private}: set classify.endpoint.allow_private=true if that is where the endpoint belongs"));
    }
    match (url.scheme(), address::literal(url)) {
        ("https", _) => Ok(()),
        ("http", None) if allow_private => Ok(()),
        ("http", Some(ip)) if allow_private && !address::is_public(ip) => Ok(()),
        _ => wrong("must be https: http is for loopback and private networks, with classify.endpoint.allow_private=true".into()),
    }
}

/// What a request used, and what was said. Pure. Where nobody knows what was used, it counts as all that was reserved.
fn judged(
    answer: Result<http::Answer, Failure>,
    prompt: &Prompt,
    most: Usage,
    now: DateTime<Utc>,
) -> (Usage, Result<answer::Said, Failure>) {
    match answer {
        // It never got there.
        Err(failure) if failure.reason == http::UNREACHED || matches!(failure.class, Class::Settings | Class::Internal) => {
            (Usage::default(), Err(failure))
        }
        Err(failure) => (most, Err(failure::unread(failure))),
        Ok((200..300, _, body)) => {
            let completion = answer::completion(&body);
            let used = completion.as_ref().ok().and_then(|completion| completion.usage());
            (used.unwrap_or(most), completion.and_then(|completion| completion.parse(prompt)))
        }
        Ok((status, retry_after, body)) => (Usage::default(), Err(failure::classify(status, retry_after.as_deref(), &body, now))),
    }
}

/// A time as messages show it.
fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;
