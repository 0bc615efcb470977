//! Meetings to which a bot is on its way are asked for by their ids, an hour before they begin and once more shortly before: whether a sync token
//! tells that an event has left the window of the pass that it comes from is documented nowhere, and a bot must not go where nobody meets.
//!
//! What Google does not answer leaves everything as it is: a bot where nobody meets costs less than a meeting without its bot.
//!
//! So are events that lie in quarantine and that a complete pass did not name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use futures_util::future::join_all;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::{Calendar, Change, event, fetch};
use crate::db::Pool;
use crate::db::items::Poison;
use crate::engine::{Calls, Found, Item, Stream};
use crate::error::{Class, Failure};
use crate::google::{self, Endpoint, Host};

/// Asked for from so long before a meeting on.
const EARLY: Duration = Duration::from_secs(60 * 60);
/// Asked for once more from so long before it on.
const LATE: Duration = Duration::from_secs(15 * 60);
/// Meetings that one poll asks for; what is left is asked for by the next.
const MOST: usize = 50;
/// How an event is asked for by its id.
const WHAT: &str = "events.get";

/// What is to be asked for, by `streams.id`.
#[derive(Default)]
pub struct Asks(Mutex<HashMap<i64, Vec<Ask>>>);

/// A meeting that begins soon.
struct Ask {
    /// `meetings.event_id`
    event: String,
    /// Of a series, the time by which it knows the instance.
    instance: Option<DateTime<Utc>>,
}

impl Asks {
    /// Looks for meetings to be asked for, and makes their calendars due that were not polled for `min`.
    pub async fn gather(&self, pool: &Pool, min: Duration) -> anyhow::Result<()> {
        let rows = pool
            .get()
            .await?
            .query_typed(
                // In two parts, each of which has its index: it is asked by every run.
                "WITH coming AS (
                   SELECT stream_id, event_id, start_at AS at, is_series, bot_id, event_status, confirmed_at FROM meetings
                   WHERE NOT is_series AND bot_status = 'bot_scheduled'
                     AND start_at BETWEEN now() AND now() + make_interval(secs => $1)
                   UNION ALL
                   SELECT stream_id, event_id, next_start_at, is_series, bot_id, event_status, confirmed_at FROM meetings
                   WHERE is_series AND next_start_at BETWEEN now() AND now() + make_interval(secs => $1)
                 ), soon AS (
                   SELECT m.stream_id, m.event_id, c.at, m.is_series FROM coming m, LATERAL (SELECT m.at) c
                   WHERE m.bot_id IS NOT NULL AND m.event_status <> 'cancelled'
                     AND coalesce(m.confirmed_at < c.at - make_interval(secs => CASE WHEN c.at - now() < make_interval(secs => $2) THEN $2 ELSE $1 END), true)
                 ), due AS (
                   UPDATE streams SET due_at = now() WHERE id IN (SELECT stream_id FROM soon) AND due_at > now() AND failures = 0
                     AND state IN ('active', 'degraded') AND coalesce(polled_at < now() - make_interval(secs => $3), true)
                 )
                 SELECT stream_id, event_id, CASE WHEN is_series THEN at END FROM soon ORDER BY at",
                &[
                    (&EARLY.as_secs_f64(), Type::FLOAT8),
                    (&LATE.as_secs_f64(), Type::FLOAT8),
                    (&min.as_secs_f64(), Type::FLOAT8),
                ],
            )
            .await
            .context("looking for meetings to be asked for")?;
        let mut asks = HashMap::<i64, Vec<Ask>>::new();
        for row in &rows {
            asks.entry(row.try_get(0)?).or_default().push(Ask { event: row.try_get(1)?, instance: row.try_get(2)? });
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = asks;
        Ok(())
    }

    fn take(&self, stream: i64) -> Vec<Ask> {
        let mut asks = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream).unwrap_or_default();
        asks.truncate(MOST);
        asks
    }
}

/// What Google says of the meetings of a calendar that begin soon.
///
/// # Errors
/// The quota of the day is used up.
pub async fn answers(calendar: &Calendar, stream: &Stream, calls: &Calls) -> Result<Vec<Item<Change>>, Failure> {
    let asks = calendar.asks.take(stream.id);
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let count = asks.iter().map(|ask| 1 + usize::from(ask.instance.is_some())).sum();
    calls.pay(fetch::COST, count).await?;
    let answers = join_all(asks.iter().map(|ask| answer(calendar, stream, calls, ask))).await;
    Ok(answers.into_iter().flatten().collect())
}

/// The event, and of a series the instance where it differs; then that it was asked for.
async fn answer(calendar: &Calendar, stream: &Stream, calls: &Calls, ask: &Ask) -> Vec<Item<Change>> {
    let event = one(calendar, stream, calls, &ask.event);
    let (event, instance) = match ask.instance {
        None => (event.await, Ok(None)),
        Some(at) => {
            // As Google names instances.
            let id = format!("{}_{}", ask.event, at.format("%Y%m%dT%H%M%SZ"));
            let instance = async { one(calendar, stream, calls, &id).await };
            let (event, instance) = futures_util::join!(event, instance);
            (event, instance.map(|item| item.filter(|item| is_elsewhere(item, at))))
        }
    };
    match (event, instance) {
        (Ok(event), Ok(instance)) => {
            // The series itself is there, unless it is gone: of that it says nothing that an instance is unknown.
            let event = event.or_else(|| gone(&ask.event));
            let confirmed =
                Item { id: ask.event.clone(), raw: RawValue::NULL.to_owned(), changed_at: None, change: Change::Confirmed };
            event.into_iter().chain(instance).chain([confirmed]).collect()
        }
        (Err(failure), _) | (_, Err(failure)) => {
            calls.digest.failed("a meeting that begins soon is not confirmed", stream, &failure);
            Vec::new()
        }
    }
}

/// Events by their ids: as they are now, gone, or still not given.
///
/// # Errors
/// What concerns more than one of them: quota, token, scope.
pub async fn refetch(calendar: &Calendar, stream: &Stream, calls: &Calls, ids: &[String]) -> Result<Found<Change>, Failure> {
    calls.pay(fetch::COST, ids.len()).await?;
    let mut found = Found::default();
    for (id, answer) in ids.iter().zip(join_all(ids.iter().map(|id| got(calendar, stream, calls, id))).await) {
        match answer {
            Ok(Some(Ok(item))) => found.0.push(item),
            Ok(Some(Err(poison))) => found.1.push(poison),
            Ok(None) => found.0.extend(gone(id)),
            Err(failure) if matches!(failure.class, Class::Permanent | Class::Transient) && !failure.of_token => {
                found.1.push(Poison::unfetched(id, &failure));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}

/// An event by its id, for a meeting. `None`: there is no such event.
async fn one(calendar: &Calendar, stream: &Stream, calls: &Calls, id: &str) -> Result<Option<Item<Change>>, Failure> {
    match got(calendar, stream, calls, id).await? {
        Some(Err(poison)) => Err(Failure::new(Class::Permanent, format!("{WHAT}: {}", poison.error))),
        Some(Ok(item)) => Ok(Some(item)),
        None => Ok(None),
    }
}

/// An event by its id, or what cannot be read of it. `None`: there is no such event.
async fn got(
    calendar: &Calendar,
    stream: &Stream,
    calls: &Calls,
    id: &str,
) -> Result<Option<Result<Item<Change>, Poison>>, Failure> {
    let url = calendar.google.url(Host::Apis, &["calendar", "v3", "calendars", &stream.resource, "events", id])?;
    let got = calls
        .make_paid(fetch::COST, async || {
            let body =
                calendar.batcher.get(Endpoint::Calendar, WHAT, &calls.credential, google::SCOPE_CALENDAR, url.clone()).await?;
            google::parse_json::<Box<RawValue>>(WHAT, &body)
        })
        .await;
    match got {
        // When it changed is old news: no channel has failed to announce it, and no change was late.
        Ok(raw) => Ok(Some(event::decode(raw).map(|item| Item { changed_at: None, ..item }))),
        Err(failure) if failure.class == Class::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether an instance does not take place as its series says.
fn is_elsewhere(item: &Item<Change>, at: DateTime<Utc>) -> bool {
    match &item.change {
        Change::Event(event) => event.is_cancelled() || event.start.as_ref().and_then(|start| start.instant()) != Some(at),
        _ => false,
    }
}

/// What a feed says of an event that is gone.
fn gone(id: &str) -> Option<Item<Change>> {
    event::decode(to_raw_value(&json!({ "id": id, "status": "cancelled" })).ok()?).ok()
}

/// Notes for which meetings Google was asked.
pub async fn note(tx: &Transaction<'_>, stream: &Stream, event_ids: &[&str]) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE meetings SET confirmed_at = now() WHERE stream_id = $1 AND event_id = ANY ($2)",
        &[(&stream.id, Type::INT8), (&event_ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("noting that meetings are confirmed")?;
    Ok(())
}
