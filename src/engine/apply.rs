//! The page transaction: changes, quarantine and position move together or not at all. Knows no network.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::{Counts, Item, Next, Page, Position, Source, Stream, isolated};
use crate::db::Pool;
use crate::db::items::{self, Poison};
use crate::db::streams::{self, Finish, Step};
use crate::error::{Class, Failure, sql_state};

/// How often a page is written again that PostgreSQL gave up for another transaction's sake.
const SACRIFICES: u32 = 5;

/// What a page's transaction needs to know beside the page.
pub struct Write<'a> {
    /// Who must still hold the stream.
    pub run: Uuid,
    /// Where the pass stands.
    pub at: &'a Position,
    /// Seconds by which a page renews the lease.
    pub lease: f64,
    /// Those that a pass that begins is made with.
    pub settings: &'a serde_json::Value,
    /// A pass begins that is to write again what is stored already.
    pub anew: bool,
    /// How the pass ends, if this page is its last.
    pub finish: Option<Finish>,
}

/// Applies a page and moves the position in one transaction. Answers the counts and how many items went to quarantine.
///
/// # Errors
/// `LeaseLost` when another run has taken the stream over: nothing stays of the page.
pub async fn page<S: Source>(
    source: &S,
    pool: &Pool,
    stream: &Stream,
    page: &Page<S::Change>,
    write: &Write<'_>,
) -> Result<(Counts, u64), Failure> {
    let mut tries = SACRIFICES;
    loop {
        match once(source, pool, stream, page, write).await {
            Err(error) if tries > 0 && was_sacrificed(&error) => {
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
    // The fence first: it also locks the row, so that whoever takes the stream over waits for this page.
    let ours = match (&write.finish, &page.next) {
        (Some(finish), _) => streams::finish(&tx, write.run, stream.id, finish, write.settings).await?,
        (None, Next::Page(token)) => {
            let to = Position { page_token: Some(token.clone()), pinned: page.pinned.clone(), ..write.at.clone() };
            let items = i64::try_from(page.items.len() + page.poison.len())?;
            let step = Step { to, items, expected: page.expected, lease: write.lease };
            streams::advance_page(&tx, write.run, stream.id, &step, write.settings).await?
        }
        (None, Next::Cursor(_)) => anyhow::bail!("a last page without its finish"),
    };
    if !ours {
        return Err(Failure::new(Class::LeaseLost, "another run has taken this stream over").into());
    }
    let done = changes(source, &mut tx, stream, page, write).await?;
    tx.commit().await.context("committing the page")?;
    Ok(done)
}

/// Applies a page's changes without moving the position; the last page of a full pass makes the tombstones.
pub async fn changes<S: Source>(
    source: &S,
    tx: &mut Transaction<'_>,
    stream: &Stream,
    page: &Page<S::Change>,
    write: &Write<'_>,
) -> anyhow::Result<(Counts, u64)> {
    if write.anew {
        source.begin_anew(tx, stream).await?;
    }
    let (mut counts, quarantined) = apply_items(source, tx, stream, page, write).await?;
    if let (Some(_), Some(pass)) = (&write.finish, write.at.pass) {
        counts += S::sweep(tx, stream, pass, page.pinned.as_deref()).await?;
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
    // Halves that fail are halved again, so one bad item among thousands costs a dozen statements and nobody else.
    let mut pending: Vec<&[Item<S::Change>]> = match isolated::is_on() {
        true => page.items.chunks(1).rev().collect(),
        false => vec![&page.items],
    };
    while let Some(part) = pending.pop() {
        let Some(first) = part.first() else { continue };
        let place = isolated::checkpoint(stream.id, Some(&first.id));
        let savepoint = tx.transaction().await.context("setting a savepoint")?;
        match isolated::on(place, source.apply(&savepoint, stream, write.at.pass, part)).await {
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
    // What applies now leaves quarantine, whatever version of it lies there.
    let whole = page.items.iter().filter(|item| S::is_whole(&item.change)).map(|item| item.id.as_str());
    let applied: Vec<&str> = whole.filter(|id| !poison.iter().any(|bad| bad.item_id == *id)).collect();
    if !applied.is_empty() {
        items::clear(tx, stream.id, &applied).await?;
    }
    for bad in &poison {
        log::info!(stream = stream.id, user:% = stream.user_id; "item quarantined: {}", bad.error);
    }
    items::quarantine(tx, stream.id, &poison, write.at.pass).await?;
    Ok((counts, poison.len() as u64))
}

/// Whether PostgreSQL gave the transaction up so that others may go on (deadlock, serialization): nothing is wrong with it.
pub fn was_sacrificed(error: &anyhow::Error) -> bool {
    matches!(sql_state(error), Some("40P01" | "40001"))
}

/// Whether PostgreSQL refused a value (SQLSTATE class 22, data; 23, constraints), or the item could not be turned into one.
/// 54000 is a value that is too large for what holds it, 54001 one whose JSON is nested too deep. Anything else (no connection, a deadlock, a full
/// disk) never condemns an item.
pub fn blames_the_data(error: &anyhow::Error) -> bool {
    sql_state(error).is_some_and(|state| state.starts_with("22") || state.starts_with("23") || matches!(state, "54000" | "54001"))
}
