//! The one sync loop: claims streams, fetches pages, applies them, paces and reports. Knows no service.

mod apply;
mod auth;
mod budget;
mod calls;
pub mod delays;
pub mod digest;
mod dispatch;
mod failed;
mod gate;
pub mod isolated;
pub mod job;
mod meter;
mod outcome;
pub mod pace;
pub mod pacing;
mod page;
mod page_memory;
mod poll;
mod probe;
pub mod push;
mod queue;
mod recover;
pub mod refetch;
mod report;
pub mod retry;
pub mod retry_items;
mod revive;
mod run_summary;
mod shared;
pub mod single;
mod skipped;
mod slice;
pub mod task_runner;
pub mod tokens;
pub mod verify;
mod watch;
mod workers;

use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Settings;
use crate::db::Pool;
use crate::db::claims::StreamRow;
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::error::Failure;
use crate::google;
use crate::http;
use crate::seal::Vault;

pub use crate::db::streams::Position;
pub use auth::Auth;
pub use calls::Calls;
pub use report::{ClassCount, Report};

/// What every job needs. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub pool: Pool,
    pub settings: Arc<Settings>,
    pub vault: Vault,
    pub google: Arc<google::Client>,
    /// Beneath `google`, and for every other provider.
    pub http: Arc<http::Client>,
    /// Cancelled by SIGTERM and SIGINT: the pages in hand are finished, then the run ends.
    pub stop: CancellationToken,
    /// Cancelled when the command has nothing left to do: connections that its threads have opened are in the pool and good until then.
    pub over: CancellationToken,
}

/// One incremental feed of one user, claimed.
pub struct Stream {
    /// `streams.id`
    pub id: i64,
    /// Whose it is: `users.id`, or `attendee_projects.id`
    pub user_id: Uuid,
    /// What the service calls this sort of feed.
    pub kind: String,
    /// The provider's id of what is fed: a calendar id, a drive id.
    pub resource: String,
}

impl Stream {
    /// The stream of a claimed row.
    pub fn of(row: &StreamRow) -> Self {
        Self { id: row.id, user_id: row.user_id, kind: row.kind.clone(), resource: row.resource.clone() }
    }
}

/// One thing that the provider named in a page.
pub struct Item<C> {
    /// The provider's id.
    pub id: String,
    /// As received.
    pub raw: Box<RawValue>,
    /// When it changed, by the provider's clock; feeds the pace, and tells how long the change waited. `None` where the provider does not say, and for
    /// what no feed announced: what was asked for by its id, however old it is.
    pub changed_at: Option<DateTime<Utc>>,
    /// What the service made of it.
    pub change: C,
}

/// What came of single things that were asked for by their ids: those that can be applied, and those that cannot.
pub type Found<C> = (Vec<Item<C>>, Vec<Poison>);

/// One page of changes.
pub struct Page<C> {
    /// In the order of the provider.
    pub items: Vec<Item<C>>,
    /// What could not be decoded.
    pub poison: Vec<Poison>,
    /// What every page of this full pass, and its sweep, must repeat; opaque to the engine.
    pub pinned: Option<String>,
    /// Things of the whole pass, where the provider says how many there are.
    pub expected: Option<i64>,
    /// Whether more follow.
    pub next: Next,
}

impl<C> Page<C> {
    /// A page of what a list names; what cannot be decoded is poison.
    pub fn decoded(
        calls: &Calls,
        raws: &[&RawValue],
        decode: fn(Box<RawValue>) -> Result<Item<C>, Poison>,
        pinned: Option<String>,
        next: Next,
    ) -> Self {
        let mut page = Self { items: Vec::with_capacity(raws.len()), poison: Vec::new(), pinned, expected: None, next };
        for raw in raws {
            match calls.decoded(raw, decode) {
                Ok(item) => page.items.push(item),
                Err(bad) => page.poison.push(bad),
            }
        }
        page
    }
}

/// What follows a page.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Another page.
    Page(String),
    /// Nothing: the pass is complete and the next one starts at this cursor.
    Cursor(String),
}

/// What a page did to the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub created: u64,
    pub updated: u64,
    pub deleted: u64,
    pub unchanged: u64,
    /// Streams that the page brought up; they are due at once.
    pub streams: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.streams += other.streams;
    }
}

impl Counts {
    /// Rows that differ from before.
    pub fn changes(&self) -> u64 {
        self.created + self.updated + self.deleted
    }
}

/// A service, as the engine sees it. `fetch` has no database, `apply` has no network: the signatures keep them apart.
pub trait Source: Send + Sync + 'static {
    /// The service's run tables.
    const TABLES: Tables;
    /// How its calls are authorized.
    const AUTH: Auth;
    /// Makes due what has become so since: parts of a `WITH`, the last of which is called `woken` and names what it woke. Goes out with the first look of
    /// a service that calls no provider.
    const WAKE: Option<&'static str> = None;
    /// What the service makes of an item.
    type Change: Send + Sync + 'static;

    /// One page of changes after `at`, each call made through `calls`; the page says whether more follow.
    fn fetch(
        &self,
        stream: &Stream,
        calls: &Calls,
        at: &Position,
    ) -> impl Future<Output = Result<Page<Self::Change>, Failure>> + Send;

    /// Asks again for things that could not be fetched and are due, by their ids: a few at a time, after a pass of the stream, and when a person asks
    /// for it (`items retry`). What is gone comes as an item that says so, what still does not come as `Poison::unfetched`. An error is what
    /// concerns more than one of them; they stay as they are then.
    ///
    /// A service that asks for single things puts `Poison::unfetched(id, &failure)` into its page for one that the provider would not give, so
    /// that the rest goes on; a thing can be in `items` as well, if it is known and only a part of it (its content) is missing. It answers for
    /// these here. Quota, token and scope blame no thing: such failures are the stream's.
    fn fetch_again(
        &self,
        _stream: &Stream,
        _calls: &Calls,
        _ids: &[String],
    ) -> impl Future<Output = Result<Found<Self::Change>, Failure>> + Send {
        async { Ok((Vec::new(), Vec::new())) }
    }

    /// Makes an item of its JSON: for a page, and for an item that leaves quarantine.
    fn decode(kind: &str, raw: Box<RawValue>) -> Result<Item<Self::Change>, Poison>;

    /// Writes a page's changes; in a full pass, stamped with its number. The caller owns the transaction.
    fn apply(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        pass: Option<i64>,
        items: &[Item<Self::Change>],
    ) -> impl Future<Output = anyhow::Result<Counts>> + Send;

    /// Lets the complete pass that begins, made with other settings than the last one, write again what a pass leaves alone where nothing has
    /// changed at the provider.
    fn begin_anew(&self, _tx: &Transaction<'_>, _stream: &Stream) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Whether a change says all there is of its item, so that what lies in quarantine of it is outdated.
    fn is_whole(_change: &Self::Change) -> bool {
        true
    }

    /// What moves with every word on a thing that is stored; `None`: it is not. An answer that was asked for outside of the feed is held against it,
    /// because the feed may have told something newer meanwhile.
    fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> impl Future<Output = anyhow::Result<Option<String>>> + Send;

    /// Makes tombstones of the rows that a complete pass did not stamp. `pinned` says what the pass had asked for.
    fn sweep(
        tx: &Transaction<'_>,
        stream: &Stream,
        pass: i64,
        pinned: Option<&str>,
    ) -> impl Future<Output = anyhow::Result<Counts>> + Send;

    /// What is to be done before a run looks for what is due.
    fn prepare(&self, _context: &Context) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Quota units that a poll which finds nothing costs.
    fn cost(kind: &str) -> u64;

    /// Quota units of the next page of a full pass, with what is asked for because of it: the fewest that make it worth its while, and the most that
    /// it can use. What was booked is `Calls::booked`.
    fn page_cost(&self, kind: &str, _at: &Position) -> RangeInclusive<u64> {
        Self::cost(kind)..=Self::cost(kind)
    }

    /// How often a stream is polled.
    fn bounds(&self, stream: &Stream) -> pace::Bounds;

    /// How many times more urgent a stream's changes are than those of others, for what the service knows of it (`streams.id`).
    fn urgency(&self, _stream: i64) -> f64 {
        1.0
    }

    /// How many of what the run tables count come with a user: the user, or the files that are followed for them.
    fn subjects(&self, _user: Uuid) -> u64 {
        1
    }

    /// What went wrong beside the streams, and somebody must do something about: the run ends `partial` then.
    fn trouble(&self) -> Option<Failure> {
        None
    }

    /// What the run should tell besides its figures, as the service puts it.
    fn details(&self) -> Option<serde_json::Value> {
        None
    }
}
