//! `syncctl doctor`: checks everything a sync needs, one line per check, with a remedy where something is wrong.
//!
//! Checks are independent: without a database, the other checks still run, and unreadable settings are reported as a finding.

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
use crate::services::{classify, registry};
use crate::{google, http};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Do not call Google, Attendee or push.address
    #[arg(long)]
    offline: bool,
    /// Test every user's credentials (default: one user of each project and kind)
    #[arg(long, conflicts_with = "offline")]
    all_users: bool,
}

/// The result of a check.
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

    /// Reports a check that could not be performed as a failure.
    pub fn attempt(&mut self, check: &'static str, checked: anyhow::Result<()>) {
        if let Err(error) = checked {
            self.fail(check, format!("could not be checked: {error:#}"), "read the message; the other checks may say more");
        }
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|line| line.level == level).count()
    }
}

/// Runs the command. Unusable settings are its first finding.
pub fn run(args: &DoctorArgs, loaded: anyhow::Result<Loaded>, output: Output) -> anyhow::Result<Exit> {
    let mut findings = Findings::default();
    match loaded {
        Ok(loaded) => examine(args, &loaded, &mut findings)?,
        Err(error) => {
            findings.fail("settings", format!("{error:#}"), "correct the named setting; nothing else can be checked until then")
        }
    }
    let (ok, warn, fail) = (findings.count(Level::Ok), findings.count(Level::Warn), findings.count(Level::Fail));
    let result = serde_json::json!({ "ok": ok, "warn": warn, "fail": fail, "checks": findings.0 });
    output.print(&result, || text(&findings) + &format!("\n{ok} ok, {warn} to look at, {fail} wrong"))?;
    if fail == 0 {
        return Ok(Exit::Done);
    }
    // A one-line summary for cron's mail.
    let mut wrong: Vec<&str> = findings.0.iter().filter(|line| line.level == Level::Fail).map(|line| line.check).collect();
    wrong.dedup();
    complain(format!("{fail} checks failed: {}", wrong.join(", ")));
    Ok(Exit::SomeFailed)
}

fn examine(args: &DoctorArgs, loaded: &Loaded, findings: &mut Findings) -> anyhow::Result<()> {
    let settings = &loaded.settings;
    let location = match pool::locate(&settings.db) {
        Ok(location) => Some(location),
        Err(error) => {
            findings.fail("database", format!("{error:#}"), "correct db.url");
            None
        }
    };
    settings::check(loaded, location.as_ref(), findings);
    let vault = seal::open(settings, location.as_ref(), findings);
    let location = location.filter(|location| started(location, findings));
    if let Some(cluster) = location.as_ref().and_then(|location| location.cluster.as_ref()) {
        let checked = machine::disk(cluster, findings);
        findings.attempt("disk", checked);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let http = Arc::new(http::Client::new(&settings.google, &settings.engine));
        let pool = match &location {
            Some(location) => database::connect(location, settings, findings).await,
            None => None,
        };
        let is_current = match (&pool, &location) {
            (Some(pool), Some(location)) => database::check(pool, location, settings, findings).await,
            _ => false,
        };
        if !args.offline {
            let checked = machine::clock_at_google(settings, &http, findings).await;
            findings.attempt("clock", checked);
            let checked = push::address(settings, &http, findings).await;
            findings.attempt("push address", checked);
        }
        outbox::check(settings, args.offline, findings).await;
        match pool {
            Some(pool) if is_current => within(args, loaded, &pool, vault, http, findings).await,
            _ => findings.warn(
                "the rest",
                "seal keys in use, credentials, quota, channels, jobs and outbox were not checked: there is no usable database",
                "repair the database, then run doctor again",
            ),
        }
    });
    Ok(())
}

/// Runs the checks that need the tables.
async fn within(
    args: &DoctorArgs,
    loaded: &Loaded,
    pool: &Pool,
    vault: Option<Vault>,
    http: Arc<http::Client>,
    findings: &mut Findings,
) {
    let settings = &loaded.settings;
    let checked = seal::in_use(pool, vault.as_ref(), findings).await;
    findings.attempt("seal keys", checked);
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
                let checked = credentials::check(&context, args.all_users, findings).await;
                findings.attempt("credentials", checked);
                let checked = credentials::attendee(&context, findings).await;
                findings.attempt("credentials", checked);
            }
            Err(error) => findings.attempt("credentials", Err(error)),
        }
    }
    let checked = work::quota(pool, settings, findings).await;
    findings.attempt("quota", checked);
    let checked = work::classification(pool, settings, findings).await;
    findings.attempt(classify::SERVICE, checked);
    let checked = work::instances(pool, settings, findings).await;
    findings.attempt("instances", checked);
    let checked = work::labels(pool, findings).await;
    findings.attempt("labels", checked);
    let checked = settings::since_last_pass(pool, settings, findings).await;
    findings.attempt("settings", checked);
    match overview::read(pool, &registry::names(|_| true), i32::try_from(settings.push.silent_after).unwrap_or(i32::MAX)).await {
        Ok(overview) => {
            credentials::refused(&overview, settings, findings);
            work::check(&overview, settings, findings);
        }
        Err(error) => findings.attempt("jobs, channels and outbox", Err(error)),
    }
}

/// Starts the private cluster as any command would, but does not create one. Returns false if the database cannot be used.
fn started(location: &DatabaseLocation, findings: &mut Findings) -> bool {
    let Some(cluster) = &location.cluster else { return true };
    match cluster.status() {
        Ok(status) if !has_server(status.running, cluster.installed(), findings) => return false,
        Ok(status) if status.version.is_none() => {
            findings.warn(
                "database",
                "no database is configured, and the private cluster is not created yet",
                "run `syncctl db start`, or set db.url",
            );
            return false;
        }
        Ok(_) => {}
        Err(error) => {
            findings.fail("database", format!("{error:#}"), "check the folder in db.data_dir");
            return false;
        }
    }
    match location.ensure_running() {
        Ok(()) => true,
        Err(error) => {
            findings.fail(
                "database",
                format!("{error:#}"),
                "follow the message; see also the log in the cluster's folder (`syncctl db status` names it)",
            );
            false
        }
    }
}

/// Whether PostgreSQL is installed or the private cluster is already running. Reports a missing installation.
fn has_server(running: bool, installed: Result<(), Fault>, findings: &mut Findings) -> bool {
    let Err(fault) = installed else { return true };
    if running {
        let message = format!("{}; the cluster is running, but would not start again", fault.message);
        findings.warn("database", message, "install it again as the message describes");
    } else {
        let remedy =
            "install PostgreSQL's server as the message describes, or set db.url; syncctl then creates the cluster by itself";
        findings.fail("database", fault.message, remedy);
    }
    running
}

fn text(findings: &Findings) -> String {
    let width = findings.0.iter().map(|line| line.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Line { check, level, message, remedy } in &findings.0 {
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
    fn missing_postgresql_is_reported_before_a_cluster_is_created() {
        let table = [(false, false, Some(Level::Fail)), (true, true, Some(Level::Warn))];
        for (running, usable, level) in table {
            let mut findings = Findings::default();
            let missing = Err(Fault::unavailable("no PostgreSQL server on this machine: install it"));
            assert_eq!(has_server(running, missing, &mut findings), usable);
            assert_eq!(findings.0.first().map(|line| line.level), level);
            assert!(findings.0[0].message.starts_with("no PostgreSQL server on this machine"));
        }
        let mut findings = Findings::default();
        assert!(has_server(false, Ok(()), &mut findings) && findings.0.is_empty());
    }
}
