//! Things that the provider would not give: asked for again by themselves after a pass of their stream, or at once when a person wants it.
//! Knows no service.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;

use super::job::{self, Job};
use super::retry_items::{Retried, removed};
use super::shared::Shared;
use super::single::{self, ApplyOutcome, KnownState};
use super::{Calls, Context, Found, Item, Page, Source, Stream};
use crate::db::claims::{self, StreamRow};
use crate::db::items::{self, Quarantined};

/// Adds to the last page of a pass what could not be fetched earlier and comes now.
pub(super) async fn add<S: Source>(source: &S, stream: &Stream, calls: &Calls, ids: &[String], page: &mut Page<S::Change>) {
    let named = page.items.iter().map(|item| item.id.as_str()).chain(page.poison.iter().map(|bad| bad.item_id.as_str()));
    let named: HashSet<&str> = named.collect();
    let ids: Vec<String> = ids.iter().filter(|id| !named.contains(id.as_str())).cloned().collect();
    match source.fetch_again(stream, calls, &ids).await {
        Ok((items, poison)) => {
            // They changed when they could not be fetched: that says nothing of how often the stream changes now.
            page.items.extend(items.into_iter().map(|item| Item { changed_at: None, ..item }));
            page.poison.extend(poison);
        }
        // They stay due, and must not hold up what is new.
        Err(failure) => {
            log::info!(stream = stream.id, class:% = failure.class; "quarantined things not asked for again: {}", failure.message);
        }
    }
}

/// Asks for things of one service again, due or not, and records the run like any other. Answers what became of each, by its number.
///
/// # Errors
/// Only when the run could not be recorded at all.
pub async fn run<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    things: &[Quarantined],
) -> anyhow::Result<Vec<(i64, Retried)>> {
    let mut results = Vec::new();
    let report = job::recorded(context, source, job, async |shared| {
        let ids: Vec<i64> = things.iter().map(|thing| thing.stream_id).collect();
        let rows = claims::read(&context.pool, &ids).await?;
        let rows: HashMap<i64, StreamRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        for thing in things {
            if shared.wind_down.is_cancelled() {
                break;
            }
            let retried = match rows.get(&thing.stream_id) {
                Some(row) => one(&shared, row, thing).await?,
                None => removed(),
            };
            results.push((thing.id, retried));
        }
        Ok(())
    })
    .await?;
    let why = report.error.or(report.stopped_early).unwrap_or_else(|| "the run ended before it was asked for".into());
    let left: Vec<_> = things[results.len()..].iter().map(|thing| (thing.id, Retried::Kept(why.clone()))).collect();
    results.extend(left);
    Ok(results)
}

async fn one<S: Source>(shared: &Shared<S>, row: &StreamRow, thing: &Quarantined) -> anyhow::Result<Retried> {
    let (stream, calls) = (Stream::of(row), shared.calls(row));
    for _ in 0..single::QUESTIONS {
        let before = KnownState::of(shared, &stream, &thing.item_id).await?;
        match shared.source.fetch_again(&stream, &calls, std::slice::from_ref(&thing.item_id)).await {
            Ok(found) => {
                if let Some(retried) = written(shared, &stream, &before, found).await? {
                    return Ok(retried);
                }
            }
            Err(failure) => {
                shared.report().fail(&failure);
                return Ok(Retried::Kept(failure.to_string()));
            }
        }
    }
    Ok(Retried::Kept(single::overtaken().message))
}

/// Writes the answer to one question; `None`: it is older than what is known by now.
async fn written<S: Source>(
    shared: &Shared<S>,
    stream: &Stream,
    before: &KnownState,
    (found, poison): Found<S::Change>,
) -> anyhow::Result<Option<Retried>> {
    let asked = !found.is_empty() || !poison.is_empty();
    let mut client = shared.context.pool.get().await?;
    let mut tx = client.begin("beginning the retry").await?;
    let mut kept = (!asked).then(|| "its service asks for no single things".to_owned());
    for item in &found {
        match single::held(&shared.source, &mut tx, stream, item, Some(before)).await? {
            ApplyOutcome::Applied(_) => {}
            ApplyOutcome::Gone => return Ok(Some(removed())),
            ApplyOutcome::Overtaken => return Ok(None),
            ApplyOutcome::Refused(bad) => {
                kept = Some(bad.error.clone());
                items::quarantine(&tx, stream.id, &[bad], None).await?;
            }
        }
    }
    if let Some(bad) = poison.last() {
        match before.holds::<S>(&tx, stream, &bad.item_id).await? {
            None => return Ok(Some(removed())),
            Some(false) => return Ok(None),
            Some(true) => items::quarantine(&tx, stream.id, &poison, None).await?,
        }
        kept = Some(bad.error.clone());
    }
    tx.commit().await.context("committing the retry")?;
    Ok(Some(kept.map_or(Retried::Applied, Retried::Kept)))
}
