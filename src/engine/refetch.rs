//! Fetches items again that the provider did not return earlier, on request. Independent of any service.

use std::collections::HashMap;

use anyhow::Context as _;

use super::job::{self, Job};
use super::retry_items::{Retried, removed};
use super::shared::Shared;
use super::single::{self, ApplyOutcome, KnownState};
use super::{Context, Decoded, Source, Stream};
use crate::db::claims::{self, StreamRow};
use crate::db::items::{self, Quarantined};

/// Fetches items of one service again, due or not, and records the run like any other. Returns the result of each item by its number.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub async fn run<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    quarantined: &[Quarantined],
) -> anyhow::Result<Vec<(i64, Retried)>> {
    let mut results = Vec::new();
    let report = job::recorded(context, source, job, async |shared| {
        let ids: Vec<i64> = quarantined.iter().map(|item| item.stream_id).collect();
        let rows = claims::read(&context.pool, &ids).await?;
        let rows: HashMap<i64, StreamRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        for item in quarantined {
            if shared.wind_down.is_cancelled() {
                break;
            }
            let retried = match rows.get(&item.stream_id) {
                Some(row) => one(&shared, row, item).await?,
                None => removed(),
            };
            results.push((item.id, retried));
        }
        Ok(())
    })
    .await?;
    let why = report.error.or(report.stopped_early).unwrap_or_else(|| "the run ended before the item was fetched".into());
    let unfinished: Vec<_> = quarantined[results.len()..].iter().map(|item| (item.id, Retried::Kept(why.clone()))).collect();
    results.extend(unfinished);
    Ok(results)
}

async fn one<S: Source>(shared: &Shared<S>, row: &StreamRow, item: &Quarantined) -> anyhow::Result<Retried> {
    let (stream, calls) = (Stream::of(row), shared.calls(row));
    for _ in 0..single::MAX_REQUESTS {
        let before = KnownState::of(shared, &stream, &item.item_id).await?;
        match shared.source.fetch_again(&stream, &calls, std::slice::from_ref(&item.item_id)).await {
            Ok(fetched) => {
                if let Some(retried) = written(shared, &stream, &before, fetched).await? {
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

/// Writes the response to one request; `None` if newer data has been stored meanwhile.
async fn written<S: Source>(
    shared: &Shared<S>,
    stream: &Stream,
    before: &KnownState,
    (fetched, poison): Decoded<S::Change>,
) -> anyhow::Result<Option<Retried>> {
    let has_answer = !fetched.is_empty() || !poison.is_empty();
    let mut client = shared.context.pool.get().await?;
    let mut tx = client.begin("beginning the retry").await?;
    let mut kept = (!has_answer).then(|| "its service does not fetch single items".to_owned());
    for item in &fetched {
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
