//! Looks up meetings with a scheduled bot by their ids, an hour before they begin and again shortly before. Google does not document whether a sync
//! token reports that an event has left the window of the pass that the token comes from, and a bot must not join a meeting that was moved.
//!
//! A lookup that fails changes nothing: a bot in an empty meeting costs less than a meeting without its bot.
//!
//! Also looks up quarantined events that a complete pass did not list.

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

use super::{BATCH, COST, Calendar, Change, SCOPE, read};
use crate::db::Pool;
use crate::db::items::Poison;
use crate::engine::{Calls, Decoded, Item, Stream};
use crate::error::{Class, Failure};
use crate::google::{self, Host};

/// Time before a meeting from which it is looked up.
const EARLY: Duration = Duration::from_secs(60 * 60);
/// Time before a meeting from which it is looked up again.
const LATE: Duration = Duration::from_secs(15 * 60);
/// Maximum number of meetings that one poll looks up; the next poll takes the rest.
const MAX_LOOKUPS: usize = 50;
/// The method that gets an event by its id.
const WHAT: &str = "events.get";

/// The meetings to look up, by `streams.id`.
#[derive(Default)]
pub struct Lookups(Mutex<HashMap<i64, Vec<Lookup>>>);

/// A meeting that begins soon.
struct Lookup {
    /// `meetings.event_id`
    event: String,
    /// For a series: the original start time, which identifies the instance.
    instance: Option<DateTime<Utc>>,
}

impl Lookups {
    /// Collects the meetings to look up, and makes their calendars due unless they were polled within `min`.
    pub async fn gather(&self, pool: &Pool, min: Duration) -> anyhow::Result<()> {
        let rows = pool
            .get()
            .await?
            .query_typed(
                // Two parts, so that each uses its index: every run executes this query.
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
            .context("looking for meetings to confirm")?;
        let mut lookups = HashMap::<i64, Vec<Lookup>>::new();
        for row in &rows {
            lookups.entry(row.try_get(0)?).or_default().push(Lookup { event: row.try_get(1)?, instance: row.try_get(2)? });
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lookups;
        Ok(())
    }

    fn take(&self, stream: i64) -> Vec<Lookup> {
        let mut lookups = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream).unwrap_or_default();
        lookups.truncate(MAX_LOOKUPS);
        lookups
    }
}

/// Looks up the meetings of a calendar that begin soon.
///
/// # Errors
/// Returns a failure if the quota of the day is used up.
pub async fn answers(calendar: &Calendar, stream: &Stream, calls: &Calls) -> Result<Vec<Item<Change>>, Failure> {
    let lookups = calendar.lookups.take(stream.id);
    if lookups.is_empty() {
        return Ok(Vec::new());
    }
    let count = lookups.iter().map(|lookup| 1 + usize::from(lookup.instance.is_some())).sum();
    calls.pay(COST, count).await?;
    let answers = join_all(lookups.iter().map(|lookup| answer(calendar, stream, calls, lookup))).await;
    Ok(answers.into_iter().flatten().collect())
}

/// Returns the event, for a series also its next instance if that deviates, and a `Confirmed` change.
async fn answer(calendar: &Calendar, stream: &Stream, calls: &Calls, lookup: &Lookup) -> Vec<Item<Change>> {
    let event = one(calendar, stream, calls, &lookup.event);
    let (event, instance) = match lookup.instance {
        None => (event.await, Ok(None)),
        Some(at) => {
            // Google's format for the ids of instances.
            let id = format!("{}_{}", lookup.event, at.format("%Y%m%dT%H%M%SZ"));
            let instance = async { one(calendar, stream, calls, &id).await };
            let (event, instance) = futures_util::join!(event, instance);
            (event, instance.map(|item| item.filter(|item| is_elsewhere(item, at))))
        }
    };
    match (event, instance) {
        (Ok(event), Ok(instance)) => {
            // Only the event itself counts as gone if it is not found: an unknown instance says nothing about its series.
            let event = event.or_else(|| gone(&lookup.event));
            let confirmed =
                Item { id: lookup.event.clone(), raw: RawValue::NULL.to_owned(), changed_at: None, change: Change::Confirmed };
            event.into_iter().chain(instance).chain([confirmed]).collect()
        }
        (Err(failure), _) | (_, Err(failure)) => {
            calls.digest.failed("a meeting that begins soon is not confirmed", stream, &failure);
            Vec::new()
        }
    }
}

/// Gets events by their ids: in their current state, as gone, or as still not available.
///
/// # Errors
/// Returns failures that concern more than one event: quota, token, scope.
pub async fn refetch(calendar: &Calendar, stream: &Stream, calls: &Calls, ids: &[String]) -> Result<Decoded<Change>, Failure> {
    calls.pay(COST, ids.len()).await?;
    let mut refetched = Decoded::default();
    for (id, answer) in ids.iter().zip(join_all(ids.iter().map(|id| got(calendar, stream, calls, id))).await) {
        match answer {
            Ok(Some(Ok(item))) => refetched.0.push(item),
            Ok(Some(Err(poison))) => refetched.1.push(poison),
            Ok(None) => refetched.0.extend(gone(id)),
            Err(failure) if matches!(failure.class, Class::Permanent | Class::Transient) && !failure.of_token => {
                refetched.1.push(Poison::unfetched(id, &failure));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(refetched)
}

/// Gets an event by its id, for a meeting. `None`: there is no such event.
async fn one(calendar: &Calendar, stream: &Stream, calls: &Calls, id: &str) -> Result<Option<Item<Change>>, Failure> {
    match got(calendar, stream, calls, id).await? {
        Some(Err(poison)) => Err(Failure::new(Class::Permanent, format!("{WHAT}: {}", poison.error))),
        Some(Ok(item)) => Ok(Some(item)),
        None => Ok(None),
    }
}

/// Gets an event by its id, or `Poison` if it cannot be parsed. `None`: there is no such event.
async fn got(
    calendar: &Calendar,
    stream: &Stream,
    calls: &Calls,
    id: &str,
) -> Result<Option<Result<Item<Change>, Poison>>, Failure> {
    let url = calendar.google.url(Host::Apis, &["calendar", "v3", "calendars", &stream.resource, "events", id])?;
    let got = calls
        .make_paid(COST, async || {
            let body = calendar.batcher.get(BATCH, WHAT, &calls.credential, SCOPE, url.clone()).await?;
            google::parse_json::<Box<RawValue>>(WHAT, &body)
        })
        .await;
    match got {
        // Drop the time of the change: it must not count as a late change or as one that a channel missed.
        Ok(raw) => Ok(Some(read::decode(raw).map(|item| Item { changed_at: None, ..item }))),
        Err(failure) if failure.class == Class::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether an instance is cancelled or moved.
fn is_elsewhere(item: &Item<Change>, at: DateTime<Utc>) -> bool {
    match &item.change {
        Change::Event(event) => event.is_cancelled() || event.start.as_ref().and_then(|start| start.instant()) != Some(at),
        _ => false,
    }
}

/// The item that a feed returns for a deleted event.
fn gone(id: &str) -> Option<Item<Change>> {
    read::decode(to_raw_value(&json!({ "id": id, "status": "cancelled" })).ok()?).ok()
}

/// Records when these meetings were looked up.
pub async fn note(tx: &Transaction<'_>, stream: &Stream, event_ids: &[&str]) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE meetings SET confirmed_at = now(), changed_xid = DEFAULT WHERE stream_id = $1 AND event_id = ANY ($2)",
        &[(&stream.id, Type::INT8), (&event_ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("recording confirmed meetings")?;
    Ok(())
}
