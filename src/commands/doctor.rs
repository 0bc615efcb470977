//! `syncctl doctor`: checks everything that a sync needs, one line each, with what to do where something is wrong.
//!
//! No check stops another: without a database, or without settings that can be read, the rest is told all the same.

mod credentials;
mod database;
mod jobs;
mod machine;
mod outbox;
mod privacy;
mod push;
mod seal;
mod settings;
mod work;

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Output, complain};
use crate::config::Loaded;
use crate::db::pool::{self, DatabaseLocation};
use crate::db::{Pool, overview};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::seal::Vault;
use crate::{google, http};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Ask neither Google nor Attendee, and do not look for push.address
    #[arg(long)]
    offline: bool,
    /// Try every user's credentials, not one of each project and kind
    #[arg(long, conflicts_with = "offline")]
    all_users: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Serialize)]
pub struct Line {
    check: &'static str,
    level: Level,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// All checks so far.
#[derive(Debug, Default)]
pub struct Findings(Vec<Line>);

impl Findings {
    pub fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.0.push(Line { check, level: Level::Ok, message: message.into(), remedy: None });
    }

    pub fn warn(&mut self, check: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Line { check, level: Level::Warn, message: message.into(), remedy: Some(remedy.into()) });
    }

    pub fn fail(&mut self, check: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Line { check, level: Level::Fail, message: message.into(), remedy: Some(remedy.into()) });
    }

    /// A check that could not be made is told like one that failed.
    pub fn attempt(&mut self, check: &'static str, checked: anyhow::Result<()>) {
        if let Err(error) = checked {
            self.fail(check, format!("could not be checked: {error:#}"), "read the message; the other checks may say more");
        }
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|line| line.level == level).count()
    }
}

/// Runs the command; settings that cannot be used are its first finding.
pub fn run(args: &DoctorArgs, loaded: anyhow::Result<Loaded>, output: Output) -> anyhow::Result<Exit> {
    let mut found = Findings::default();
    match loaded {
        Ok(loaded) => examine(args, &loaded, &mut found)?,
        Err(error) => found.fail("settings", format!("{error:#}"), "correct what is named; nothing else can be checked before"),
    }
    let (ok, warn, fail) = (found.count(Level::Ok), found.count(Level::Warn), found.count(Level::Fail));
    let told = serde_json::json!({ "ok": ok, "warn": warn, "fail": fail, "checks": found.0 });
    output.print(&told, || text(&found) + &format!("\n{ok} ok, {warn} to look at, {fail} wrong"))?;
    if fail == 0 {
        return Ok(Exit::Done);
    }
    // For whoever reads no more than what cron mails.
    let mut wrong: Vec<&str> = found.0.iter().filter(|line| line.level == Level::Fail).map(|line| line.check).collect();
    wrong.dedup();
    complain(format!("{fail} checks failed: {}", wrong.join(", ")));
    Ok(Exit::SomeFailed)
}

fn examine(args: &DoctorArgs, loaded: &Loaded, found: &mut Findings) -> anyhow::Result<()> {
    let settings = &loaded.settings;
    let place = match pool::locate(&settings.db) {
        Ok(place) => Some(place),
        Err(error) => {
            found.fail("database", format!("{error:#}"), "correct db.url");
            None
        }
    };
    settings::check(loaded, place.as_ref(), found);
    let vault = seal::open(settings, place.as_ref(), found);
    let place = place.filter(|place| started(place, found));
    if let Some(cluster) = place.as_ref().and_then(|place| place.cluster.as_ref()) {
        let checked = machine::disk(cluster, found);
        found.attempt("disk", checked);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let http = Arc::new(http::Client::new(&settings.google, &settings.engine));
        let pool = match &place {
            Some(place) => database::connect(place, settings, found).await,
            None => None,
        };
        let is_current = match (&pool, &place) {
            (Some(pool), Some(place)) => database::check(pool, place, settings, found).await,
            _ => false,
        };
        if !args.offline {
            let checked = machine::clock_at_google(settings, &http, found).await;
            found.attempt("clock", checked);
            let checked = push::address(settings, &http, found).await;
            found.attempt("push address", checked);
        }
        outbox::check(settings, args.offline, found).await;
        match pool {
            Some(pool) if is_current => within(args, loaded, &pool, vault, http, found).await,
            _ => found.warn(
                "the rest",
                "seal keys in use, credentials, quota, channels, jobs and outbox were not checked: there is no usable database",
                "mend the database, then run doctor again",
            ),
        }
    });
    Ok(())
}

/// What needs the tables.
async fn within(
    args: &DoctorArgs,
    loaded: &Loaded,
    pool: &Pool,
    vault: Option<Vault>,
    http: Arc<http::Client>,
    found: &mut Findings,
) {
    let settings = &loaded.settings;
    let checked = seal::in_use(pool, vault.as_ref(), found).await;
    found.attempt("seal keys", checked);
    if let (Some(vault), false) = (vault, args.offline) {
        let context = google::Client::new(&settings.google, Arc::clone(&http)).map(|google| Context {
            pool: pool.clone(),
            settings: Arc::new(settings.clone()),
            vault,
            google: Arc::new(google),
            http,
            stop: CancellationToken::new(),
            over: CancellationToken::new(),
        });
        match context {
            Ok(context) => {
                let checked = credentials::check(&context, args.all_users, found).await;
                found.attempt("credentials", checked);
                let checked = credentials::attendee(&context, found).await;
                found.attempt("credentials", checked);
            }
            Err(error) => found.attempt("credentials", Err(error)),
        }
    }
    let checked = work::quota(pool, settings, found).await;
    found.attempt("quota", checked);
    let checked = work::classification(pool, settings, found).await;
    found.attempt("classify", checked);
    let checked = settings::since_last_pass(pool, settings, found).await;
    found.attempt("settings", checked);
    match overview::read(pool, i32::try_from(settings.push.silent_after).unwrap_or(i32::MAX)).await {
        Ok(overview) => {
            credentials::refused(&overview, settings, found);
            work::check(&overview, settings, found);
        }
        Err(error) => found.attempt("jobs, channels and outbox", Err(error)),
    }
}

/// Starts the private cluster, as any command would; one that was never made is left so.
fn started(place: &DatabaseLocation, found: &mut Findings) -> bool {
    let Some(cluster) = &place.cluster else { return true };
    match cluster.status() {
        Ok(status) if !has_server(status.running, cluster.installed(), found) => return false,
        Ok(status) if status.version.is_none() => {
            found.warn(
                "database",
                "no database is configured, and the private cluster is not made yet",
                "run `syncctl db start`, or set db.url",
            );
            return false;
        }
        Ok(_) => {}
        Err(error) => {
            found.fail("database", format!("{error:#}"), "see the folder db.data_dir names");
            return false;
        }
    }
    match place.ensure_running() {
        Ok(()) => true,
        Err(error) => {
            found.fail(
                "database",
                format!("{error:#}"),
                "do as it says; the log in the folder of the cluster (`syncctl db status` names it) may tell more",
            );
            false
        }
    }
}

/// Whether the private cluster can be used, as far as PostgreSQL is there for it; where it is not, that is told.
fn has_server(running: bool, installed: Result<(), Fault>, found: &mut Findings) -> bool {
    let Err(fault) = installed else { return true };
    if running {
        let message = format!("{}; the cluster runs, and will not start again", fault.message);
        found.warn("database", message, "install it again as it says");
    } else {
        let remedy = "install PostgreSQL's server as it says, or set db.url; syncctl makes the cluster by itself then";
        found.fail("database", fault.message, remedy);
    }
    running
}

fn text(found: &Findings) -> String {
    let width = found.0.iter().map(|line| line.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Line { check, level, message, remedy } in &found.0 {
        let level = match level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        text.push_str(&format!("{level}  {check:<width$}  {message}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("      {:<width$}  → {remedy}\n", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_postgresql_is_told_before_its_cluster_is_made() {
        let table = [(false, false, Some(Level::Fail)), (true, true, Some(Level::Warn))];
        for (running, usable, level) in table {
            let mut found = Findings::default();
            let missing = Err(Fault::unavailable("no PostgreSQL server on this machine: install it"));
            assert_eq!(has_server(running, missing, &mut found), usable);
            assert_eq!(found.0.first().map(|line| line.level), level);
            assert!(found.0[0].message.starts_with("no PostgreSQL server on this machine"));
        }
        let mut found = Findings::default();
        assert!(has_server(false, Ok(()), &mut found) && found.0.is_empty());
    }
}
