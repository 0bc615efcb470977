//! Compares the provider's data with what is stored, stream by stream, and optionally restarts streams that differ. Independent of any service.
//!
//! A comparison is exact while both sides change: the stream's rows and cursor are read in one transaction, then everything is listed, and where the two
//! differ, the feed is queried for changes since the cursor. What the feed does not name has not changed since the cursor, so the list shows what must be
//! stored.

mod compare;
pub(super) mod compared;
mod repair;
mod sides;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::job::{self, Job};
use super::outcome::{Outcome, PollEnd};
use super::shared::Shared;
use super::{Calls, Context, Report, Stream, skipped};
use crate::db::claims::{self, StreamRow};
use crate::db::verify::{self as streams, StreamState};
use crate::error::{Class, Failure};

pub use compare::{AllDerived, Derived, Differences, Example, Figures, ItemState, Mismatch, News, Things, wrong};
use compare::{compare, confirmed, explain};
pub use compared::{Compared, Repair};
pub use sides::Verify;

/// What to compare, and what to do about differences.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Only these users' streams.
    pub users: Option<Vec<Uuid>>,
    /// Maximum number of streams, chosen at random; `None`: all.
    pub sample: Option<u32>,
    /// Seed of the random choice.
    pub seed: i64,
    /// Streams that differ make a complete pass, and are compared again.
    pub repair: bool,
}

/// Compares streams; the run is recorded like any other, with a `verify` part in its report. Without `ask.repair`, nothing else is written.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub async fn run<S: Verify>(context: &Context, source: S, job: &Job, ask: &Ask) -> anyhow::Result<Report> {
    job::recorded(context, source, job, async |shared| {
        let (pool, service) = (&context.pool, S::TABLES.service);
        let chosen = streams::choose(pool, service, ask.users.as_deref(), ask.sample.map(i64::from), ask.seed).await?;
        let count = chosen.ids.len() + chosen.paused.len();
        let rows = claims::read(pool, &chosen.ids).await?;
        let paused: Vec<i64> = chosen.paused.iter().map(|(id, _)| *id).collect();
        let reasons: HashMap<i64, String> = chosen.paused.into_iter().collect();
        for row in claims::read(pool, &paused).await? {
            let mut outcome = Outcome::of(&row);
            let why = reasons.get(&row.id).map_or("", String::as_str);
            outcome.end = PollEnd::Failed(Failure::new(Class::DailyQuota, format!("its project is paused: {why}")));
            shared.report().add(&outcome);
        }
        shared.report().verify = Some(Compared {
            seed: ask.seed,
            chosen: count as u64,
            of: u64::try_from(chosen.of).unwrap_or(0),
            ..Compared::default()
        });
        let differing = looked_at(&shared, &rows, |report| report.kinds_mut()).await;
        if ask.repair {
            if let Some(compared) = &mut shared.report().verify {
                compared.repair = Some(Repair::default());
            }
            let repaired = repair::passes(&shared, differing).await?;
            looked_at(&shared, &repaired, |report| report.left_mut()).await;
        }
        skipped::refused(&shared, job).await
    })
    .await
}

type Part = fn(&mut Compared) -> &mut BTreeMap<String, Figures>;

/// Compares streams concurrently and counts them in a part of the report; returns those that differ.
async fn looked_at<S: Verify>(shared: &Arc<Shared<S>>, rows: &[StreamRow], part: Part) -> Vec<(StreamRow, Look)> {
    shared.progress.add_streams(rows.len());
    let mut differing = Vec::new();
    let mut work = futures_util::stream::iter(rows.iter().map(|row| one(shared, row))).buffer_unordered(shared.width());
    while let Some((row, mut outcome, looked)) = work.next().await {
        let mut report = shared.report();
        if let Some(compared) = &mut report.verify {
            let figures = part(compared).entry(row.kind.clone()).or_default();
            match looked {
                Ok(Some(look)) => {
                    figures.add((row.id, row.user_id), look.compared, &look.differences);
                    for (name, derived) in look.derived.iter().filter(|(_, derived)| derived.compared > 0) {
                        let figures = part(compared).entry((*name).to_owned()).or_default();
                        figures.add((row.id, row.user_id), derived.compared, &derived.found);
                    }
                    if look.is_wrong() {
                        differing.push((row.clone(), look));
                    }
                }
                Ok(None) => figures.unfinished_streams += 1,
                Err(Some(failure)) if failure.class.is_off() => outcome.end = PollEnd::Off(failure),
                Err(Some(failure)) => {
                    shared.digest.failed("not compared", &Stream::of(row), &failure);
                    outcome.end = PollEnd::Failed(failure);
                }
                Err(None) => outcome.end = PollEnd::Interrupted,
            }
        }
        report.add(&outcome);
        drop(report);
        shared.progress.ended(|| shared.report().users());
    }
    differing
}

/// The result of a stream's comparison. `Ok(None)`: there is no complete pass to compare with; `Err(None)`: the run ended before.
type Looked = Result<Option<Look>, Option<Failure>>;

async fn one<'a, S: Verify>(shared: &Shared<S>, row: &'a StreamRow) -> (&'a StreamRow, Outcome, Looked) {
    let started = Instant::now();
    let mut outcome = Outcome::of(row);
    let looked = tokio::select! {
        biased;
        // Nothing in progress needs a clean end.
        () = shared.wind_down.cancelled() => Err(None),
        looked = twice(shared, row) => looked.map_err(Some),
    };
    outcome.took = started.elapsed();
    (row, outcome, looked)
}

struct Look {
    differences: Differences,
    compared: u64,
    derived: AllDerived,
}

impl Look {
    fn is_wrong(&self) -> bool {
        is_wrong(&self.differences) || self.has_wrong_derived()
    }

    fn has_wrong_derived(&self) -> bool {
        self.derived.values().any(|derived| is_wrong(&derived.found))
    }
}

fn is_wrong(differences: &Differences) -> bool {
    differences.values().any(|mismatch| mismatch.is_wrong())
}

/// Compares once, and a second time if something is wrong: only what both show counts.
async fn twice<S: Verify>(shared: &Shared<S>, row: &StreamRow) -> Result<Option<Look>, Failure> {
    let (stream, calls) = (Stream::of(row), shared.calls(row));
    // Like first passes, comparisons yield to polls.
    calls.full_pass.store(true, Ordering::Relaxed);
    let Some(first) = look(shared, &stream, &calls).await? else { return Ok(None) };
    if !first.is_wrong() {
        return Ok(Some(first));
    }
    let Some(second) = look(shared, &stream, &calls).await? else { return Ok(None) };
    let confirm = |(name, second): (&'static str, Derived)| {
        let found = first.derived.get(name).map(|first| confirmed(&first.found, second.found)).unwrap_or_default();
        (name, Derived { found, ..second })
    };
    let derived = second.derived.into_iter().map(confirm).collect();
    Ok(Some(Look { differences: confirmed(&first.differences, second.differences), derived, ..second }))
}

async fn look<S: Verify>(shared: &Shared<S>, stream: &Stream, calls: &Calls) -> Result<Option<Look>, Failure> {
    let source = &shared.source;
    let Some((state, stored, derived)) = stored(shared, stream).await? else { return Ok(None) };
    let (Some(cursor), Some(full_pass_at)) = (state.position.cursor, state.full_pass_at) else { return Ok(None) };
    let scope = source.scope(stream, full_pass_at);
    let listed = source.list(stream, calls, &scope, &stored).await?;
    let mut differences = compare(&listed, &stored);
    let is_unnamed = |id: &str, mismatch: Mismatch| mismatch == Mismatch::Excess && !listed.contains_key(id);
    let unnamed: Vec<&str> =
        differences.iter().filter(|(id, mismatch)| is_unnamed(id, **mismatch)).map(|(id, _)| id.as_str()).collect();
    if !unnamed.is_empty() {
        // Most of them are outside the scope: years of events, each of which is checked once.
        let owed: HashSet<String> = owed(shared, stream, &scope, &unnamed).await?.into_iter().collect();
        differences.retain(|id, mismatch| !is_unnamed(id, *mismatch) || owed.contains(id));
    }
    if is_wrong(&differences) {
        let news = source.news(stream, calls, &cursor).await?;
        explain(&mut differences, &news, &state.quarantined);
    }
    let only_stored = differences.keys().filter(|id| !listed.contains_key(*id)).count();
    Ok(Some(Look { differences, compared: (listed.len() + only_stored) as u64, derived }))
}

/// The state of a stream, its stored items, and what is wrong with the rows derived from them, all at the same moment.
async fn stored<S: Verify>(shared: &Shared<S>, stream: &Stream) -> anyhow::Result<Option<(StreamState, Things, AllDerived)>> {
    let mut client = shared.context.pool.get().await?;
    let tx = client.snapshot("beginning the comparison").await?;
    let Some(state) = streams::state(&tx, stream.id).await? else { return Ok(None) };
    let items = shared.source.stored(&tx, stream).await?;
    let derived = shared.source.derived(&tx, stream).await?;
    tx.rollback().await.context("ending the comparison")?;
    Ok(Some((state, items, derived)))
}

async fn owed<S: Verify>(shared: &Shared<S>, stream: &Stream, scope: &S::Scope, ids: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut client = shared.context.pool.get().await?;
    let tx = client.begin("beginning the comparison").await?;
    let owed = shared.source.owed(&tx, stream, scope, ids).await?;
    tx.rollback().await.context("ending the comparison")?;
    Ok(owed)
}
