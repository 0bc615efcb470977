//! What a run needs before it touches a stream: keys, prices, and the paused projects.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::spec::Job;
use crate::config;
use crate::db::claims::Due;
use crate::db::poll_prices::Prices;
use crate::db::{explained, health};
use crate::engine::isolated_streams::IsolatedStreams;
use crate::engine::meter::Meter;
use crate::engine::page_memory::PageMemory;
use crate::engine::queue::Queue;
use crate::engine::shared::Shared;
use crate::engine::tokens::Broker;
use crate::engine::{Auth, Context, Report, Source, budget};
use crate::error::Fault;
use crate::progress::Progress;

/// Checks that this host has keys and that they open the sealed credentials. If not, that is no stream's fault: nothing must be postponed for hosts that
/// have the right keys. A service that calls no provider needs none.
pub(super) async fn keys(context: &Context, auth: Auth) -> anyhow::Result<Result<(), Fault>> {
    if !auth.makes_calls() {
        return Ok(Ok(()));
    }
    if let Err(none) = context.vault.writing_key() {
        return Ok(Err(none));
    }
    let sealed = health::sealed_credentials(&context.pool, &context.vault.key_ids()).await?;
    Ok(match sealed.as_slice() {
        [] => Ok(()),
        [(key, _), ..] => {
            let count: i64 = sealed.iter().map(|(_, count)| count).sum();
            Err(context.vault.stale(count, key))
        }
    })
}

/// Returns the prices of polls and the paused projects, if this host's keys are usable.
pub(super) async fn ready<S: Source>(
    context: &Context,
    source: &S,
    job: &Job,
    keys: Result<(), Fault>,
) -> anyhow::Result<Prices> {
    keys?;
    if !S::AUTH.makes_calls() {
        return Ok(Prices::default());
    }
    budget::prices(context, source, !job.dry_run).await.map_err(explained)
}

/// Builds the state that the run's streams share; `seen`: the streams that were due when the run was opened.
pub(super) fn shared<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    (prices, seen): (Prices, Option<Due>),
    report: Report,
) -> anyhow::Result<Arc<Shared<S>>> {
    let engine = &context.settings.engine;
    let broker =
        Broker::new(context.pool.clone(), context.vault.clone(), Arc::clone(&context.google), job.scopes.clone(), !job.dry_run);
    let limits = S::limits(&context.settings.quota);
    let meter = Meter::new(context.pool.clone(), S::TABLES.service, limits, !job.dry_run, job.is_for_everybody());
    meter.are_paused(prices.paused.clone());
    let filled = Arc::new(Notify::new());
    Ok(Arc::new(Shared {
        source,
        context: context.clone(),
        run: report.execution_id,
        broker,
        meter: Arc::new(meter),
        page_memory: Arc::new(PageMemory::new(engine.page_memory, Arc::clone(&filled))),
        wind_down: context.stop.child_token(),
        dry_run: job.dry_run,
        pass_settings: serde_json::to_value(config::of_passes(&context.settings, S::PASS_SETTINGS)?)?,
        prices,
        stage: tokio::sync::Mutex::default(),
        held: Mutex::default(),
        seen: Mutex::new(seen),
        isolated: IsolatedStreams::default(),
        workers: AtomicUsize::new(0),
        // An eighth of a chunk keeps the statements few and the end of the run short.
        queue: Queue::new((engine.chunk as usize).div_ceil(8), filled),
        report: Mutex::new(report),
        digest: Arc::default(),
        progress: Progress::of_streams(),
    }))
}
