//! Google Drive: a user's shared drives, the change feeds of My Drive and of each shared drive, and the documents of followed files.

mod access;
mod action;
pub mod browse;
mod content;
mod data_urls;
mod derived;
mod details;
mod documents;
mod drives;
mod fetch;
mod file;
mod files;
mod integrity;
mod last_seen;
pub mod permissions;
mod push;
mod shared;
mod store;
mod verify;
pub mod watches;
mod workbook;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use deadpool_postgres::Transaction;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Probe, Registered, Service};
use crate::config::{self, EventTypes, Limits, Quota, Settings};
use crate::db::claims::Selection;
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::engine::pace::Bounds;
use crate::engine::single::Single;
use crate::engine::{Auth, Calls, Context, Counts, Decoded, Item, Page, Position, Source, Stream};
use crate::error::{Class, Failure};
use crate::google::{self, Endpoint, Host};

/// `drives.list` of one user.
pub const LIST: &str = "drive_list";
/// `changes.list` of My Drive or of one shared drive.
pub const CHANGES: &str = "changes";
/// The resource of the feed that every user has: files they own or that are shared with them, including files in shared drives that they are
/// not members of.
pub const MY_DRIVE: &str = "my-drive";
/// Maximum number of workbooks in memory, over all feeds: each is up to 32 MiB, and 64 MiB unpacked.
const WORKBOOKS: usize = 2;

/// Reads a user's files and their content.
const SCOPE: &str = "https://www.googleapis.com/auth/drive.readonly";
/// Where its calls are batched.
const BATCH: Endpoint = Endpoint { host: Host::Apis, path: ["batch", "drive", "v3"] };

/// What accounts need to know.
pub const REGISTERED: Registered = Registered {
    service: "drive",
    root_kind: LIST,
    scope: SCOPE,
    change_times: include_str!("drive/sql/change_times.sql"),
    probe: Probe {
        method: "about.get",
        host: Host::Apis,
        path: &["drive", "v3", "about"],
        fields: "user(emailAddress)",
        address: "/user/emailAddress",
    },
};

/// The Drive service of one run.
pub struct Drive {
    google: Arc<google::Client>,
    batcher: Arc<google::Batcher>,
    settings: config::Drive,
    /// The opt-in event types that targets ask for.
    requested: HashSet<&'static str>,
    watched: watches::Watched,
    /// Limits the workbooks in memory.
    workbooks: Semaphore,
}

/// An item of a Drive page.
pub enum Change {
    /// A shared drive that the user is a member of.
    Drive(drives::Entry),
    /// A file in its current state, and its text if that was requested.
    File(Box<file::File>, file::Content),
    /// A file that is deleted, or that this user no longer sees.
    Removed,
    /// An entry that is not stored: a shared drive in a feed of files.
    Other,
}

impl Service for Drive {
    const GOOGLE: Option<Registered> = Some(REGISTERED);
    const EVENTS: EventTypes = EventTypes { standard: &action::EVENTS, opt_in: &permissions::announce::OPT_IN };
    const NOUNS: &'static [(&'static str, [&'static str; 2])] =
        &[(CHANGES, ["file", "files"]), (LIST, ["shared drive", "shared drives"])];
    const LOOK: Option<&'static str> = Some("drive list");

    fn enabled(settings: &Settings) -> bool {
        settings.drive.enabled
    }

    /// Loads the files that the selected users follow: their content is read when it has changed.
    async fn load(context: &Context, selection: &Selection, _dry_run: bool) -> anyhow::Result<Self> {
        let (google, settings) = (Arc::clone(&context.google), &context.settings);
        let batcher = Arc::new(google::Batcher::new(Arc::clone(&google), settings.google.batch_size));
        let watched = watches::Watched::load(&context.pool, selection).await?;
        let requested = settings.outbox.requested(&Self::EVENTS);
        Ok(Self { google, batcher, settings: settings.drive.clone(), requested, watched, workbooks: Semaphore::new(WORKBOOKS) })
    }
}

impl Source for Drive {
    const TABLES: Tables = Tables { service: REGISTERED.service, total: "total_files", successes: "polls", summaries: &[] };
    const AUTH: Auth = Auth::Scope(SCOPE);
    const PASS_SETTINGS: &'static [&'static str] = &["drive.documents", "drive.content_max_size"];
    type Change = Change;

    async fn fetch(&self, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
        match stream.kind.as_str() {
            LIST => fetch::drives(self, calls, at).await,
            CHANGES => fetch::files(self, stream, calls, at).await,
            kind => Err(Failure::new(
                Class::Internal,
                format!("drive has no streams of kind {kind:?}; the database was created by a newer syncctl"),
            )),
        }
    }

    async fn fetch_again(&self, stream: &Stream, calls: &Calls, ids: &[String]) -> Result<Decoded<Change>, Failure> {
        match stream.kind.as_str() {
            CHANGES => fetch::refetch(self, stream, calls, ids).await,
            _ => Ok(Decoded::default()),
        }
    }

    fn decode(kind: &str, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
        match kind {
            LIST => drives::decode(raw),
            _ => file::decode(raw),
        }
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        pass: Option<i64>,
        items: &[Item<Change>],
    ) -> anyhow::Result<Counts> {
        match stream.kind.as_str() {
            LIST => drives::apply(tx, stream, pass, items).await,
            _ => store::apply(tx, &self.requested, self.settings.documents, stream, pass, items).await,
        }
    }

    async fn begin_anew(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<()> {
        documents::distrust_limits(tx, stream.user_id).await
    }

    async fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
        access::fingerprint(tx, stream, id).await
    }

    async fn sweep(&self, tx: &Transaction<'_>, stream: &Stream, pass: i64, pinned: Option<&str>) -> anyhow::Result<Counts> {
        match stream.kind.as_str() {
            LIST => drives::sweep(tx, stream, pass).await,
            _ => store::sweep(tx, stream, pass, pinned == Some(fetch::GONE)).await,
        }
    }

    fn limits(quota: &Quota) -> Limits {
        let defaults =
            Limits { project_per_minute: 1_000_000, user_per_minute: 325_000, per_day: 400_000_000, user_concurrency: 0 };
        quota.drive.or(defaults)
    }

    fn cost(_kind: &str) -> u64 {
        fetch::LIST_COST
    }

    fn page_cost(&self, _kind: &str, _at: &Position) -> RangeInclusive<u64> {
        let cost = fetch::LIST_COST + fetch::OTHER_COST;
        cost..=cost
    }

    fn bounds(&self, stream: &Stream) -> Bounds {
        let settings = &self.settings;
        match stream.kind.as_str() {
            // Every poll is a full pass: the list has no change feed.
            LIST => Bounds {
                min: settings.list_interval,
                max: settings.list_interval,
                prior: 0.001,
                full_pass_every: Some(std::time::Duration::ZERO),
            },
            _ => Bounds {
                min: settings.min_interval,
                max: settings.max_interval,
                prior: 0.1,
                full_pass_every: Some(access::IN_DOUBT),
            },
        }
    }

    fn subjects(&self, user: Uuid) -> u64 {
        self.watched.count(user)
    }
}

impl Single for Drive {
    async fn fetch_one(&self, stream: &Stream, calls: &Calls, id: &str) -> Result<Item<Change>, Failure> {
        let mut item = fetch::file(self, calls, id).await?;
        let read = content::Reading::new(self, stream);
        read.fill(calls, std::slice::from_mut(&mut item)).await?;
        Ok(item)
    }
}
