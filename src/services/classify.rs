//! Classification: which project a document belongs to, by what people have said of others. One stream a user with projects; its pages are the
//! documents in the user's queue, and before them those of a pass. What is asked for stands in our own database: `fetch` reads there, and `apply` alone writes.

mod corrections;
pub mod endpoint;
mod endpoint_calls;
pub mod explain;
mod judge;
mod learn;
mod pages;
pub mod replay;
mod state;
mod store;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_postgres::Transaction;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::classify::decide::Evidence;
use crate::db::Pool;
use crate::db::classify::judgements::{EndpointState, Judgement};
use crate::db::classify::models::Learnt;
use crate::db::classify::queue;
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::engine::pace::Bounds;
use crate::engine::single::Single;
use crate::engine::{Auth, Calls, Context, Counts, Item, Page, Position, Source, Stream};
use crate::error::{Class, Failure};

use endpoint::Endpoint;
use endpoint_calls::Asks;
use pages::SeenDocuments;
use state::States;

/// `streams.service`
pub const SERVICE: &str = queue::SERVICE;

/// Documents of a page.
const PAGE: i64 = 200;
/// Pages that are judged at once, each with a model of up to 13 MiB, and up to 7 MiB more while that is to be stored.
const MODELS: usize = 2;
/// How often a user is polled of whom nothing is known to be due: `queue::WAKE` makes due whoever has something to judge.
const IDLE: Duration = Duration::from_secs(6 * 3600);

/// The service of one run.
pub struct Classify {
    pool: Pool,
    /// In a dry run nothing that a page brings is ever there for the next one.
    is_rehearsal: bool,
    seen: SeenDocuments,
    /// Lessons that this run has brought: of which user, by which a model gets which version.
    taught: Mutex<HashSet<(Uuid, i32)>>,
    states: States,
    asks: Asks,
    room: Semaphore,
}

/// What a page brings.
pub enum Change {
    /// A model that has learnt what people have said since.
    Learnt(Box<Learnt>, Vec<Uuid>),
    /// Of a document in the queue.
    Judged(Box<Judgement>),
    /// Of a document that was asked for.
    Asked(Box<Judgement>),
    /// A queued document that needs no judgement.
    Settled(Uuid),
    /// A part of a pass, behind its documents: from where to where; `None`: it is through.
    Passed { from: Uuid, to: Option<Uuid> },
    /// A document to queue again: one that left quarantine.
    Again(Uuid),
}

impl Classify {
    /// The service with these settings; a dry run asks no endpoint.
    ///
    /// # Errors
    /// The settings of the endpoint are wrong (exit 78).
    pub fn new(context: &Context, dry_run: bool) -> anyhow::Result<Self> {
        let settings = &context.settings;
        let endpoint = match settings.classify.endpoint.is_on() && !dry_run {
            true => Some(Endpoint::new(Arc::clone(&context.http), &settings.classify.endpoint)?),
            false => None,
        };
        let asks = Asks::new(endpoint, settings);
        Ok(Self {
            pool: context.pool.clone(),
            is_rehearsal: dry_run,
            seen: SeenDocuments::default(),
            taught: Mutex::default(),
            states: States::default(),
            asks,
            room: Semaphore::new(MODELS),
        })
    }

    /// Users whose documents a run would judge that woke them before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn awaited(pool: &Pool) -> anyhow::Result<Vec<Uuid>> {
        queue::awaited(pool).await
    }
}

impl Source for Classify {
    const TABLES: Tables = Tables { service: SERVICE, total: "total_users", successes: "polls" };
    const AUTH: Auth = Auth::NoCalls;
    const WAKE: Option<&'static str> = Some(queue::WAKE);
    type Change = Change;

    async fn fetch(&self, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
        let (mut page, pending) = {
            let _room = self.room.acquire().await.map_err(anyhow::Error::from)?;
            pages::page(self, stream.user_id, at.page_token.as_deref(), &calls.digest).await?
        };
        page.poison = self.asks.fill(&self.pool, pending, &mut page.items, &calls.digest).await?;
        Ok(page)
    }

    fn decode(_kind: &str, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
        judge::decode(raw)
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        _pass: Option<i64>,
        items: &[Item<Change>],
    ) -> anyhow::Result<Counts> {
        store::apply(tx, stream, items).await
    }

    async fn known(tx: &Transaction<'_>, _stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
        store::known(tx, id).await
    }

    /// Nothing is gone because no page named it.
    async fn sweep(_tx: &Transaction<'_>, _stream: &Stream, _pass: i64, _pinned: Option<&str>) -> anyhow::Result<Counts> {
        Ok(Counts::default())
    }

    fn cost(_kind: &str) -> u64 {
        0
    }

    fn page_cost(&self, _kind: &str, _at: &Position) -> RangeInclusive<u64> {
        0..=0
    }

    /// One that is still to be asked about may lie in quarantine for that.
    fn is_whole(change: &Change) -> bool {
        !matches!(change, Change::Judged(judgement) if matches!(judgement.asked, EndpointState::Later { .. }))
    }

    fn details(&self) -> Option<Value> {
        self.asks.details()
    }

    fn trouble(&self) -> Option<Failure> {
        self.asks.trouble()
    }

    fn bounds(&self, _stream: &Stream) -> Bounds {
        Bounds { min: IDLE, max: IDLE, prior: 1.0, full_pass_every: None }
    }
}

impl Single for Classify {
    async fn fetch_one(&self, stream: &Stream, calls: &Calls, id: &str) -> Result<Item<Change>, Failure> {
        let (mut item, pending) = {
            let _room = self.room.acquire().await.map_err(anyhow::Error::from)?;
            judge::one(self, stream.user_id, id).await?
        };
        let pending = pending.into_iter().collect();
        let aside = self.asks.fill(&self.pool, pending, std::slice::from_mut(&mut item), &calls.digest).await?;
        match aside.into_iter().next() {
            Some(poison) => Err(Failure::new(Class::BadAnswer, poison.error)),
            None => Ok(item),
        }
    }
}

/// `document_projects.decided_by`
fn by(way: Evidence) -> &'static str {
    match way {
        Evidence::Kin => "kin",
        Evidence::Sender => "sender",
        Evidence::Model => "model",
    }
}
