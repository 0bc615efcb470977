//! Fetches single items by id, independent of any feed: no position moves. Independent of any service.
//!
//! A response can be older than what the feed delivered while the request was in progress. So the known state of the item is recorded before a request, and
//! the response is applied only if that state is unchanged; otherwise the request is repeated.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Context as _;
use futures_util::StreamExt as _;

use super::job::{self, Job};
use super::outcome::{Outcome, PollEnd};
use super::report::Covered;
use super::shared::Shared;
use super::{Calls, Context, Counts, Item, Report, Source, Stream, apply};
use crate::db::claims::{self, StreamRow};
use crate::db::items::{self, Poison};
use crate::db::pool::{ABORT_RETRIES, was_aborted};
use crate::db::streams;
use crate::error::{Class, Failure};

/// Maximum number of requests for an item before it is left to the feed.
pub(super) const MAX_REQUESTS: u32 = 5;

/// A service whose items can be fetched one by one.
pub trait Single: Source {
    /// Fetches one item by its id, as the stream's user sees it. An item that no longer exists is returned as a deletion.
    fn fetch_one(
        &self,
        stream: &Stream,
        calls: &Calls,
        id: &str,
    ) -> impl Future<Output = Result<Item<Self::Change>, Failure>> + Send;
}

/// An item to fetch.
#[derive(Debug, Clone)]
pub struct ItemRef {
    /// `streams.id`: determines the user and where the item is stored.
    pub stream: i64,
    /// The provider's id.
    pub id: String,
}

/// Fetches items individually, and records the run like any other. Ignores `job.selection`.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub async fn run<S: Single>(context: &Context, source: S, job: &Job, items: &[ItemRef]) -> anyhow::Result<Report> {
    job::recorded(context, source, job, async |shared| {
        let streams: Vec<i64> = items.iter().map(|one| one.stream).collect();
        let rows: HashMap<i64, StreamRow> =
            claims::read(&context.pool, &streams).await?.into_iter().map(|row| (row.id, row)).collect();
        let answers = items.iter().filter_map(|one| Some(one_outcome(&shared, rows.get(&one.stream)?, &one.id)));
        let answers: Vec<_> = answers.collect();
        let mut covered = Covered { total: items.len() as u64, failed: (items.len() - answers.len()) as u64 };
        for _ in 0..covered.failed {
            shared.report().fail(&removed());
        }
        let mut answers = futures_util::stream::iter(answers).buffer_unordered(shared.width());
        while let Some(outcome) = answers.next().await {
            covered.failed += u64::from(matches!(outcome.end, PollEnd::Failed(_)));
            shared.report().add(&outcome);
        }
        shared.report().covered = Some(covered);
        Ok(())
    })
    .await
}

async fn one_outcome<S: Single>(shared: &Shared<S>, row: &StreamRow, id: &str) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome::of(row);
    if shared.wind_down.is_cancelled() {
        outcome.end = PollEnd::Interrupted;
        return outcome;
    }
    if let Err(failure) = one(shared, row, id, &mut outcome).await {
        shared.digest.failed("not polled", &Stream::of(row), &failure);
        outcome.end = PollEnd::Failed(failure);
    }
    outcome.took = started.elapsed();
    outcome
}

async fn one<S: Single>(shared: &Shared<S>, row: &StreamRow, id: &str, outcome: &mut Outcome) -> Result<(), Failure> {
    let stream = Stream::of(row);
    let calls = shared.calls(row);
    for _ in 0..MAX_REQUESTS {
        let before = KnownState::of(shared, &stream, id).await?;
        let started = Instant::now();
        let item = shared.source.fetch_one(&stream, &calls, id).await;
        outcome.fetches.push(started.elapsed());
        let item = item?;
        let mut tries = ABORT_RETRIES;
        let written = loop {
            match write(shared, &stream, &item, &before, outcome).await {
                Err(error) if tries > 0 && was_aborted(&error) => {
                    log::info!(stream = stream.id; "writing the item again: {error:#}");
                    tries -= 1;
                }
                written => break written?,
            }
        };
        if written {
            return Ok(());
        }
        log::info!(stream = stream.id; "the feed updated the item meanwhile; fetching it again");
    }
    Err(overtaken())
}

/// Writes the item. False if the response is older than what is known by now.
async fn write<S: Single>(
    shared: &Shared<S>,
    stream: &Stream,
    item: &Item<S::Change>,
    before: &KnownState,
    outcome: &mut Outcome,
) -> anyhow::Result<bool> {
    let mut client = shared.context.pool.get().await?;
    let mut tx = client.begin("beginning the write").await?;
    match held(&shared.source, &mut tx, stream, item, Some(before)).await? {
        ApplyOutcome::Applied(counts) => outcome.counts = counts,
        ApplyOutcome::Gone => return Err(removed().into()),
        ApplyOutcome::Overtaken => return Ok(false),
        ApplyOutcome::Refused(poison) => {
            log::info!(stream = stream.id, user:% = stream.user_id; "item quarantined: {}", poison.error);
            outcome.quarantined = 1;
            items::quarantine(&tx, stream.id, &[poison], None).await?;
        }
    }
    if shared.dry_run {
        tx.rollback().await.context("rolling back the dry run")?
    } else {
        tx.commit().await.context("committing the write")?
    }
    Ok(true)
}

/// The known state of an item.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KnownState {
    /// The stored version.
    stored: Option<String>,
    /// The quarantined form.
    quarantined: Option<String>,
    /// The feed's position, for an item that is not stored: its deletion leaves no other trace.
    feed: Option<String>,
}

impl KnownState {
    /// Reads the state before a request.
    pub async fn of<S: Source>(shared: &Shared<S>, stream: &Stream, id: &str) -> anyhow::Result<Self> {
        let mut client = shared.context.pool.get().await?;
        let tx = client.begin("beginning to read the known state").await?;
        let known = Self::now::<S>(&tx, stream, id).await?;
        tx.rollback().await.context("ending to read the known state")?;
        Ok(known)
    }

    /// Whether this is still the current state; holds the stream so that it stays so. `None`: the stream is gone.
    pub async fn holds<S: Source>(
        &self,
        tx: &deadpool_postgres::Transaction<'_>,
        stream: &Stream,
        id: &str,
    ) -> anyhow::Result<Option<bool>> {
        if !streams::hold(tx, stream.id).await? {
            return Ok(None);
        }
        Ok(Some(*self == Self::now::<S>(tx, stream, id).await?))
    }

    async fn now<S: Source>(tx: &deadpool_postgres::Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Self> {
        let stored = S::known(tx, stream, id).await?;
        let (quarantined, feed) = items::feed_state(tx, stream.id, id).await?;
        Ok(Self { feed: feed.filter(|_| stored.is_none()), stored, quarantined })
    }
}

/// The failure of a request whose responses were all outdated.
pub(super) fn overtaken() -> Failure {
    Failure::new(Class::Transient, format!("the feed updated the item during each of {MAX_REQUESTS} requests; poll it again"))
}

fn removed() -> Failure {
    Failure::new(Class::Gone, "the stream was removed")
}

/// The result of applying one item.
pub(super) enum ApplyOutcome {
    /// It is applied, and has left quarantine.
    Applied(Counts),
    /// Its stream no longer exists.
    Gone,
    /// The feed has updated it since the request: the response may be older.
    Overtaken,
    /// PostgreSQL rejected it.
    Refused(Poison),
}

/// Applies one item outside of any page, with its stream held. `before`: the known state when it was requested. The caller owns the transaction.
pub(super) async fn held<S: Source>(
    source: &S,
    tx: &mut deadpool_postgres::Transaction<'_>,
    stream: &Stream,
    item: &Item<S::Change>,
    before: Option<&KnownState>,
) -> anyhow::Result<ApplyOutcome> {
    let still = match before {
        Some(before) => before.holds::<S>(tx, stream, &item.id).await?,
        None => streams::hold(tx, stream.id).await?.then_some(true),
    };
    match still {
        None => return Ok(ApplyOutcome::Gone),
        Some(false) => return Ok(ApplyOutcome::Overtaken),
        Some(true) => {}
    }
    let savepoint = tx.transaction().await.context("setting a savepoint")?;
    match source.apply(&savepoint, stream, None, std::slice::from_ref(item)).await {
        Ok(counts) => {
            savepoint.commit().await.context("releasing the savepoint")?;
            items::clear(tx, stream.id, &[&item.id]).await?;
            Ok(ApplyOutcome::Applied(counts))
        }
        Err(error) if apply::blames_the_data(&error) => {
            savepoint.rollback().await.context("rolling back to the savepoint")?;
            Ok(ApplyOutcome::Refused(Poison {
                item_id: item.id.clone(),
                raw: item.raw.get().to_owned(),
                error: format!("{error:#}"),
                unfetched: None,
            }))
        }
        Err(error) => Err(error),
    }
}
