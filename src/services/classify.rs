//! Classification: assigns documents to projects based on people's assignments of other documents. One stream per user with projects; its
//! pages are the documents of a pass, then those in the user's queue. The source is syncctl's own database: `fetch` only reads it, `apply` writes.

mod corrections;
pub mod endpoint;
mod endpoint_calls;
mod evaluation;
pub mod explain;
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

use super::Service;
use crate::classify::decide::Evidence;
use crate::config::{EventTypes, Limits, Quota, Settings};
use crate::db::Pool;
use crate::db::claims::Selection;
use crate::db::classify::classified::CLASSIFIED;
use crate::db::classify::judgements::{EndpointState, Judgement};
use crate::db::classify::models::Learnt;
use crate::db::classify::offers::UNDECIDED;
use crate::db::classify::queue;
use crate::db::items::Poison;
use crate::db::projects;
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

/// Number of documents per page.
const PAGE: i64 = 200;
/// Maximum number of pages judged concurrently, each with a model of up to 13 MiB, plus up to 7 MiB while the model waits to be stored.
const MODELS: usize = 2;
/// Poll interval of users with nothing due; `queue::WAKE` makes users with documents to judge due.
const IDLE: Duration = Duration::from_secs(6 * 3600);

/// The service of one run.
pub struct Classify {
    pool: Pool,
    /// A dry run: no page sees what an earlier page brought.
    is_rehearsal: bool,
    seen: SeenDocuments,
    /// Lessons returned by this run, by user and resulting model version.
    taught: Mutex<HashSet<(Uuid, i32)>>,
    states: States,
    asks: Asks,
    models: Semaphore,
}

/// An item of a page.
pub enum Change {
    /// A model that has learnt the new corrections, and the documents they concern.
    Learnt(Box<Learnt>, Vec<Uuid>),
    /// The judgement on a queued document.
    Judged(Box<Judgement>),
    /// The judgement on a document that was requested by its id.
    Asked(Box<Judgement>),
    /// A queued document that needs no judgement.
    Settled(Uuid),
    /// The part of a pass that this page covers, after its documents; `to` is `None` at the end of the pass.
    Passed { from: Uuid, to: Option<Uuid> },
    /// A document that left quarantine, to be queued again.
    Again(Uuid),
}

impl Service for Classify {
    const EVENTS: EventTypes = EventTypes { standard: &[CLASSIFIED, UNDECIDED], opt_in: &[] };
    const NOUNS: &'static [(&'static str, [&'static str; 2])] = &[(queue::KIND, ["document", "documents"])];

    fn enabled(settings: &Settings) -> bool {
        settings.classify.enabled
    }

    async fn is_in_use(pool: &Pool) -> anyhow::Result<bool> {
        projects::are_there(pool).await
    }

    /// A dry run does not call the endpoint.
    ///
    /// # Errors
    /// Returns a settings `Fault` (exit 78) if the endpoint's settings are invalid.
    async fn load(context: &Context, _selection: &Selection, dry_run: bool) -> anyhow::Result<Self> {
        let settings = &context.settings;
        let endpoint = if settings.classify.endpoint.is_on() && !dry_run {
            Some(Endpoint::new(Arc::clone(&context.http), &settings.classify.endpoint)?)
        } else {
            None
        };
        let asks = Asks::new(endpoint, settings);
        Ok(Self {
            pool: context.pool.clone(),
            is_rehearsal: dry_run,
            seen: SeenDocuments::default(),
            taught: Mutex::default(),
            states: States::default(),
            asks,
            models: Semaphore::new(MODELS),
        })
    }
}

impl Classify {
    /// Returns the users whose documents a run would judge after waking them.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    pub async fn awaited(pool: &Pool) -> anyhow::Result<Vec<Uuid>> {
        queue::awaited(pool).await
    }
}

impl Source for Classify {
    const TABLES: Tables = Tables { service: SERVICE, total: "total_users", successes: "polls", summaries: &[] };
    const AUTH: Auth = Auth::NoCalls;
    const WAKE: Option<&'static str> = Some(queue::WAKE);
    type Change = Change;

    async fn fetch(&self, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
        let (mut page, pending) = {
            let _permit = self.models.acquire().await.map_err(anyhow::Error::from)?;
            pages::page(self, stream.user_id, at.page_token.as_deref(), &calls.digest).await?
        };
        page.poison = self.asks.fill(&self.pool, pending, &mut page.items, &calls.digest).await?;
        Ok(page)
    }

    fn decode(_kind: &str, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
        evaluation::decode(raw)
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

    /// Does nothing: a document that no page names still exists.
    async fn sweep(&self, _tx: &Transaction<'_>, _stream: &Stream, _pass: i64, _pinned: Option<&str>) -> anyhow::Result<Counts> {
        Ok(Counts::default())
    }

    fn limits(_quota: &Quota) -> Limits {
        Limits { project_per_minute: u64::MAX, user_per_minute: u64::MAX, per_day: u64::MAX, user_concurrency: 0 }
    }

    fn cost(_kind: &str) -> u64 {
        0
    }

    fn page_cost(&self, _kind: &str, _at: &Position) -> RangeInclusive<u64> {
        0..=0
    }

    /// A document that still waits for the endpoint may be in quarantine for that reason.
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
            let _permit = self.models.acquire().await.map_err(anyhow::Error::from)?;
            evaluation::one(self, stream.user_id, id).await?
        };
        let pending = pending.into_iter().collect();
        let quarantined = self.asks.fill(&self.pool, pending, std::slice::from_mut(&mut item), &calls.digest).await?;
        match quarantined.into_iter().next() {
            Some(poison) => Err(Failure::new(Class::BadAnswer, poison.error)),
            None => Ok(item),
        }
    }
}

/// `document_projects.decided_by`
fn by(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Kin => "kin",
        Evidence::Sender => "sender",
        Evidence::Model => "model",
    }
}
