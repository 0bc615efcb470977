//! The settings: one struct a section, each field with its default. Knows no file and no environment; `config/load.rs` does.

mod attendee;
mod calendar;
mod classify;
mod drive;
pub mod duration;
mod gmail;
mod google;
mod healthchecks;
mod load;
mod logs;
mod outbox;
mod pace;
mod passes;
mod push;
mod quota;
mod reference;
mod retention;
mod secrets;
mod tree;
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

pub use attendee::Attendee;
pub use calendar::Calendar;
pub use classify::{Classify, Endpoint};
pub use drive::{Drive, DriveDocuments};
pub use gmail::{Gmail, MailStore};
pub use google::Google;
pub use healthchecks::Healthchecks;
pub(crate) use load::read_any;
pub use load::{Flags, Loaded, Origin, load};
pub use logs::Log;
pub use outbox::{Outbox, Target};
pub use pace::Pace;
pub use passes::of_passes;
pub use push::Push;
pub use quota::{Limits, Quota, QuotaProfile};
pub use reference::{example, markdown, schema};
pub use retention::Retention;
pub use secrets::MACHINE_SETTINGS;
pub use webhook::Webhook;

/// Every setting. `syncctl config show` prints them with where each came from.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub db: Db,
    pub seal: Seal,
    pub google: Google,
    pub attendee: Attendee,
    pub engine: Engine,
    pub pace: Pace,
    pub quota: Quota,
    pub calendar: Calendar,
    pub gmail: Gmail,
    pub classify: Classify,
    pub outbox: Outbox,
    pub drive: Drive,
    pub push: Push,
    pub webhook: Webhook,
    pub healthchecks: Healthchecks,
    pub retention: Retention,
    pub log: Log,
}

/// PostgreSQL.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Db {
    /// libpq URL or keywords; empty: the private cluster in `data_dir`.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub url: SecretString,
    /// Password, where the URL has none.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub password: SecretString,
    /// Apply migrations at the start of a command: `auto` (private cluster only), `on`, `off`.
    pub auto_migrate: AutoMigrate,
    /// Most connections that one run opens.
    pub pool_size: u32,
    /// How long a connection may take to open.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// Folder of the private cluster, where no other user may write; empty: `$XDG_DATA_HOME/syncctl/postgres`, or `/var/lib/syncctl/postgres` as root.
    pub data_dir: PathBuf,
}

/// When migrations are applied without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AutoMigrate {
    Auto,
    On,
    Off,
}

/// Keys that seal secrets before they reach the database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Lines of `key-id base64(32 bytes)`; the first one writes, all of them read.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub keys: SecretString,
    /// A file of such lines, private to its owner (mode 0600); empty: `seal.keys` beside the private cluster, made on first use.
    pub key_file: PathBuf,
}

/// The sync loop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Streams claimed by one statement.
    pub chunk: u32,
    /// Most requests to Google under way at once, each of up to `google.batch_size` calls; fewer while Google is slow or refuses.
    pub concurrency: u32,
    /// Threads that a run may use. A second one starts when a claim finds more than the first has at hand.
    pub threads: u32,
    /// Bytes of memory for pages that were read and are not written yet, as a guide: one page is always read. For each 4 KiB a run also holds one full
    /// pass that waits.
    pub page_memory: u64,
    /// Most bytes that are read of an answer of Google's or Attendee's, unpacked.
    pub answer_max_size: u64,
    /// How often a run that goes on looks for what has fallen due meanwhile.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub look_every: Duration,
    /// How long a claim outlives a process that died.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub lease: Duration,
    /// Tries of one request before its stream fails.
    pub tries: u32,
    /// First wait between tries; it doubles, with full jitter.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub backoff_base: Duration,
    /// Longest wait between tries.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub backoff_cap: Duration,
    /// Longest run; 0s: no bound. What a first sync has not come to goes on in the next run.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_duration: Duration,
    /// Resyncs of one stream a day before it is degraded.
    pub resyncs_per_day: u32,
    /// Share of the accounts that may be refused, 0 to 1: with more, runs for everybody are `partial`, and doctor says that something is wrong.
    pub refused_share: f64,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Default for Db {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            password: SecretString::default(),
            auto_migrate: AutoMigrate::Auto,
            pool_size: 8,
            connect_timeout: Duration::from_secs(10),
            data_dir: PathBuf::new(),
        }
    }
}

impl Default for Seal {
    fn default() -> Self {
        Self { keys: SecretString::default(), key_file: PathBuf::new() }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            chunk: 2000,
            concurrency: 32,
            threads: 2,
            page_memory: 32 << 20,
            answer_max_size: 64 << 20,
            look_every: Duration::from_secs(15),
            lease: Duration::from_secs(30),
            tries: 5,
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(64),
            max_duration: Duration::from_secs(HOUR),
            resyncs_per_day: 3,
            refused_share: 0.1,
        }
    }
}

/// Whether a text is where an API can be asked.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl Settings {
    /// Bounds that types cannot say: the key and what it must be.
    fn out_of_bounds(&self) -> Option<(&'static str, &'static str)> {
        let e = &self.engine;
        [
            (self.db.pool_size >= 2, "db.pool_size", "2 or more"),
            ((1..=10_000).contains(&e.chunk), "engine.chunk", "1 to 10000"),
            ((1..=1_000).contains(&e.concurrency), "engine.concurrency", "1 to 1000"),
            ((1..=64).contains(&e.threads), "engine.threads", "1 to 64"),
            (e.page_memory >= 1 << 20, "engine.page_memory", "1048576 or more"),
            (
                e.answer_max_size >= self.gmail.whole_max_size.saturating_mul(2).max(1 << 20),
                "engine.answer_max_size",
                "1048576 or more, and twice gmail.whole_max_size: a message is larger in its answer",
            ),
            (e.look_every >= Duration::from_secs(1), "engine.look_every", "1s or more"),
            (e.lease >= Duration::from_millis(200), "engine.lease", "200ms or more"),
            ((1..=100).contains(&e.tries), "engine.tries", "1 to 100"),
            ((0.0..=1.0).contains(&e.refused_share), "engine.refused_share", "0 to 1"),
            (e.backoff_base <= e.backoff_cap, "engine.backoff_base", "at most engine.backoff_cap"),
            (
                self.log.is_a_filter(),
                "log.level",
                "error, warn, info, debug, trace or off, or one of these for a part, as in syncctl=debug",
            ),
        ]
        .into_iter()
        .chain(self.attendee.bounds())
        .chain(self.calendar.bounds())
        .chain(self.classify.bounds())
        .chain(self.drive.bounds())
        .chain(self.gmail.bounds())
        .chain(self.google.bounds())
        .chain(self.outbox.bounds())
        .chain(self.pace.bounds())
        .chain(self.push.bounds())
        .chain(self.retention.bounds())
        .chain(self.webhook.bounds())
        .chain(self.healthchecks.bounds())
        .find_map(|(holds, key, must)| (!holds).then_some((key, must)))
    }
}

/// Settings are serialized only to know each key's kind and to be merged; `config show` masks secrets.
fn expose<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.expose_secret())
}
