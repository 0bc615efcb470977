//! Attendee: schedules bots for meetings and follows them until their transcripts are documents. One stream per project key.

mod api;
mod audience;
mod bot;
mod bounds;
mod derived;
mod eligible;
mod events;
mod failure;
mod fetch;
mod finish;
mod notes;
mod open;
mod plan;
mod planner;
pub mod probe;
pub mod projects;
mod reasons;
mod rescheduled;
mod rows;
pub mod schedule;
mod store;
pub mod stored;
mod transcript;
mod transitions;
pub mod user_settings;
mod verify;
mod window;

use std::sync::Arc;

use deadpool_postgres::Transaction;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Service;
use crate::config::{self, EventTypes, Limits, Quota, Settings};
use crate::db::Pool;
use crate::db::claims::Selection;
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::engine::pace::Bounds;
use crate::engine::single::Single;
use crate::engine::{Auth, Calls, Context, Counts, Item, Page, Position, Source, Stream};
use crate::error::Failure;

use bot::Change;

/// `streams.service`
pub const SERVICE: &str = "attendee";
/// The bots of one project.
pub const BOTS: &str = "bots";

/// The Attendee service of one run.
pub struct Attendee {
    api: api::Api,
    settings: config::Attendee,
    opens: open::OpenBots,
    notes: notes::Notes,
}

impl Service for Attendee {
    const EVENTS: EventTypes = EventTypes { standard: &finish::EVENTS, opt_in: &[] };
    const JOBS: &'static [&'static str] = &["schedule"];
    const OWNERS: &'static str = "projects";
    const NOUNS: &'static [(&'static str, [&'static str; 2])] = &[(BOTS, ["bot", "bots"])];

    /// Always: without projects there is nothing to poll.
    fn enabled(_settings: &Settings) -> bool {
        true
    }

    async fn is_in_use(pool: &Pool) -> anyhow::Result<bool> {
        Ok(!projects::list(pool).await?.is_empty())
    }

    async fn wake(context: &Context) -> anyhow::Result<()> {
        open::OpenBots::wake(&context.pool).await
    }

    /// Loads the keys of all projects, and the open bots of the projects that a selection polls.
    async fn load(context: &Context, selection: &Selection, _dry_run: bool) -> anyhow::Result<Self> {
        let settings = context.settings.attendee.clone();
        let keys = projects::keys(&context.pool, &context.vault).await?;
        Ok(Self {
            api: api::Api::new(Arc::clone(&context.http), &settings.root, keys)?,
            opens: open::OpenBots::load(&context.pool, selection, settings.live_interval / 5).await?,
            notes: notes::Notes::default(),
            settings,
        })
    }
}

impl Source for Attendee {
    const TABLES: Tables = Tables { service: SERVICE, total: "total_meetings", successes: "polls", summaries: &[] };
    const AUTH: Auth = Auth::Key;
    type Change = Change;

    async fn fetch(&self, stream: &Stream, calls: &Calls, _at: &Position) -> Result<Page<Change>, Failure> {
        fetch::bots(self, stream, calls).await
    }

    fn decode(_kind: &str, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
        bot::decode(raw)
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        _pass: Option<i64>,
        items: &[Item<Change>],
    ) -> anyhow::Result<Counts> {
        store::apply(tx, stream, self.settings.live_interval, items).await
    }

    async fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
        store::known(tx, stream, id).await
    }

    /// Does nothing: a bot that no list names is requested by its id.
    async fn sweep(&self, _tx: &Transaction<'_>, _stream: &Stream, _pass: i64, _pinned: Option<&str>) -> anyhow::Result<Counts> {
        Ok(Counts::default())
    }

    fn limits(quota: &Quota) -> Limits {
        // Projects have no users.
        let set = Limits { user_per_minute: 0, ..quota.attendee };
        set.or(Limits { project_per_minute: 3_000, user_per_minute: u64::MAX, per_day: u64::MAX, user_concurrency: 0 })
    }

    /// Cost of a poll with open bots. A poll without any costs nothing, but that is known only during the poll.
    fn cost(_kind: &str) -> u64 {
        api::COST
    }

    fn bounds(&self, stream: &Stream) -> Bounds {
        let settings = &self.settings;
        let wait = self.opens.wait(stream.user_id, chrono::Utc::now(), settings.live_interval, settings.idle_interval);
        Bounds { min: wait, max: wait, prior: 1.0, full_pass_every: None }
    }

    fn subjects(&self, project: Uuid) -> u64 {
        self.opens.due(project).len() as u64
    }

    fn details(&self) -> Option<Value> {
        self.notes.to_json()
    }
}

impl Single for Attendee {
    async fn fetch_one(&self, stream: &Stream, calls: &Calls, id: &str) -> Result<Item<Change>, Failure> {
        fetch::single(self, stream, calls, id).await
    }
}
