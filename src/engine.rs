//! The sync loop: claims streams, fetches pages, applies them, schedules the next polls and reports. Independent of any service.

pub mod announce;
mod apply;
mod auth;
mod budget;
mod calls;
mod counts;
pub mod delays;
pub mod digest;
mod dispatch;
mod failed;
mod gate;
pub mod isolated;
mod isolated_streams;
pub mod job;
mod meter;
mod outcome;
pub mod pacing;
mod page;
mod page_memory;
mod poll;
mod probe;
pub mod push;
mod queue;
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
mod stream;
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

use crate::config::{Limits, Quota, Settings};
use crate::db::Pool;
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::error::Failure;
use crate::google;
use crate::http;
use crate::seal::Vault;

pub use ::pace;

pub use crate::db::streams::Position;
pub use auth::Auth;
pub use calls::Calls;
pub use counts::Counts;
pub use report::{ClassCount, Report};
pub use stream::Stream;

/// What every job needs. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub pool: Pool,
    pub settings: Arc<Settings>,
    pub vault: Vault,
    pub google: Arc<google::Client>,
    /// The client that `google` uses, shared with every other provider.
    pub http: Arc<http::Client>,
    /// Cancelled by SIGTERM and SIGINT: the run finishes its current pages and ends.
    pub stop: CancellationToken,
    /// Cancelled when the command has nothing left to do. Until then, connections opened by its threads stay usable in the pool.
    pub over: CancellationToken,
}

/// One item of a page.
pub struct Item<C> {
    /// The provider's id.
    pub id: String,
    /// As received.
    pub raw: Box<RawValue>,
    /// When it changed, by the provider's clock. Feeds the pace and measures how long the change waited. `None` if the provider does not say, and for items
    /// fetched by id instead of through a feed, because they can be of any age.
    pub changed_at: Option<DateTime<Utc>>,
    /// The change, as decoded by the service.
    pub change: C,
}

/// The result of fetching single items by id: those that can be applied, and those that cannot.
pub type Decoded<C> = (Vec<Item<C>>, Vec<Poison>);

/// One page of changes.
pub struct Page<C> {
    /// In the provider's order.
    pub items: Vec<Item<C>>,
    /// Items that could not be decoded.
    pub poison: Vec<Poison>,
    /// State that every page of this full pass, and its sweep, must repeat; opaque to the engine.
    pub pinned: Option<String>,
    /// Number of items in the complete pass, if the provider reports it.
    pub expected: Option<i64>,
    /// Whether more pages follow.
    pub next: Next,
}

impl<C> Page<C> {
    /// Builds a page from listed items; those that cannot be decoded become poison.
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
    /// None: the pass is complete and the next one starts at this cursor.
    Cursor(String),
}

/// A service, as the engine sees it. `fetch` has no database access and `apply` no network access; the signatures enforce this.
pub trait Source: Send + Sync + 'static {
    /// The service's run tables.
    const TABLES: Tables;
    /// How its calls are authorized.
    const AUTH: Auth;
    /// Marks streams that have become due: parts of a `WITH`, the last of which is named `woken` and returns the woken streams. Sent with the first look of
    /// a service that calls no provider.
    const WAKE: Option<&'static str> = None;
    /// Keys of the settings that a full pass applies to the items it reads. Stored items keep the settings of the last full pass.
    const PASS_SETTINGS: &'static [&'static str] = &[];
    /// The service's decoded form of an item.
    type Change: Send + Sync + 'static;

    /// Fetches one page of changes after `at`, making each call through `calls`. The page says whether more follow.
    fn fetch(
        &self,
        stream: &Stream,
        calls: &Calls,
        at: &Position,
    ) -> impl Future<Output = Result<Page<Self::Change>, Failure>> + Send;

    /// Retries due items that could not be fetched, by id: a few at a time, after a pass of the stream and for `items retry`. An item that no longer exists
    /// is returned as a deletion, one that still cannot be fetched as `Poison::unfetched`. An error means a problem that affects more than one item; the
    /// items then stay unchanged.
    ///
    /// A service that fetches single items puts `Poison::unfetched(id, &failure)` into its page for an item that the provider does not return, so that the
    /// rest continues. Such an item can also be in `items` if it is known and only a part of it (its content) is missing. The service must then implement
    /// this method. Quota, token and scope failures concern the stream, not an item.
    fn fetch_again(
        &self,
        _stream: &Stream,
        _calls: &Calls,
        _ids: &[String],
    ) -> impl Future<Output = Result<Decoded<Self::Change>, Failure>> + Send {
        async { Ok((Vec::new(), Vec::new())) }
    }

    /// Decodes an item from its JSON: for a page, and for an item that leaves quarantine.
    fn decode(kind: &str, raw: Box<RawValue>) -> Result<Item<Self::Change>, Poison>;

    /// Writes a page's changes; in a full pass, stamps them with its number. The caller owns the transaction.
    fn apply(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        pass: Option<i64>,
        items: &[Item<Self::Change>],
    ) -> impl Future<Output = anyhow::Result<Counts>> + Send;

    /// Called when a full pass begins under changed settings: lets it rewrite rows that a pass normally skips because nothing has changed at the provider.
    fn begin_anew(&self, _tx: &Transaction<'_>, _stream: &Stream) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Whether a change is a complete picture of its item, so that any quarantined form of the item is outdated.
    fn is_whole(_change: &Self::Change) -> bool {
        true
    }

    /// A version marker of a stored item that changes with every update; `None` if the item is not stored. A response fetched outside the feed is compared
    /// with it, because the feed may have delivered something newer in the meantime.
    fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> impl Future<Output = anyhow::Result<Option<String>>> + Send;

    /// Turns rows that a complete pass did not stamp into tombstones. `pinned` is the pass's pinned state.
    fn sweep(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        pass: i64,
        pinned: Option<&str>,
    ) -> impl Future<Output = anyhow::Result<Counts>> + Send;

    /// Prepares the service before a run looks for due streams.
    fn prepare(&self, _context: &Context) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// The provider's limits: the settings, with defaults in place of 0.
    fn limits(quota: &Quota) -> Limits;

    /// Quota units of a poll that finds nothing.
    fn cost(kind: &str) -> u64;

    /// Quota units of the next page of a full pass, including the calls that follow from it: the minimum that makes the page worthwhile, and the maximum
    /// that it can use. `Calls::booked` returns the units booked.
    fn page_cost(&self, kind: &str, _at: &Position) -> RangeInclusive<u64> {
        Self::cost(kind)..=Self::cost(kind)
    }

    /// How often a stream is polled.
    fn bounds(&self, stream: &Stream) -> pace::Bounds;

    /// How much more urgent a stream's changes are than those of others, as a factor (`stream`: `streams.id`).
    fn urgency(&self, _stream: i64) -> f64 {
        1.0
    }

    /// How many entries in the run tables a user counts for: one for the user, or the number of files followed for them.
    fn subjects(&self, _user: Uuid) -> u64 {
        1
    }

    /// A problem outside the streams that needs attention: the run then ends `partial`.
    fn trouble(&self) -> Option<Failure> {
        None
    }

    /// Service-specific details for the run's report.
    fn details(&self) -> Option<serde_json::Value> {
        None
    }
}
