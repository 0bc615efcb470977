//! The commands, one file each; the sync loop itself is elsewhere.

pub mod accounts;
pub mod activity;
pub mod attendee;
mod attendee_output;
mod attendee_project;
pub mod calendar;
pub mod channels;
pub mod classify;
mod completeness;
pub mod config;
mod confirm;
pub mod db;
pub mod deliver;
pub mod doctor;
pub mod documents;
pub mod drive;
pub mod explain;
mod file;
mod gauges;
pub mod gmail;
mod hints;
pub mod import;
pub mod install;
mod installed_schedules;
pub mod items;
mod jobs;
pub mod man;
pub mod metrics;
mod nouns;
pub mod pace_metrics;
mod paging;
pub mod poll_isolated;
pub mod projects;
mod prune;
pub mod push;
pub mod quota;
mod remedies;
pub mod report;
pub mod resync;
mod schema;
pub mod service;
pub mod signals;
pub mod simulate;
mod size;
mod stale_settings;
mod standalone_runs;
pub mod status;
pub mod sync;
mod users;
pub mod verbs;
pub mod verify;
pub mod watch_file;
pub mod webhook;

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Settings;
use crate::db::{Pool, migrate, pool};
use crate::engine::Context;
use crate::error::{Exit, one_line};
use crate::zone::Zone;
use crate::{google, http, log_lines, progress, seal};

/// How results are printed: one value on stdout, as JSON or for people.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// `--json`
    pub json: bool,
    /// `--quiet`: results for people are not printed.
    pub quiet: bool,
}

impl Output {
    /// Prints a result.
    pub fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.quiet && !self.json { Ok(()) } else { print(&self.text(value, text)?) }
    }

    /// Formats a result for printing.
    pub fn text(self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<String> {
        Ok(if self.json { progress::harmless_json(serde_json::to_string_pretty(value)?) } else { progress::harmless(&text()) })
    }
}

/// Prints text on stdout. A closed pipe (`| head`) is not an error.
pub fn print(text: &str) -> anyhow::Result<()> {
    printed(text).map(drop)
}

/// Prints text on stdout. Returns false if the reader has closed the pipe.
///
/// # Errors
/// Returns an error if the output could not be written completely, as on a full disk.
pub fn printed(text: &str) -> anyhow::Result<bool> {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(anyhow::Error::new(error).context("writing the result to standard output")),
    }
}

/// Prints an error, or a request to the user, on stderr in one line.
pub fn complain(text: impl std::fmt::Display) {
    log_lines::complain(&one_line(&text.to_string()));
}

/// Creates a plain table, readable in a terminal and in cron's mail.
pub fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Opens database, keys and transport, then runs `work` on a runtime. Migrates first if the settings allow it.
pub fn with_context<T, Fut>(settings: Settings, work: impl FnOnce(Context) -> Fut) -> anyhow::Result<T>
where
    Fut: Future<Output = anyhow::Result<T>>,
{
    let location = pool::locate(&settings.db)?;
    location.ensure_running()?;
    let key_file = seal_key_file(&settings, location.cluster.is_some())?;
    let vault = seal::open_vault(&settings.seal.keys, &key_file, location.cluster.is_some())?;
    let http = Arc::new(http::Client::new(&settings.google, &settings.engine));
    let google = Arc::new(google::Client::new(&settings.google, Arc::clone(&http))?);
    let migrates = location.migrates_itself(&settings.db);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = {
        let _guard = runtime.enter();
        Context {
            pool: Pool::new(location.target.clone(), &settings.db)?,
            settings: Arc::new(settings),
            vault,
            google,
            http,
            stop: CancellationToken::new(),
            over: CancellationToken::new(),
        }
    };
    let schema = runtime.block_on(context.pool.check_schema())?;
    match schema {
        migrate::Schema::Behind { .. } if migrates => {
            let done = migrate::migrate(&location.target)?;
            log::info!("applied {} migrations", done.applied.len());
        }
        schema => schema.must_be_current()?,
    }
    let done = runtime.block_on(async {
        tokio::spawn(signals::stop(context.stop.clone()));
        let _over = context.over.clone().drop_guard();
        work(context).await
    });
    // Do not wait for the resolver: a request that was given up may have left a lookup running.
    runtime.shutdown_background();
    done
}

/// The key file in use: the configured one, or `seal.keys` next to the private cluster.
pub fn seal_key_file(settings: &Settings, private: bool) -> anyhow::Result<std::path::PathBuf> {
    if !settings.seal.key_file.as_os_str().is_empty() || !settings.seal.keys.expose_secret().is_empty() || !private {
        return Ok(settings.seal.key_file.clone());
    }
    Ok(pool::data_dir(&settings.db)?.with_file_name("seal.keys"))
}

/// Parses an id on the command line.
pub fn id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "not an id: give a UUID, as the lists show them".into())
}

/// Parses a time zone on the command line.
pub fn zone(name: &str) -> Result<Zone, String> {
    Zone::from_name(name).ok_or_else(|| "give a name such as Europe/Berlin, or an offset such as UTC+2".into())
}

/// Runs work that only reads. It has nothing to wind down, so the first signal ends the process, even if the database hangs.
pub async fn reading<T>(context: &Context, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    signals::expect();
    tokio::select! {
        done = work => done,
        () = context.stop.cancelled() => std::process::exit(Exit::Interrupted as i32),
    }
}
