//! The settings: one struct per section, with the default of each field. `config/load.rs` reads files and the environment.

mod attachments;
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
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

pub use attachments::Attachments;
pub use attendee::Attendee;
pub use calendar::Calendar;
pub use classify::{Classify, Endpoint};
pub use drive::{Drive, DriveDocuments};
pub use gmail::{Gmail, MailStore};
pub use google::Google;
pub use healthchecks::Healthchecks;
pub(crate) use load::read_any;
pub use load::{Flags, Loaded, Origin, load};
pub use logs::{Log, LogFormat};
pub use outbox::{EventTypes, Outbox, Target, matches};
pub use pace::Pace;
pub use passes::of_passes;
pub use push::Push;
pub use quota::{Limits, Quota, QuotaProfile};
pub use reference::{example, markdown, schema};
pub use retention::Retention;
pub use secrets::{MACHINE_SETTINGS, expose};
pub use webhook::Webhook;

/// All settings. `syncctl config show` prints each with its origin. Serialized with masked secrets; `expose` serializes the secrets too.
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
    /// libpq connection string (URI or keywords). Empty: the service that PGSERVICE names, otherwise the private cluster in `data_dir`.
    #[serde(serialize_with = "secrets::mask")]
    #[schemars(with = "String")]
    pub url: SecretString,
    /// Password, if `db.url` contains none. Empty: PGPASSWORD, or that of libpq's password file (PGPASSFILE, `~/.pgpass`).
    #[serde(serialize_with = "secrets::mask")]
    #[schemars(with = "String")]
    pub password: SecretString,
    /// Schema of the tables. Empty: the one of the search path that has them, or its first; `syncctl` if that is `public`.
    pub schema: String,
    /// Apply migrations at the start of a command: `auto` (private cluster only), `on`, `off`.
    pub auto_migrate: AutoMigrate,
    /// Maximum number of database connections per run.
    pub pool_size: u32,
    /// Timeout for opening a connection.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// Data folder of the private cluster, not writable by other users. Empty: `$XDG_DATA_HOME/syncctl/postgres`, or `/var/lib/syncctl/postgres` for root.
    pub data_dir: PathBuf,
    /// Let logical replication read the private cluster (`wal_level = logical`). Takes effect when its server is started next.
    pub logical_replication: bool,
}

/// When migrations are applied automatically.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AutoMigrate {
    Auto,
    On,
    Off,
}

/// Keys that seal (encrypt) secrets before they reach the database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Lines of `key-id base64(32 bytes)`. The first key encrypts; all of them decrypt.
    #[serde(serialize_with = "secrets::mask")]
    #[schemars(with = "String")]
    pub keys: SecretString,
    /// File with such lines, private to its owner (mode 0600). Empty: `seal.keys` next to the private cluster, created on first use.
    pub key_file: PathBuf,
}

/// The sync loop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Maximum number of streams claimed by one statement.
    pub chunk: u32,
    /// Maximum number of concurrent requests to Google, each of up to `google.batch_size` calls. Reduced while Google is slow or refuses requests.
    pub concurrency: u32,
    /// Maximum number of threads per run. Another one starts when streams remain to be claimed after a claim.
    pub threads: u32,
    /// Approximate limit, in bytes, on pages read but not yet written; one page is always read. Also limits the full passes a run holds, to one per 4 KiB.
    pub page_memory: u64,
    /// Maximum size of a response from Google or Attendee, in bytes after decompression.
    pub answer_max_size: u64,
    /// How often a run in progress looks for streams that have become due.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub look_every: Duration,
    /// How long the claims of a crashed process last.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub lease: Duration,
    /// Attempts per request before its stream fails.
    pub tries: u32,
    /// Wait after the first failed attempt. Doubles with each attempt, with full jitter.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub backoff_base: Duration,
    /// Maximum wait between attempts.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub backoff_cap: Duration,
    /// Maximum duration of a run. 0s: no limit. The next run continues an unfinished first sync.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_duration: Duration,
    /// Resyncs of a stream per day before it is marked degraded.
    pub resyncs_per_day: u32,
    /// Share of accounts that may be refused, 0 to 1. Above it, runs over all users are `partial` and doctor reports a problem.
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
            schema: String::new(),
            auto_migrate: AutoMigrate::Auto,
            pool_size: 8,
            connect_timeout: Duration::from_secs(10),
            data_dir: PathBuf::new(),
            logical_replication: false,
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

/// Whether a text is an http or https URL with a host.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Whether a text can be the name of a schema; empty: to be found.
fn is_schema(text: &str) -> bool {
    text.len() <= 63 && !text.starts_with("pg_") && !text.contains('\0')
}

impl Settings {
    /// The first violated bound: the key and its allowed values.
    fn out_of_bounds(&self) -> Option<(&'static str, &'static str)> {
        let e = &self.engine;
        [
            (is_schema(&self.db.schema), "db.schema", "a name of at most 63 bytes that does not begin with pg_"),
            (self.db.pool_size >= 2, "db.pool_size", "2 or more"),
            ((1..=10_000).contains(&e.chunk), "engine.chunk", "1 to 10000"),
            ((1..=1_000).contains(&e.concurrency), "engine.concurrency", "1 to 1000"),
            ((1..=64).contains(&e.threads), "engine.threads", "1 to 64"),
            (e.page_memory >= 1 << 20, "engine.page_memory", "1048576 or more"),
            (
                e.answer_max_size >= self.gmail.whole_max_size.saturating_mul(2).max(1 << 20),
                "engine.answer_max_size",
                "1048576 or more, and at least twice gmail.whole_max_size: a response is larger than its message",
            ),
            (
                self.calendar.meeting_notice < self.outbox.keep,
                "calendar.meeting_notice",
                "less than outbox.keep: a forgotten event would be written again",
            ),
            (e.look_every >= Duration::from_secs(1), "engine.look_every", "1s or more"),
            (e.lease >= Duration::from_millis(200), "engine.lease", "200ms or more"),
            ((1..=100).contains(&e.tries), "engine.tries", "1 to 100"),
            ((0.0..=1.0).contains(&e.refused_share), "engine.refused_share", "0 to 1"),
            (e.backoff_base <= e.backoff_cap, "engine.backoff_base", "at most engine.backoff_cap"),
            (
                self.log.is_a_filter(),
                "log.level",
                "error, warn, info, debug, trace or off, or one of these for a module, such as syncctl=debug",
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
