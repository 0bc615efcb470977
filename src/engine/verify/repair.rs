//! Streams that differ from their provider make a complete pass each. Independent of any service.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;

use super::{Look, Verify, is_wrong, wrong};
use crate::db;
use crate::db::claims::{self, Claim, StreamRow};
use crate::db::verify as streams;
use crate::engine::outcome::{Outcome, PollEnd};
use crate::engine::poll;
use crate::engine::shared::Shared;
use crate::engine::{Position, Stream};
use crate::error::{Class, Failure};

/// Makes a complete pass of each stream that differs from the provider, and rebuilds derived rows; returns the streams repaired.
pub async fn passes<S: Verify>(shared: &Arc<Shared<S>>, differing: Vec<(StreamRow, Look)>) -> anyhow::Result<Vec<StreamRow>> {
    let mut done = Vec::new();
    let work = differing.iter().map(|(row, look)| one(shared, row, look));
    let mut work = futures_util::stream::iter(work).buffer_unordered(shared.width());
    while let Some(outcome) = work.next().await {
        let mut outcome = outcome?;
        if let PollEnd::Idle(_) = outcome.end {
            // A complete pass writes its own end.
            outcome.end = PollEnd::Failed(Failure::new(Class::Internal, "a complete pass ended without being stored"));
        }
        if !matches!(outcome.end, PollEnd::Interrupted | PollEnd::Paused(_)) {
            shared.held().remove(&outcome.id);
        }
        done.extend(matches!(outcome.end, PollEnd::Done).then_some(outcome.id));
        shared.report().add(&outcome);
    }
    if let Some(repair) = shared.report().verify.as_mut().and_then(|compared| compared.repair.as_mut()) {
        repair.streams = done.len() as u64;
    }
    claims::read(&shared.context.pool, &done).await
}

async fn one<S: Verify>(shared: &Arc<Shared<S>>, row: &StreamRow, look: &Look) -> anyhow::Result<Outcome> {
    let derived = look.has_wrong_derived();
    let takes_pass = |name: &&str| look.derived.get(*name).is_some_and(|derived| is_wrong(&derived.found));
    let outcome = if is_wrong(&look.differences) || S::DERIVED_BY_PASS.iter().any(takes_pass) {
        pass(shared, row, look).await?
    } else {
        Outcome::of(row)
    };
    // After the pass, which has rebuilt the rows of the items it wrote.
    if derived && matches!(outcome.end, PollEnd::Done) {
        derive(shared, &Stream::of(row)).await?;
    }
    Ok(outcome)
}

async fn derive<S: Verify>(shared: &Arc<Shared<S>>, stream: &Stream) -> anyhow::Result<()> {
    let mut client = shared.context.pool.get().await?;
    let tx = client.begin("beginning the repair of derived rows").await?;
    // A writer of a page of this stream waits, and then reads what is written here.
    if db::streams::hold(&tx, stream.id).await? {
        let derived = shared.source.derived(&tx, stream).await?;
        shared.source.derive(&tx, stream, &derived).await?;
    }
    tx.commit().await.context("committing the repair of derived rows")
}

async fn pass<S: Verify>(shared: &Arc<Shared<S>>, row: &StreamRow, look: &Look) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::of(row);
    if shared.wind_down.is_cancelled() {
        outcome.end = PollEnd::Interrupted;
        return Ok(outcome);
    }
    let pool = &shared.context.pool;
    let lease = shared.context.settings.engine.lease.as_secs_f64();
    let claim = Claim { run: shared.run, lease, ids: &[row.id], force: true, settings: &shared.pass_settings };
    let busy = || Failure::new(Class::LeaseLost, "another run holds this stream; repair it again later");
    let Some(mut claimed) = claims::claim(pool, &claim).await?.pop() else {
        outcome.end = PollEnd::Failed(busy());
        return Ok(outcome);
    };
    shared.held().insert(row.id);
    let mut client = pool.get().await?;
    let tx = client.begin("beginning the repair").await?;
    if !streams::begin_anew(&tx, shared.run, row.id).await? {
        outcome.end = PollEnd::Failed(busy());
        return Ok(outcome);
    }
    let stream = Stream::of(row);
    shared.source.distrust(&tx, &stream, &wrong(&look.differences)).await?;
    shared.source.distrust_derived(&tx, &stream, &look.derived).await?;
    tx.commit().await.context("committing the repair")?;
    drop(client);
    claimed.position = Position::default();
    Ok(poll::poll(Arc::clone(shared), claimed).await)
}
