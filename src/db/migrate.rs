//! The schema: numbered, embedded migrations, applied in one transaction under a lock, and then their indexes. Synchronous: needs no async runtime.

mod enter;
pub(super) mod indexes;

use std::collections::BTreeMap;

use anyhow::Context;
use postgres::{Client, SimpleQueryMessage, Transaction};
use sha2::{Digest, Sha256};

use super::comments;
use super::conninfo::{self, Target};
use super::search_path;
use crate::error::Fault;
pub(super) use enter::make_room;

/// Number, name, text. A migration is never edited after its release.
const MIGRATIONS: &[(i32, &str, &str)] = &[
    (1, "run_tables", include_str!("../../sql/migrations/0001_run_tables.sql")),
    (2, "accounts", include_str!("../../sql/migrations/0002_accounts.sql")),
    (3, "streams", include_str!("../../sql/migrations/0003_streams.sql")),
    (4, "calendar", include_str!("../../sql/migrations/0004_calendar.sql")),
    (5, "due_without_index", include_str!("../../sql/migrations/0005_due_without_index.sql")),
    (6, "documents", include_str!("../../sql/migrations/0006_documents.sql")),
    (7, "gmail", include_str!("../../sql/migrations/0007_gmail.sql")),
    (8, "drive", include_str!("../../sql/migrations/0008_drive.sql")),
    (9, "channels", include_str!("../../sql/migrations/0009_channels.sql")),
    (10, "attendee", include_str!("../../sql/migrations/0010_attendee.sql")),
    (11, "pace", include_str!("../../sql/migrations/0011_pace.sql")),
    (12, "by_time", include_str!("../../sql/migrations/0012_by_time.sql")),
    (13, "summaries_by_time", include_str!("../../sql/migrations/0013_summaries_by_time.sql")),
    (14, "runs_by_job", include_str!("../../sql/migrations/0014_runs_by_job.sql")),
    (15, "fetched_again", include_str!("../../sql/migrations/0015_fetched_again.sql")),
    (16, "refused_accounts", include_str!("../../sql/migrations/0016_refused_accounts.sql")),
    (17, "services_off", include_str!("../../sql/migrations/0017_services_off.sql")),
    (18, "drive_content", include_str!("../../sql/migrations/0018_drive_content.sql")),
    (19, "calendar_as_it_is", include_str!("../../sql/migrations/0019_calendar_as_it_is.sql")),
    (20, "attendee_reasons", include_str!("../../sql/migrations/0020_attendee_reasons.sql")),
    (21, "removed_streams", include_str!("../../sql/migrations/0021_removed_streams.sql")),
    (22, "progress", include_str!("../../sql/migrations/0022_progress.sql")),
    (23, "quota_minutes", include_str!("../../sql/migrations/0023_quota_minutes.sql")),
    (24, "young_tables", include_str!("../../sql/migrations/0024_young_tables.sql")),
    (25, "told_apart", include_str!("../../sql/migrations/0025_told_apart.sql")),
    (26, "quota_pauses", include_str!("../../sql/migrations/0026_quota_pauses.sql")),
    (27, "standing", include_str!("../../sql/migrations/0027_standing.sql")),
    (28, "apart", include_str!("../../sql/migrations/0028_apart.sql")),
    (29, "erasure", include_str!("../../sql/migrations/0029_erasure.sql")),
    (30, "audiences", include_str!("../../sql/migrations/0030_audiences.sql")),
    (31, "refused", include_str!("../../sql/migrations/0031_refused.sql")),
    (32, "projects", include_str!("../../sql/migrations/0032_projects.sql")),
    (33, "classify", include_str!("../../sql/migrations/0033_classify.sql")),
    (34, "model_usage", include_str!("../../sql/migrations/0034_model_usage.sql")),
    (35, "offers", include_str!("../../sql/migrations/0035_offers.sql")),
    (36, "passes", include_str!("../../sql/migrations/0036_passes.sql")),
    (37, "instances", include_str!("../../sql/migrations/0037_instances.sql")),
    (38, "gmail_labels", include_str!("../../sql/migrations/0038_gmail_labels.sql")),
    (39, "drive_permissions", include_str!("../../sql/migrations/0039_drive_permissions.sql")),
    (40, "changes", include_str!("../../sql/migrations/0040_changes.sql")),
    (41, "unsupported_channels", include_str!("../../sql/migrations/0041_unsupported_channels.sql")),
    (42, "attachments", include_str!("../../sql/migrations/0042_attachments.sql")),
    (43, "completeness", include_str!("../../sql/migrations/0043_completeness.sql")),
    (44, "views", include_str!("../../sql/migrations/0044_views.sql")),
    (45, "pace_priors", include_str!("../../sql/migrations/0045_pace_priors.sql")),
];

/// Key of the advisory lock: "syncctl" in ASCII. Any number unlikely to be used by other programs would do.
const LOCK: i64 = 0x0073_796e_6363_746c;

/// The schema of the database compared with the one that this binary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Current,
    Behind { version: i32 },
    Ahead { version: i32 },
}

/// The version that this binary knows.
pub fn newest() -> i32 {
    MIGRATIONS.last().map_or(0, |(version, _, _)| *version)
}

/// The names of the tables that migrations create. Tables of runs, which a loop creates, are missing here and are matched with `LIKE`.
pub fn tables() -> Vec<String> {
    [created("TABLE"), vec!["schema_migrations".into()]].concat()
}

/// The names of the views that migrations create.
pub(super) fn views() -> Vec<String> {
    created("VIEW")
}

/// The names of the functions that migrations create.
pub(super) fn functions() -> Vec<String> {
    created("FUNCTION")
}

fn created(kind: &str) -> Vec<String> {
    let lines = MIGRATIONS.iter().flat_map(|(_, _, text)| text.lines());
    let rest = lines.filter_map(|line| line.strip_prefix("CREATE ")).map(|rest| rest.trim_start_matches("OR REPLACE "));
    let created = rest.filter_map(|rest| rest.strip_prefix(kind)?.strip_prefix(' '));
    created.filter_map(|rest| rest.trim_start_matches("IF NOT EXISTS ").split([' ', '(']).next()).map(str::to_owned).collect()
}

/// Compares a version with the one that this binary knows.
pub fn compare(version: i32) -> Schema {
    match version.cmp(&newest()) {
        std::cmp::Ordering::Equal => Schema::Current,
        std::cmp::Ordering::Less => Schema::Behind { version },
        std::cmp::Ordering::Greater => Schema::Ahead { version },
    }
}

impl Schema {
    /// Checks that the schema is current.
    ///
    /// # Errors
    /// Returns `Fault::settings` with the remedy if it is not.
    pub fn must_be_current(self) -> Result<(), Fault> {
        let known = newest();
        match self {
            Self::Current => Ok(()),
            Self::Behind { version: 0 } => {
                Err(Fault::settings("the database has no syncctl schema yet: run `syncctl db migrate`"))
            }
            Self::Behind { version } => Err(Fault::settings(format!(
                "the schema is at version {version}, this syncctl needs {known}: run `syncctl db migrate`"
            ))),
            Self::Ahead { version } => Err(Fault::settings(format!(
                "the schema is at version {version}, newer than this syncctl knows ({known}): install the newer syncctl"
            ))),
        }
    }
}

/// A row of `schema_migrations`, or a migration that is not applied yet.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Entry {
    pub version: i32,
    pub name: String,
    /// As formatted by PostgreSQL; absent if not applied.
    pub applied_at: Option<String>,
}

/// Connects synchronously.
///
/// # Errors
/// Returns a `Fault` that explains why the database cannot be reached.
pub fn connect(target: &Target) -> anyhow::Result<Client> {
    let config = postgres::Config::from(target.config());
    config.connect(target.tls()?).map_err(|error| conninfo::explain(&error, target).into())
}

/// Begins a transaction; `what` names it in an error.
pub(super) fn begin<'a>(client: &'a mut Client, what: &'static str) -> anyhow::Result<Transaction<'a>> {
    let mut tx = client.transaction().context(what)?;
    // A host that dies here must not keep its locks on the tables. Waiting for the advisory lock may take as long as another host's migration.
    tx.batch_execute("SET LOCAL idle_in_transaction_session_timeout = '30s'")
        .context("setting the timeout of the transaction")?;
    Ok(tx)
}

/// What `migrate` did.
#[derive(Debug, serde::Serialize)]
pub struct Migrated {
    /// Number and name of each migration.
    pub applied: Vec<String>,
    pub version: i32,
    /// Names of the indexes that were built afterwards.
    pub indexes: Vec<&'static str>,
}

/// Applies missing migrations, in one transaction, and builds missing indexes. Safe on two hosts concurrently: the second waits, then has nothing to do.
///
/// # Errors
/// Returns an error if a migration fails (all changes are rolled back), if the schema is newer, if an applied migration has another checksum, or if an
/// index cannot be built (the migrations are applied by then).
pub fn migrate(target: &Target) -> anyhow::Result<Migrated> {
    let mut client = connect(target)?;
    let mut tx = begin(&mut client, "beginning the migration")?;
    lock(&mut tx)?;
    let schema = enter::enter(&mut tx, target.schema())?;
    let known = checksums(&mut tx)?;
    if let Some((version, _)) = known.last_key_value()
        && let ahead @ Schema::Ahead { .. } = compare(*version)
    {
        ahead.must_be_current()?;
    }
    let applied = apply(&mut tx, &known)?;
    tx.batch_execute(include_str!("sql/forget_foreign_changes.sql")).context("forgetting the transactions of another server")?;
    if !applied.is_empty() {
        comments::apply(&mut tx)?;
    }
    let missing = indexes::missing(&mut tx, &schema)?;
    tx.commit().context("committing the migration")?;
    let indexes = if missing.is_empty() { Vec::new() } else { indexes::build(target)? };
    Ok(Migrated { applied, version: newest(), indexes })
}

/// Applies the migrations that are not among the known ones. Returns their numbers and names.
fn apply(tx: &mut Transaction<'_>, known: &BTreeMap<i32, String>) -> anyhow::Result<Vec<String>> {
    let mut pending = Vec::new();
    for &(version, name, text) in MIGRATIONS {
        let checksum = checksum(text);
        match known.get(&version) {
            Some(known) if *known == checksum => continue,
            Some(_) => {
                return Err(Fault::settings(format!(
                    "migration {version} ({name}) in the database differs from the one in this syncctl: the binary is from another branch"
                ))
                .into());
            }
            None => pending.push((version, name, text, checksum)),
        }
    }
    let first = pending.first().map_or(0, |(version, ..)| *version);
    let mut applied = Vec::new();
    for (version, name, text, checksum) in pending {
        tx.batch_execute(&indexes::without_late(version, text, first))
            .with_context(|| format!("applying migration {version} ({name})"))?;
        tx.batch_execute(&format!(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ({version}, '{name}', '{checksum}')"
        ))
        .context("recording the migration")?;
        applied.push(format!("{version:04}_{name}"));
    }
    Ok(applied)
}

/// The applied migrations with their checksums.
fn checksums(tx: &mut Transaction<'_>) -> anyhow::Result<BTreeMap<i32, String>> {
    let rows = tx
        .simple_query("SELECT version, checksum FROM schema_migrations ORDER BY version")
        .context("reading schema_migrations")?;
    let mut applied = BTreeMap::new();
    for message in rows {
        if let SimpleQueryMessage::Row(row) = message {
            let version: i32 = row.get(0).unwrap_or_default().parse().context("schema_migrations.version")?;
            applied.insert(version, row.get(1).unwrap_or_default().to_owned());
        }
    }
    Ok(applied)
}

/// Waits until no other host migrates or moves the tables.
pub(super) fn lock(tx: &mut Transaction<'_>) -> anyhow::Result<()> {
    tx.batch_execute(&format!("SELECT pg_catalog.pg_advisory_xact_lock({LOCK})")).context("taking the migration lock")
}

/// Every migration with the time it was applied, including migrations of a newer binary.
pub fn status(target: &Target) -> anyhow::Result<Vec<Entry>> {
    let mut client = connect(target)?;
    let mut tx = begin(&mut client, "beginning to read the migrations")?;
    let located = search_path::locate_in(&mut tx, target.schema())?;
    let mut entries: Vec<Entry> =
        MIGRATIONS.iter().map(|(version, name, _)| Entry { version: *version, name: (*name).into(), applied_at: None }).collect();
    if !located.is_installed {
        return Ok(entries);
    }
    let rows = tx
        .simple_query(&format!("SELECT version, name, applied_at FROM {}.schema_migrations ORDER BY version", located.quoted))
        .context("reading schema_migrations")?;
    for message in rows {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let version: i32 = row.get(0).unwrap_or_default().parse().context("schema_migrations.version")?;
        let applied_at = row.get(2).map(str::to_owned);
        match entries.iter_mut().find(|entry| entry.version == version) {
            Some(entry) => entry.applied_at = applied_at,
            None => entries.push(Entry { version, name: row.get(1).unwrap_or_default().into(), applied_at }),
        }
    }
    Ok(entries)
}

fn checksum(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}
