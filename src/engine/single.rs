//! Asks for single things by their ids, outside of the order of any feed: no position moves. Knows no service.
//!
//! An answer can be older than what the feed told while it was on its way. So it is noted before a question what is known of the thing, and the
//! answer is applied only if that is still so; otherwise the question is asked again.

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
use crate::db::streams;
use crate::error::{Class, Failure};

/// A question is asked so often at the most before it is left to the feed.
pub(super) const QUESTIONS: u32 = 5;

/// A service whose things can be asked for one by one.
pub trait Single: Source {
    /// One thing by its id, as the stream's user sees it; one that is gone comes as an item that says so.
    fn fetch_one(
        &self,
        stream: &Stream,
        calls: &Calls,
        id: &str,
    ) -> impl Future<Output = Result<Item<Self::Change>, Failure>> + Send;
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct ItemRef {
    /// `streams.id`: as whose, and where it is stored.
    pub stream: i64,
    /// The provider's id.
    pub id: String,
}

/// Asks for things, each by itself, and records the run like any other. `job.selection` is not looked at.
///
/// # Errors
/// Only when the run could not be recorded at all.
pub async fn run<S: Single>(context: &Context, source: S, job: &Job, asked: &[ItemRef]) -> anyhow::Result<Report> {
    job::recorded(context, source, job, async |shared| {
        let streams: Vec<i64> = asked.iter().map(|one| one.stream).collect();
        let rows: HashMap<i64, StreamRow> =
            claims::read(&context.pool, &streams).await?.into_iter().map(|row| (row.id, row)).collect();
        let answers = asked.iter().filter_map(|one| Some(one_outcome(&shared, rows.get(&one.stream)?, &one.id)));
        let answers: Vec<_> = answers.collect();
        let mut covered = Covered { total: asked.len() as u64, failed: (asked.len() - answers.len()) as u64 };
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
    for _ in 0..QUESTIONS {
        let before = KnownState::of(shared, &stream, id).await?;
        let started = Instant::now();
        let item = shared.source.fetch_one(&stream, &calls, id).await;
        outcome.fetches.push(started.elapsed());
        let item = item?;
        let written = loop {
            match write(shared, &stream, &item, &before, outcome).await {
                Err(error) if apply::was_sacrificed(&error) => log::info!(stream = stream.id; "writing again: {error:#}"),
                written => break written?,
            }
        };
        if written {
            return Ok(());
        }
        log::info!(stream = stream.id; "the feed told of it meanwhile, asking again");
    }
    Err(overtaken())
}

/// False: the answer is older than what is known by now.
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
    match shared.dry_run {
        true => tx.rollback().await.context("rolling the dry run back")?,
        false => tx.commit().await.context("committing the write")?,
    }
    Ok(true)
}

/// What is known of a thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KnownState {
    /// As it is stored.
    stored: Option<String>,
    /// As it lies in quarantine.
    quarantined: Option<String>,
    /// Where the feed stands, of a thing that is not stored: that it is gone leaves no trace then.
    feed: Option<String>,
}

impl KnownState {
    /// What is known before a question.
    pub async fn of<S: Source>(shared: &Shared<S>, stream: &Stream, id: &str) -> anyhow::Result<Self> {
        let mut client = shared.context.pool.get().await?;
        let tx = client.begin("beginning to read what is known").await?;
        let known = Self::now::<S>(&tx, stream, id).await?;
        tx.rollback().await.context("ending to read what is known")?;
        Ok(known)
    }

    /// Whether that is all that is known now, with the stream held so that it stays so. `None`: the stream is gone.
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

/// What is to be said of a question whose answers were all too old.
pub(super) fn overtaken() -> Failure {
    Failure::new(Class::Transient, format!("the feed told of it while each of {QUESTIONS} answers was on its way; poll it again"))
}

fn removed() -> Failure {
    Failure::new(Class::Gone, "the stream was removed")
}

/// What became of one item.
pub(super) enum ApplyOutcome {
    /// It is applied, and has left quarantine.
    Applied(Counts),
    /// Its stream is not there any more.
    Gone,
    /// The feed has told of it since the question: the answer may be older than that.
    Overtaken,
    /// PostgreSQL refused it.
    Refused(Poison),
}

/// Applies one item outside of any page, with its stream held. `before`: what was known when it was asked for. The caller owns the transaction.
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
