//! Meetings among events (table `meetings`). An update never changes `bot_status`. No network access.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::detect;
use super::event::{Event, When};
use crate::engine::Stream;

/// Updates the meetings of changed events: inserts new ones, updates existing ones in place, and removes those whose event is no longer a
/// meeting. The flag in `events` marks new events, which cannot have a meeting to remove.
pub async fn apply(tx: &Transaction<'_>, stream: &Stream, words: &[String], events: &[(&Event, bool)]) -> anyhow::Result<()> {
    let mut detections = Vec::new();
    let mut others = Vec::new();
    for (event, new) in events {
        match detect::meeting(event, words) {
            Some(detected) => detections.push((*event, detected)),
            None if *new => {}
            None => others.push(event.id.as_str()),
        }
    }
    if !detections.is_empty() {
        upsert(tx, stream, &detections).await?;
    }
    if !others.is_empty() {
        remove_empty(tx, stream, &others).await?;
        unlink(tx, stream, &others).await?;
    }
    Ok(())
}

async fn upsert(tx: &Transaction<'_>, stream: &Stream, detections: &[(&Event, detect::Detected)]) -> anyhow::Result<()> {
    let ids: Vec<&str> = detections.iter().map(|(event, _)| event.id.as_str()).collect();
    let titles: Vec<Option<&str>> = detections.iter().map(|(event, _)| event.summary.as_deref()).collect();
    let instant = |when: &Option<When>| when.as_ref().and_then(When::instant);
    let starts: Vec<Option<DateTime<Utc>>> = detections.iter().map(|(event, _)| instant(&event.start)).collect();
    let ends: Vec<Option<DateTime<Utc>>> = detections.iter().map(|(event, _)| instant(&event.end)).collect();
    let links: Vec<Option<&str>> = detections.iter().map(|(_, detected)| Some(detected.link.as_ref()?.url.as_str())).collect();
    let kinds: Vec<Option<&str>> = detections.iter().map(|(_, detected)| Some(detected.link.as_ref()?.kind.name())).collect();
    let capable: Vec<bool> =
        detections.iter().map(|(_, detected)| detected.link.as_ref().is_some_and(|link| link.rank() > 0)).collect();
    let series: Vec<bool> = detections.iter().map(|(event, _)| !event.recurrence.is_empty()).collect();
    let rules: Vec<&str> = detections.iter().map(|(_, detected)| detected.rule).collect();
    let statuses: Vec<&str> = detections.iter().map(|(event, _)| event.status.as_deref().unwrap_or("confirmed")).collect();
    tx.execute_typed(
        "INSERT INTO meetings AS m (user_id, stream_id, event_id, title, start_at, end_at, link, link_kind, bot_capable, detected_by, event_status,
           is_series, next_start_at)
         SELECT $1, $2, t.*, CASE WHEN t.is_series THEN t.start_at END FROM unnest($3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[], $9::bool[],
           $10::text[], $11::text[], $12::bool[])
           AS t (event_id, title, start_at, end_at, link, link_kind, bot_capable, detected_by, event_status, is_series)
         ON CONFLICT (stream_id, event_id) DO UPDATE SET title = excluded.title, start_at = excluded.start_at, end_at = excluded.end_at,
           link = excluded.link, link_kind = excluded.link_kind, bot_capable = excluded.bot_capable, detected_by = excluded.detected_by,
           event_status = excluded.event_status, is_series = excluded.is_series, next_start_at = excluded.next_start_at, updated_at = now(),
           changed_xid = DEFAULT
         WHERE (m.title, m.start_at, m.end_at, m.link, m.link_kind, m.bot_capable, m.detected_by, m.event_status, m.is_series)
           IS DISTINCT FROM (excluded.title, excluded.start_at, excluded.end_at, excluded.link, excluded.link_kind, excluded.bot_capable,
             excluded.detected_by, excluded.event_status, excluded.is_series)",
        &[
            (&stream.user_id, Type::UUID),
            (&stream.id, Type::INT8),
            (&ids, Type::TEXT_ARRAY),
            (&titles, Type::TEXT_ARRAY),
            (&starts, Type::TIMESTAMPTZ_ARRAY),
            (&ends, Type::TIMESTAMPTZ_ARRAY),
            (&links, Type::TEXT_ARRAY),
            (&kinds, Type::TEXT_ARRAY),
            (&capable, Type::BOOL_ARRAY),
            (&rules, Type::TEXT_ARRAY),
            (&statuses, Type::TEXT_ARRAY),
            (&series, Type::BOOL_ARRAY),
        ],
    )
    .await
    .context("upserting meetings")?;
    Ok(())
}

/// Removes cancelled meetings; those with a bot, a transcript or a project are kept and marked as cancelled.
pub async fn cancel(tx: &Transaction<'_>, stream: &Stream, event_ids: &[String]) -> anyhow::Result<()> {
    if event_ids.is_empty() {
        return Ok(());
    }
    remove_empty(tx, stream, event_ids).await?;
    tx.execute_typed(
        "UPDATE meetings SET event_status = 'cancelled', updated_at = now(), changed_xid = DEFAULT
         WHERE stream_id = $1 AND event_id = ANY ($2) AND event_status <> 'cancelled'",
        &[(&stream.id, Type::INT8), (&event_ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("cancelling meetings")?;
    Ok(())
}

/// Clears the links of kept rows that are no longer meetings, so that no bot joins them.
async fn unlink(tx: &Transaction<'_>, stream: &Stream, event_ids: &[&str]) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE meetings SET link = NULL, link_kind = NULL, bot_capable = false, updated_at = now(), changed_xid = DEFAULT
         WHERE stream_id = $1 AND event_id = ANY ($2) AND bot_capable",
        &[(&stream.id, Type::INT8), (&event_ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("clearing the links of former meetings")?;
    Ok(())
}

async fn remove_empty<T>(tx: &Transaction<'_>, stream: &Stream, event_ids: &[T]) -> anyhow::Result<()>
where
    T: deadpool_postgres::tokio_postgres::types::ToSql + Sync,
{
    tx.execute_typed(
        "DELETE FROM meetings WHERE stream_id = $1 AND event_id = ANY ($2)
           AND bot_id IS NULL AND transcript_id IS NULL AND project_id IS NULL",
        &[(&stream.id, Type::INT8), (&event_ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("removing empty meetings")?;
    Ok(())
}
