//! Streams that differ from their provider make a complete pass each. Knows no service.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;

use super::Verify;
use super::compare::Differences;
use crate::db::claims::{self, Claim, StreamRow};
use crate::db::verify as streams;
use crate::engine::outcome::{End, Outcome};
use crate::engine::poll;
use crate::engine::shared::Shared;
use crate::engine::{Position, Stream};
use crate::error::{Class, Failure};

/// Lets streams make a complete pass each; answers those that did.
pub async fn passes<S: Verify>(
    shared: &Arc<Shared<S>>,
    differing: Vec<(StreamRow, Differences)>,
) -> anyhow::Result<Vec<StreamRow>> {
    let mut done = Vec::new();
    let work = differing.iter().map(|(row, found)| pass(shared, row, found));
    let mut work = futures_util::stream::iter(work).buffer_unordered(shared.width());
    while let Some(outcome) = work.next().await {
        let mut outcome = outcome?;
        if let End::Idle(_) = outcome.end {
            // A complete pass writes its own end.
            outcome.end = End::Failed(Failure::new(Class::Internal, "a complete pass ended without being stored"));
        }
        if !matches!(outcome.end, End::Interrupted) {
            shared.held().remove(&outcome.id);
        }
        done.extend(matches!(outcome.end, End::Done).then_some(outcome.id));
        shared.report().add(&outcome);
    }
    if let Some(repair) = shared.report().verify.as_mut().and_then(|compared| compared.repair.as_mut()) {
        repair.streams = done.len() as u64;
    }
    claims::read(&shared.context.pool, &done).await
}

async fn pass<S: Verify>(shared: &Arc<Shared<S>>, row: &StreamRow, found: &Differences) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::of(row);
    if shared.wind_down.is_cancelled() {
        outcome.end = End::Interrupted;
        return Ok(outcome);
    }
    let pool = &shared.context.pool;
    let lease = shared.context.settings.engine.lease.as_secs_f64();
    let claim = Claim { run: shared.run, service: S::TABLES.service, lease, ids: &[row.id], force: true };
    let busy = || Failure::new(Class::LeaseLost, "another run is at this stream: repair it again later");
    let Some(mut claimed) = claims::claim(pool, &claim).await?.pop() else {
        outcome.end = End::Failed(busy());
        return Ok(outcome);
    };
    shared.held().insert(row.id);
    let ids: Vec<&str> = found.iter().filter(|(_, found)| found.is_wrong()).map(|(id, _)| id.as_str()).collect();
    let mut client = pool.get().await?;
    let tx = client.begin("beginning the repair").await?;
    if !streams::begin_anew(&tx, shared.run, row.id).await? {
        outcome.end = End::Failed(busy());
        return Ok(outcome);
    }
    shared.source.distrust(&tx, &Stream::of(row), &ids).await?;
    tx.commit().await.context("committing the repair")?;
    drop(client);
    claimed.position = Position::default();
    Ok(poll::poll(Arc::clone(shared), claimed).await)
}
