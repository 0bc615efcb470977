//! Compares what the provider has with what is stored, stream by stream, and lets those that differ begin anew. Knows no service.
//!
//! A look at a stream is exact while both sides change: its rows and its cursor are read in one transaction, then everything is listed, and
//! where the two differ the feed is asked what has changed since the cursor. What the feed does not name has not changed since the cursor,
//! so the list shows what must be stored.

mod compare;
mod repair;
mod sides;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use serde::Serialize;
use uuid::Uuid;

use super::job::{self, Job};
use super::outcome::{Outcome, PollEnd};
use super::shared::Shared;
use super::{Calls, Context, Report, Stream, skipped};
use crate::db::claims::{self, StreamRow};
use crate::db::verify::{self as streams, StreamState};
use crate::error::{Class, Failure};

pub use compare::{Derived, Differences, Example, Figures, Mismatch, News, Thing, Things, wrong};
use compare::{compare, confirmed, explain};
pub use sides::Verify;

/// What is to be compared, and what is done about it.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Only these users' streams.
    pub users: Option<Vec<Uuid>>,
    /// At most so many streams, chosen at random; `None`: all.
    pub sample: Option<u32>,
    /// What chooses them.
    pub seed: i64,
    /// Streams that differ make a complete pass, and are compared again.
    pub repair: bool,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Compared {
    pub seed: i64,
    /// Streams chosen, and how many there were to choose from.
    pub chosen: u64,
    pub of: u64,
    /// By kind of stream.
    pub kinds: BTreeMap<String, Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

/// What a repair came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Repair {
    /// Streams that made a complete pass, or whose derived rows were made anew.
    pub streams: u64,
    /// What is different all the same.
    pub left: BTreeMap<String, Figures>,
}

impl Compared {
    /// What is wrong in the end.
    pub fn wrong(&self) -> u64 {
        let kinds = self.repair.as_ref().map_or(&self.kinds, |repair| &repair.left);
        kinds.values().map(Figures::wrong).sum()
    }
}

/// Compares streams; the run is recorded like any other, with a `verify` part in its report. Without `ask.repair` nothing else is written.
///
/// # Errors
/// Only when the run could not be recorded at all.
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

impl Compared {
    fn kinds_mut(&mut self) -> &mut BTreeMap<String, Figures> {
        &mut self.kinds
    }

    fn left_mut(&mut self) -> &mut BTreeMap<String, Figures> {
        &mut self.repair.get_or_insert_default().left
    }
}

type Part = fn(&mut Compared) -> &mut BTreeMap<String, Figures>;

/// Compares streams, many at once, and counts them in a part of the report; answers those that differ.
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
                    figures.add((row.id, row.user_id), look.compared, &look.found);
                    if look.derived.compared > 0 {
                        let figures = part(compared).entry(S::DERIVED.to_owned()).or_default();
                        figures.add((row.id, row.user_id), look.derived.compared, &look.derived.found);
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

/// What a stream's comparison came to. `Ok(None)`: there is no complete pass to hold against; `Err(None)`: the run ended before.
type Looked = Result<Option<Look>, Option<Failure>>;

async fn one<'a, S: Verify>(shared: &Shared<S>, row: &'a StreamRow) -> (&'a StreamRow, Outcome, Looked) {
    let started = Instant::now();
    let mut outcome = Outcome::of(row);
    let looked = tokio::select! {
        biased;
        // Nothing is under way that would have to be ended well.
        () = shared.wind_down.cancelled() => Err(None),
        looked = twice(shared, row) => looked.map_err(Some),
    };
    outcome.took = started.elapsed();
    (row, outcome, looked)
}

struct Look {
    found: Differences,
    compared: u64,
    derived: Derived,
}

impl Look {
    fn is_wrong(&self) -> bool {
        is_wrong(&self.found) || is_wrong(&self.derived.found)
    }
}

fn is_wrong(found: &Differences) -> bool {
    found.values().any(|found| found.is_wrong())
}

/// A look, and where something is wrong a second one: what counts is what both show.
async fn twice<S: Verify>(shared: &Shared<S>, row: &StreamRow) -> Result<Option<Look>, Failure> {
    let (stream, calls) = (Stream::of(row), shared.calls(row));
    // Like first passes, comparisons yield to polls.
    calls.full_pass.store(true, Ordering::Relaxed);
    let Some(first) = look(shared, &stream, &calls).await? else { return Ok(None) };
    if !first.is_wrong() {
        return Ok(Some(first));
    }
    let Some(second) = look(shared, &stream, &calls).await? else { return Ok(None) };
    let derived = Derived { found: confirmed(&first.derived.found, second.derived.found), ..second.derived };
    Ok(Some(Look { found: confirmed(&first.found, second.found), derived, ..second }))
}

async fn look<S: Verify>(shared: &Shared<S>, stream: &Stream, calls: &Calls) -> Result<Option<Look>, Failure> {
    let source = &shared.source;
    let Some((standing, stored, derived)) = stored(shared, stream).await? else { return Ok(None) };
    let (Some(cursor), Some(full_pass_at)) = (standing.position.cursor, standing.full_pass_at) else { return Ok(None) };
    let scope = source.scope(stream, full_pass_at);
    let listed = source.list(stream, calls, &scope, &stored).await?;
    let mut found = compare(&listed, &stored);
    let is_unnamed = |id: &str, found: &Mismatch| *found == Mismatch::Excess && !listed.contains_key(id);
    let unnamed: Vec<&str> = found.iter().filter(|(id, found)| is_unnamed(id, found)).map(|(id, _)| id.as_str()).collect();
    if !unnamed.is_empty() {
        // Most of them lie outside of the scope: years of events, of which each is looked at once.
        let owed: HashSet<String> = owed(shared, stream, &scope, &unnamed).await?.into_iter().collect();
        found.retain(|id, found| !is_unnamed(id, found) || owed.contains(id));
    }
    if is_wrong(&found) {
        let news = source.news(stream, calls, &cursor).await?;
        explain(&mut found, &news, &standing.quarantined);
    }
    let only_stored = found.keys().filter(|id| !listed.contains_key(*id)).count();
    Ok(Some(Look { found, compared: (listed.len() + only_stored) as u64, derived }))
}

/// Where a stream stands, what is stored of it, and what is wrong with the rows that are made of that, of the same moment.
async fn stored<S: Verify>(shared: &Shared<S>, stream: &Stream) -> anyhow::Result<Option<(StreamState, Things, Derived)>> {
    let mut client = shared.context.pool.get().await?;
    let tx = client.snapshot("beginning the comparison").await?;
    let Some(standing) = streams::state(&tx, stream.id).await? else { return Ok(None) };
    let things = shared.source.stored(&tx, stream).await?;
    let derived = shared.source.derived(&tx, stream).await?;
    tx.rollback().await.context("ending the comparison")?;
    Ok(Some((standing, things, derived)))
}

async fn owed<S: Verify>(shared: &Shared<S>, stream: &Stream, scope: &S::Scope, ids: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut client = shared.context.pool.get().await?;
    let tx = client.begin("beginning the comparison").await?;
    let owed = shared.source.owed(&tx, stream, scope, ids).await?;
    tx.rollback().await.context("ending the comparison")?;
    Ok(owed)
}
