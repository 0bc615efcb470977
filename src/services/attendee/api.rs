//! Attendee's HTTP API: makes each call with its project's key, and returns the answer or a classified failure. Replaces NUL in answers, which
//! PostgreSQL cannot store. No database access.

mod send;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::failure;
use super::projects::Keys;
use crate::engine::Calls;
use crate::error::{Class, Failure, Fault};
use crate::http::{self, parse_json};
use crate::nul;

/// The hosted service.
const ORIGIN: &str = "https://app.attendee.dev";
/// Cost of a call: the quota counts requests.
pub const COST: u64 = 1;
/// Maximum number of pages of one listing.
const MAX_PAGES: usize = 1000;
/// Maximum number of times that a listing starts over when its cursor has expired.
const RESTARTS: usize = 3;

/// Attendee, with the keys of the projects.
pub struct Api {
    http: Arc<http::Client>,
    root: Url,
    keys: Keys,
    /// Whether any call was answered in this run.
    answered: AtomicBool,
    /// Whether a call has timed out in this run.
    silent: AtomicBool,
}

/// One page of a list.
#[derive(Deserialize)]
struct Listed {
    next: Option<String>,
    results: Vec<Box<RawValue>>,
}

/// The request for a bot.
pub struct Ask<'a> {
    pub meeting_url: &'a str,
    pub bot_name: &'a str,
    /// `None`: now.
    pub join_at: Option<DateTime<Utc>>,
    pub dedup_key: &'a str,
    /// `attendee_bots.id`, stored in the bot's metadata.
    pub bot: Uuid,
}

/// The outcome of a request for a bot.
pub enum CreateOutcome {
    /// The bot as created.
    Made(Box<RawValue>),
    /// An active bot has this deduplication key.
    KeyTaken,
}

/// The outcome of changing a bot that should not have joined yet.
pub enum Changed {
    Done,
    /// It has joined, or is about to.
    TooLate,
    Gone,
}

impl Api {
    /// # Errors
    /// Returns a settings `Fault` (exit 78) if `root` is not a valid URL.
    pub fn new(http: Arc<http::Client>, root: &str, keys: Keys) -> Result<Self, Fault> {
        let origin = if root.is_empty() { ORIGIN } else { root };
        let root = Url::parse(origin).map_err(|error| {
            Fault::settings(format!("attendee.root must be an origin such as {ORIGIN}, not {root:?}: {error}"))
        })?;
        Ok(Self { http, root, keys, answered: AtomicBool::new(false), silent: AtomicBool::new(false) })
    }

    /// Lists the bots of a project that are in one of these states and, if `join_before` is given, have an earlier `join_at`.
    pub async fn list(
        &self,
        project: Uuid,
        calls: &Calls,
        states: &[&str],
        join_before: Option<DateTime<Utc>>,
    ) -> Result<Vec<Box<RawValue>>, Failure> {
        let mut query: Vec<(&str, String)> = states.iter().map(|state| ("states", (*state).to_owned())).collect();
        if let Some(time) = join_before {
            query.push(("join_at_before", stamp(time)));
        }
        self.pages("bots.list", &[], project, calls, &query).await.map_err(no_such_list)
    }

    /// Lists the bots of a project that have this key, in any state, the latest last.
    pub async fn by_key(&self, project: Uuid, calls: &Calls, key: &str) -> Result<Vec<Box<RawValue>>, Failure> {
        self.pages("bots.list", &[], project, calls, &[("deduplication_key", key.to_owned())]).await.map_err(no_such_list)
    }

    /// Fetches all pages of a list.
    async fn pages(
        &self,
        what: &'static str,
        segments: &[&str],
        project: Uuid,
        calls: &Calls,
        query: &[(&str, String)],
    ) -> Result<Vec<Box<RawValue>>, Failure> {
        let (mut results, mut restarts) = (Vec::new(), 0);
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut url = self.url(segments)?;
            url.query_pairs_mut().extend_pairs(query).extend_pairs(cursor.as_ref().map(|cursor| ("cursor", cursor)));
            let page = self
                .make(calls, async || {
                    parse_json::<Listed>(what, &self.send(what, Method::GET, project, url.clone(), None).await?)
                })
                .await;
            let page = match page {
                // The page is gone, not the list.
                Err(failure) if failure.class == Class::Gone && cursor.is_some() && restarts < RESTARTS => {
                    restarts += 1;
                    cursor = None;
                    results.clear();
                    continue;
                }
                page => page?,
            };
            results.extend(page.results.into_iter().map(nul::without));
            // Use only the cursor of the URL: its origin may be unreachable from here.
            cursor = page.next.as_deref().and_then(cursor_of);
            match (&page.next, &cursor) {
                (None, _) => return Ok(results),
                (Some(_), None) => {
                    return Err(Failure::new(Class::Permanent, format!("{what}: the address of the next page has no cursor")));
                }
                (Some(_), Some(_)) => {}
            }
        }
        Err(Failure::new(Class::Permanent, format!("{what}: more than {MAX_PAGES} pages")))
    }

    /// Lists the participants of the meeting; `None` if there is no such bot.
    pub async fn participants(&self, project: Uuid, calls: &Calls, bot: &str) -> Result<Option<Vec<Box<RawValue>>>, Failure> {
        gone(self.pages("bots.participants", &[bot, "participants"], project, calls, &[]).await)
    }

    /// Fetches a bot by its id; `None` if there is no such bot.
    pub async fn get(&self, project: Uuid, calls: &Calls, bot: &str) -> Result<Option<Box<RawValue>>, Failure> {
        let url = self.url(&[bot])?;
        let answer = self
            .make(calls, async || parse_json("bots.get", &self.send("bots.get", Method::GET, project, url.clone(), None).await?))
            .await;
        Ok(gone(answer)?.map(nul::without))
    }

    /// Fetches the utterances, all of them or those updated after a time; `None` if there is no such bot, or it recorded nothing.
    pub async fn transcript(
        &self,
        project: Uuid,
        calls: &Calls,
        bot: &str,
        updated_after: Option<DateTime<Utc>>,
    ) -> Result<Option<Vec<Box<RawValue>>>, Failure> {
        let mut url = self.url(&[bot, "transcript"])?;
        if let Some(time) = updated_after {
            url.query_pairs_mut().append_pair("updated_after", &stamp(time));
        }
        let what = "bots.transcript";
        let answer = self
            .make(calls, async || {
                parse_json::<Vec<Box<RawValue>>>(what, &self.send(what, Method::GET, project, url.clone(), None).await?)
            })
            .await;
        Ok(gone(answer)?.map(|said| said.into_iter().map(nul::without).collect()))
    }

    /// Creates a bot.
    pub async fn create(&self, project: Uuid, calls: &Calls, ask: &Ask<'_>) -> Result<CreateOutcome, Failure> {
        let url = self.url(&[])?;
        let mut body = json!({
            "meeting_url": ask.meeting_url, "bot_name": ask.bot_name, "deduplication_key": ask.dedup_key,
            "metadata": { "syncctl_bot": ask.bot.to_string() },
        });
        if let Some(time) = ask.join_at {
            body["join_at"] = json!(stamp(time));
        }
        let what = "bots.create";
        let answer = self
            .make(calls, async || parse_json(what, &self.send(what, Method::POST, project, url.clone(), Some(&body)).await?))
            .await;
        match answer {
            Ok(bot) => Ok(CreateOutcome::Made(nul::without(bot))),
            Err(failure) if failure::is_key_taken(&failure) => Ok(CreateOutcome::KeyTaken),
            Err(failure) => Err(failure),
        }
    }

    /// Moves a bot that has not joined yet to another time or room.
    pub async fn reschedule(
        &self,
        project: Uuid,
        calls: &Calls,
        bot: &str,
        join_at: DateTime<Utc>,
        meeting_url: Option<&str>,
    ) -> Result<Changed, Failure> {
        let mut body = json!({ "join_at": stamp(join_at) });
        if let Some(meeting_url) = meeting_url {
            body["meeting_url"] = json!(meeting_url);
        }
        self.change("bots.patch", Method::PATCH, project, calls, bot, Some(&body)).await
    }

    /// Deletes a bot that has not joined yet.
    pub async fn remove(&self, project: Uuid, calls: &Calls, bot: &str) -> Result<Changed, Failure> {
        self.change("bots.delete", Method::DELETE, project, calls, bot, None).await
    }

    async fn change(
        &self,
        what: &'static str,
        method: Method,
        project: Uuid,
        calls: &Calls,
        bot: &str,
        body: Option<&Value>,
    ) -> Result<Changed, Failure> {
        let url = self.url(&[bot])?;
        let answer = self.make(calls, async || self.send(what, method.clone(), project, url.clone(), body).await).await;
        match answer {
            Ok(_) => Ok(Changed::Done),
            Err(failure) if failure.class == Class::Gone => Ok(Changed::Gone),
            Err(failure) if failure::is_too_late(&failure) => Ok(Changed::TooLate),
            Err(failure) => Err(failure),
        }
    }
}

fn gone<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.class == Class::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The list itself always exists; a 404 means that this is not Attendee. `Gone` would refer to the project.
fn no_such_list(failure: Failure) -> Failure {
    match failure.class {
        Class::Gone => {
            Failure { class: Class::Permanent, message: format!("{}; check attendee.root", failure.message), ..failure }
        }
        _ => failure,
    }
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn cursor_of(next: &str) -> Option<String> {
    // The URL may be relative.
    let query = next.split_once('?')?.1;
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_taken_from_an_address_with_or_without_its_origin() {
        assert_eq!(cursor_of("https://a.example/api/v1/bots?cursor=cD0y%3D&states=ended").as_deref(), Some("cD0y="));
        assert_eq!(cursor_of("/api/v1/bots?states=ended&cursor=x").as_deref(), Some("x"));
        assert_eq!(cursor_of("https://a.example/api/v1/bots"), None);
    }
}
