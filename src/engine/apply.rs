//! The page transaction: changes, quarantine and position are stored together or not at all. Does not use the network.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::{Counts, Item, Next, Page, Position, Source, Stream, announce};
use crate::db::Pool;
use crate::db::items::{self, Poison};
use crate::db::pool::{ABORT_RETRIES, was_aborted};
use crate::db::streams::{self, Finish, Step};
use crate::error::{Class, Failure, sql_state};

/// Parameters of a page's transaction besides the page.
pub struct Write<'a> {
    /// The run that must still hold the stream.
    pub run: Uuid,
    /// Current position of the pass.
    pub at: &'a Position,
    /// Seconds by which the page renews the lease.
    pub lease: f64,
    /// The settings that a new pass starts with.
    pub settings: &'a serde_json::Value,
    /// A pass begins that must rewrite rows already stored.
    pub rewrite: bool,
    /// How the pass ends, if this page is its last.
    pub finish: Option<Finish>,
}

/// Applies a page and moves the position in one transaction. Returns the counts and the number of items quarantined.
///
/// # Errors
/// Returns `LeaseLost` if another run has taken over the stream; nothing of the page is stored.
pub async fn page<S: Source>(
    source: &S,
    pool: &Pool,
    stream: &Stream,
    page: &Page<S::Change>,
    write: &Write<'_>,
) -> Result<(Counts, u64), Failure> {
    let mut tries = ABORT_RETRIES;
    loop {
        match once(source, pool, stream, page, write).await {
            Err(error) if tries > 0 && was_aborted(&error) => {
                log::info!(stream = stream.id; "writing the page again: {error:#}");
                tries -= 1;
            }
            done => return Ok(done?),
        }
    }
}

async fn once<S: Source>(
    source: &S,
    pool: &Pool,
    stream: &Stream,
    page: &Page<S::Change>,
    write: &Write<'_>,
) -> anyhow::Result<(Counts, u64)> {
    let mut client = pool.get().await?;
    let mut tx = client.begin("beginning the page").await?;
    // The fence comes first: it also locks the row, so that a run taking over the stream waits for this page.
    let ours = match (&write.finish, &page.next) {
        (Some(finish), _) => streams::finish(&tx, write.run, stream.id, finish, write.settings).await?,
        (None, Next::Page(token)) => {
            let to = Position { page_token: Some(token.clone()), pinned: page.pinned.clone(), ..write.at.clone() };
            let items = i64::try_from(page.items.len() + page.poison.len())?;
            let step = Step { to, items, expected: page.expected, lease: write.lease };
            streams::advance_page(&tx, write.run, stream.id, &step, write.settings).await?
        }
        (None, Next::Cursor(_)) => anyhow::bail!("the last page has no finish"),
    };
    if !ours {
        return Err(Failure::new(Class::LeaseLost, "another run has taken over this stream").into());
    }
    let done = changes(source, &mut tx, stream, page, write).await?;
    tx.commit().await.context("committing the page")?;
    Ok(done)
}

/// Applies a page's changes without moving the position; the last page of a full pass also creates the tombstones.
pub async fn changes<S: Source>(
    source: &S,
    tx: &mut Transaction<'_>,
    stream: &Stream,
    page: &Page<S::Change>,
    write: &Write<'_>,
) -> anyhow::Result<(Counts, u64)> {
    if write.rewrite {
        source.begin_anew(tx, stream).await?;
    }
    let (mut counts, quarantined) = apply_items(source, tx, stream, page, write).await?;
    if let (Some(_), Some(pass)) = (&write.finish, write.at.pass) {
        counts += source.sweep(tx, stream, pass, page.pinned.as_deref()).await?;
    }
    Ok((counts, quarantined))
}

async fn apply_items<S: Source>(
    source: &S,
    tx: &mut Transaction<'_>,
    stream: &Stream,
    page: &Page<S::Change>,
    write: &Write<'_>,
) -> anyhow::Result<(Counts, u64)> {
    let mut counts = Counts::default();
    let mut poison: Vec<Poison> = page.poison.clone();
    // Failing batches are halved, so one bad item among thousands costs a dozen statements and affects no other item.
    let mut pending: Vec<&[Item<S::Change>]> =
        if announce::is_on() { page.items.chunks(1).rev().collect() } else { vec![&page.items] };
    while let Some(part) = pending.pop() {
        let Some(first) = part.first() else { continue };
        let checkpoint = announce::checkpoint(stream.id, Some(&first.id));
        let savepoint = tx.transaction().await.context("setting a savepoint")?;
        match announce::on(checkpoint, source.apply(&savepoint, stream, write.at.pass, part)).await {
            Ok(done) => {
                savepoint.commit().await.context("releasing the savepoint")?;
                counts += done;
            }
            Err(error) if blames_the_data(&error) => {
                savepoint.rollback().await.context("rolling back to the savepoint")?;
                match part {
                    [item] => poison.push(Poison {
                        item_id: item.id.clone(),
                        raw: item.raw.get().to_owned(),
                        error: format!("{error:#}"),
                        unfetched: None,
                    }),
                    part => {
                        let (left, right) = part.split_at(part.len() / 2);
                        pending.push(right);
                        pending.push(left);
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    // Applied items leave quarantine, whichever version of them is stored there.
    let complete = page.items.iter().filter(|item| S::is_whole(&item.change)).map(|item| item.id.as_str());
    let applied: Vec<&str> = complete.filter(|id| !poison.iter().any(|bad| bad.item_id == *id)).collect();
    if !applied.is_empty() {
        items::clear(tx, stream.id, &applied).await?;
    }
    for bad in &poison {
        log::info!(stream = stream.id, user:% = stream.user_id; "item quarantined: {}", bad.error);
    }
    items::quarantine(tx, stream.id, &poison, write.at.pass).await?;
    Ok((counts, poison.len() as u64))
}

/// Whether PostgreSQL rejected a value (SQLSTATE class 22, data; 23, constraints; 54000, too large for its container; 54001, JSON nested too deep), or the
/// item could not be converted to one. Any other error (no connection, a deadlock, a full disk) never condemns an item.
pub fn blames_the_data(error: &anyhow::Error) -> bool {
    sql_state(error).is_some_and(|state| state.starts_with("22") || state.starts_with("23") || matches!(state, "54000" | "54001"))
}
