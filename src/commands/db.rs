//! `syncctl db`: the schema, and the private cluster.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Output, complain, prune, reading, seal_key_file, size, table, with_context};
use crate::config::Settings;
use crate::db::embedded::backup::BEFORE;
use crate::db::embedded::{Cluster, Stopped};
use crate::db::migrate;
use crate::db::pool::{self, DatabaseLocation};
use crate::error::{Exit, Fault};

/// What can be done with the database.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Applies the migrations that are missing; safe on two hosts at once
    Migrate,
    /// Which migrations are applied, and whether the private cluster runs
    Status,
    /// Starts the private cluster
    Start,
    /// Stops the private cluster
    Stop,
    /// Deletes what is old and needed by nobody, as [retention] says; for cron, once a day
    Prune(prune::PruneArgs),
    /// Tables and indexes with their sizes, and what makes them grow
    Size,
    /// Opens psql on the database
    Psql {
        /// Arguments for psql, such as `-c 'SELECT …'`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Writes a backup of the private cluster to a new file, while syncs go on
    Dump {
        /// A file that is not there yet
        file: PathBuf,
    },
    /// Puts a backup in the place of the private cluster's database, which is kept as `syncctl_before`
    Restore {
        /// What `db dump` wrote
        file: PathBuf,
        /// Even though there are users in the database
        #[arg(long)]
        replace: bool,
    },
}

/// Runs the command.
pub fn run(verb: &Verb, settings: &Settings, output: Output) -> anyhow::Result<Exit> {
    let place = pool::locate(&settings.db)?;
    match verb {
        Verb::Migrate => migrate(&place, output)?,
        Verb::Status => status(&place, output)?,
        Verb::Start => {
            cluster(&place)?;
            place.ensure_running()?;
            if place.migrates_itself(&settings.db) {
                migrate::migrate(&place.target)?;
            }
            status(&place, output)?;
        }
        Verb::Stop => {
            let stopped = cluster(&place)?.stop()?;
            let at_once = matches!(stopped, Stopped::AtOnce { .. });
            output.print(&serde_json::json!({ "running": false, "at_once": at_once }), || match stopped {
                Stopped::Cleanly => "private cluster stopped".into(),
                Stopped::AtOnce { after } => format!(
                    "private cluster stopped; it did not stop within {after} s, so it was stopped at once: the next start takes a moment longer"
                ),
            })?;
        }
        Verb::Dump { file } => dump(&place, file, settings, output)?,
        Verb::Restore { file, replace } => restore(&place, file, *replace, output)?,
        Verb::Prune(args) => {
            return with_context(settings.clone(), async |context| prune::run(&context, args, output).await);
        }
        Verb::Size => {
            return with_context(settings.clone(), async |context| reading(&context, size::run(&context, output)).await);
        }
        Verb::Psql { args } => match psql(&place, args)? {},
    }
    Ok(Exit::Done)
}

fn migrate(place: &DatabaseLocation, output: Output) -> anyhow::Result<()> {
    place.ensure_running()?;
    let applied = migrate::migrate(&place.target)?;
    let creators = migrate::creators(&place.target)?;
    if !creators.is_empty() {
        complain(format!(
            "{} may create functions where the tables are, which can then run with the rights of the jobs: `syncctl doctor` says what to do",
            creators.join(", ")
        ));
    }
    output.print(&serde_json::json!({ "applied": applied, "version": migrate::newest() }), || match applied.as_slice() {
        [] => format!("schema is current (version {})", migrate::newest()),
        applied => format!("applied {}", applied.join(", ")),
    })
}

fn dump(place: &DatabaseLocation, file: &Path, settings: &Settings, output: Output) -> anyhow::Result<()> {
    place.ensure_running()?;
    cluster(place)?.dump(file)?;
    let keys = seal_key_file(settings, true)?;
    output.print(&serde_json::json!({ "dumped": file, "seal_keys": keys }), || {
        format!("wrote {}; keep {} with it, without which its credentials cannot be opened", file.display(), keys.display())
    })
}

fn restore(place: &DatabaseLocation, file: &Path, replace: bool, output: Output) -> anyhow::Result<()> {
    place.ensure_running()?;
    cluster(place)?.restore(file, replace)?;
    let migrated = migrate::migrate(&place.target)?;
    output.print(&serde_json::json!({ "restored": file, "before": BEFORE, "applied": migrated }), || {
        format!("restored {}; what was there before is the database {BEFORE}", file.display())
    })
}

/// Becomes psql: comes back only if that cannot be done.
fn psql(place: &DatabaseLocation, args: &[String]) -> anyhow::Result<Infallible> {
    place.ensure_running()?;
    let mut psql = match &place.cluster {
        Some(cluster) => cluster.client("psql", args)?,
        None => {
            let mut psql = std::process::Command::new("psql");
            // Each would lead elsewhere than db.url does.
            psql.args(args).env_remove("PGSERVICE").env_remove("PGHOSTADDR");
            psql.envs(place.target.variables().iter().map(|(name, value)| (name, value)));
            psql
        }
    };
    let error = psql.exec();
    let advice = "install PostgreSQL's client programs (Debian: postgresql-client)";
    Err(Fault::usage(format!("psql cannot be run ({error}): {advice}")).into())
}

fn cluster(place: &DatabaseLocation) -> anyhow::Result<&Cluster> {
    place.cluster.as_ref().ok_or_else(|| {
        Fault::usage(format!(
            "{} is not ours to start, stop, dump or restore: a database is configured (db.url); use PostgreSQL's own tools",
            place.target.display()
        ))
        .into()
    })
}

fn status(place: &DatabaseLocation, output: Output) -> anyhow::Result<()> {
    let cluster = place.cluster.as_ref().map(Cluster::status).transpose()?;
    let reachable = cluster.as_ref().is_none_or(|cluster| cluster.running);
    let entries = match reachable {
        true => migrate::status(&place.target)?,
        false => Vec::new(),
    };
    let value = serde_json::json!({ "database": place.target.display(), "private_cluster": cluster, "migrations": entries });
    output.print(&value, || {
        let mut text = format!("database  {}\n", place.target.display());
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
