//! `syncctl db`: the schema and the private cluster.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Output, complain, prune, reading, schema, seal_key_file, size, table, with_context};
use crate::config::Settings;
use crate::db::embedded::backup::BEFORE;
use crate::db::embedded::{Cluster, Stopped};
use crate::db::move_schema::{self, Moved};
use crate::db::pool::{self, DatabaseLocation};
use crate::db::search_path::DEFAULT;
use crate::db::{foreign_grants, migrate};
use crate::error::{Exit, Fault};

/// Subcommands of `db`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Apply missing migrations; safe to run on several hosts concurrently
    Migrate,
    /// Show which migrations are applied and whether the private cluster is running
    Status,
    /// Print the meaning of every table, view, column and function as Markdown, or with --json as data
    Schema,
    /// Start the private cluster
    Start,
    /// Stop the private cluster
    Stop,
    /// Move the tables to another schema; stop the schedules first
    MoveSchema {
        /// Name of the schema; created if it does not exist
        #[arg(default_value = DEFAULT)]
        schema: String,
    },
    /// Delete old rows that are no longer needed, as set in [retention]; for cron, once a day
    Prune(prune::PruneArgs),
    /// List tables and indexes with their sizes and what makes them grow
    Size,
    /// Open psql on the database
    Psql {
        /// Arguments for psql, such as `-c 'SELECT …'`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Write a backup of the private cluster to a new file, while syncs continue
    Dump {
        /// File to create; must not exist yet
        file: PathBuf,
    },
    /// Replace the private cluster's database with a backup; the old database is kept as `syncctl_before`
    Restore {
        /// File written by `db dump`
        file: PathBuf,
        /// Restore even if the database has users
        #[arg(long)]
        replace: bool,
    },
}

/// Runs the command.
pub fn run(verb: &Verb, settings: &Settings, output: Output) -> anyhow::Result<Exit> {
    let location = pool::locate(&settings.db)?;
    match verb {
        Verb::Migrate => migrate(&location, output)?,
        Verb::Status => status(&location, output)?,
        Verb::Schema => schema::run(&location, output)?,
        Verb::Start => {
            cluster(&location)?;
            location.ensure_running()?;
            if location.migrates_itself(&settings.db) {
                migrate::migrate(&location.target)?;
            }
            status(&location, output)?;
        }
        Verb::Stop => {
            let stopped = cluster(&location)?.stop()?;
            let immediately = matches!(stopped, Stopped::AtOnce { .. });
            output.print(&serde_json::json!({ "running": false, "at_once": immediately }), || match stopped {
                Stopped::Cleanly => "private cluster stopped".into(),
                Stopped::AtOnce { after } => format!(
                    "private cluster stopped; it did not stop within {after} s, so it was stopped in immediate mode: the next start takes a moment longer"
                ),
            })?;
        }
        Verb::Dump { file } => dump(&location, file, settings, output)?,
        Verb::Restore { file, replace } => restore(&location, file, *replace, output)?,
        Verb::MoveSchema { schema } => move_schema(&location, schema, output)?,
        Verb::Prune(args) => {
            return with_context(settings.clone(), async |context| prune::run(&context, args, output).await);
        }
        Verb::Size => {
            return with_context(settings.clone(), async |context| reading(&context, size::run(&context, output)).await);
        }
        Verb::Psql { args } => match psql(&location, args)? {},
    }
    Ok(Exit::Done)
}

fn migrate(location: &DatabaseLocation, output: Output) -> anyhow::Result<()> {
    location.ensure_running()?;
    let done = migrate::migrate(&location.target)?;
    let creators = foreign_grants::creators(&location.target)?;
    if !creators.is_empty() {
        complain(format!(
            "{} may create functions in the schema of the tables, which could then run with the rights of the jobs: `syncctl doctor` shows the remedy",
            creators.join(", ")
        ));
    }
    output.print(&done, || {
        let applied = match done.applied.as_slice() {
            [] => format!("schema is current (version {})", done.version),
            applied => format!("applied {}", applied.join(", ")),
        };
        match done.indexes.as_slice() {
            [] => applied,
            indexes => format!("{applied}\nbuilt the indexes {}", indexes.join(", ")),
        }
    })
}

fn move_schema(location: &DatabaseLocation, schema: &str, output: Output) -> anyhow::Result<()> {
    location.ensure_running()?;
    let moved = move_schema::move_schema(&location.target, schema)?;
    if let Some(cluster) = location.cluster.as_ref().filter(|_| moved.objects > 0) {
        cluster.search(schema)?;
    }
    output.print(&moved, || match &moved {
        Moved { to, objects: 0, .. } => format!("the tables are in the schema {to} already"),
        Moved { from, to, objects } => format!(
            "moved {objects} tables, views and functions from {from} to {to}\nnext: set db.schema = \"{to}\" on each host, restart `syncctl webhook serve`, and, if used, \
             run sql/roles.sql again"
        ),
    })
}

fn dump(location: &DatabaseLocation, file: &Path, settings: &Settings, output: Output) -> anyhow::Result<()> {
    location.ensure_running()?;
    cluster(location)?.dump(file)?;
    let keys = seal_key_file(settings, true)?;
    output.print(&serde_json::json!({ "dumped": file, "seal_keys": keys }), || {
        format!("wrote {}; keep {} with it: without the keys its credentials cannot be opened", file.display(), keys.display())
    })
}

fn restore(location: &DatabaseLocation, file: &Path, replace: bool, output: Output) -> anyhow::Result<()> {
    location.ensure_running()?;
    cluster(location)?.restore(file, replace)?;
    let migrated = migrate::migrate(&location.target)?;
    output.print(&serde_json::json!({ "restored": file, "before": BEFORE, "applied": migrated.applied }), || {
        format!("restored {}; the previous contents are kept as the database {BEFORE}", file.display())
    })
}

/// Replaces this process with psql; returns only if that fails.
fn psql(location: &DatabaseLocation, args: &[String]) -> anyhow::Result<Infallible> {
    location.ensure_running()?;
    let mut psql = match &location.cluster {
        Some(cluster) => cluster.client("psql", args)?,
        None => {
            let mut psql = std::process::Command::new("psql");
            // Either variable would redirect the connection away from db.url.
            psql.args(args).env_remove("PGSERVICE").env_remove("PGHOSTADDR");
            psql.envs(location.target.variables().iter().map(|(name, value)| (name, value)));
            psql
        }
    };
    let error = psql.exec();
    let advice = "install PostgreSQL's client programs (Debian: postgresql-client)";
    Err(Fault::usage(format!("psql cannot be run ({error}): {advice}")).into())
}

fn cluster(location: &DatabaseLocation) -> anyhow::Result<&Cluster> {
    location.cluster.as_ref().ok_or_else(|| {
        Fault::usage(format!(
            "{} is not managed by syncctl, so it cannot start, stop, dump or restore it: a database is configured (db.url); use PostgreSQL's own tools",
            location.target.display()
        ))
        .into()
    })
}

fn status(location: &DatabaseLocation, output: Output) -> anyhow::Result<()> {
    let cluster = location.cluster.as_ref().map(Cluster::status).transpose()?;
    let reachable = cluster.as_ref().is_none_or(|cluster| cluster.running);
    let entries = if reachable { migrate::status(&location.target)? } else { Vec::new() };
    let value = serde_json::json!({ "database": location.target.display(), "private_cluster": cluster, "migrations": entries });
    output.print(&value, || {
        let mut text = format!("database  {}\n", location.target.display());
        if let Some(cluster) = &cluster {
            text.push_str(&format!("{cluster}\n"));
        }
        if reachable {
            let mut table = table(&["version", "name", "applied"]);
            for entry in &entries {
                let applied = entry.applied_at.as_deref().unwrap_or("not yet: run `syncctl db migrate`");
                table.add_row([&entry.version.to_string(), &entry.name, applied]);
            }
            text.push_str(&format!("\n{}", table.trim_fmt()));
        }
        text
    })
}
