//! `syncctl webhook`: the intake of notifications, and the polls that they ask for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::standalone_runs::{StandaloneJob, recorded};
use super::verbs::Bounds;
use super::{Output, any_service, complain, jobs, with_context};
use crate::config::{Flags, Settings, duration};
use crate::db::claims::Selection;
use crate::db::notifications;
use crate::engine::{Context, Report};
use crate::error::Exit;
use crate::webhook::{self, Drainer, Listener, Tls};

/// Notifications forgotten by one statement.
const FORGET_CHUNK: i64 = 5000;

/// What there is for notifications.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Takes notifications of Google and Attendee until it is told to stop
    Serve(ServeArgs),
    /// Polls what was announced, and forgets old notifications; the job for cron
    Drain(DrainArgs),
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on, such as `127.0.0.1:8090`; without it, the socket that systemd passes
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Certificate chain in PEM: speaks TLS itself, without a proxy before it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Starts `webhook drain` when something was announced, one at a time
    #[arg(long)]
    drain: bool,
}

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Wind down after this long, such as `50s`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_duration: Option<Duration>,
}

/// Runs the command; `flags` are what a process that it starts gets too.
pub fn run(verb: &Verb, settings: Settings, flags: &Flags, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Serve(args) => serve(args, settings, flags, output),
        Verb::Drain(args) => with_context(settings, |context| async move { drain(args, &context, output).await }),
    }
}

fn serve(args: &ServeArgs, settings: Settings, flags: &Flags, output: Output) -> anyhow::Result<Exit> {
    let drainer = args.drain.then(|| {
        let mut arguments = Vec::new();
        if let Some(config) = &flags.config {
            arguments.extend(["--config".into(), config.clone().into_os_string()]);
        }
        for (key, value) in &flags.set {
            arguments.extend(["--set".into(), format!("{key}={value}").into()]);
        }
        arguments.extend(["webhook".into(), "drain".into()]);
        Drainer { arguments }
    });
    with_context(settings, |context| async move {
        let tls = match (&args.tls_cert, &args.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
            _ => None,
        };
        let listener = Listener::open(args.listen, tls.as_ref(), context.settings.webhook.max_connections)?;
        let apart = context
            .settings
            .webhook
            .status_listen
            .parse::<SocketAddr>()
            .ok()
            .map(|address| Listener::on(address, None))
            .transpose()?;
        let (url, status) = (listener.url()?, apart.as_ref().map(Listener::url).transpose()?);
        output.print(&serde_json::json!({ "listening": url, "status": status }), || match &status {
            Some(status) => format!("listening on {url}\nhealth and figures on {status}"),
            None => format!("listening on {url}"),
        })?;
        webhook::serve(context.pool.clone(), &context.settings, (listener, apart), drainer, context.stop.clone()).await?;
        Ok(Exit::Done)
    })
}

/// What a drain did.
#[derive(Debug, Serialize)]
struct Drained {
    runs: Vec<Report>,
    /// Old notifications.
    forgotten: u64,
}

impl Drained {
    fn exit(&self) -> Exit {
        // What ends a whole run says more than what failed in one.
        self.runs.iter().map(Report::exit).max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done)
    }

    fn error_message(&self) -> Option<String> {
        self.runs.iter().find_map(Report::error_message)
    }
}

async fn drain(args: &DrainArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let job = StandaloneJob { name: "webhook drain", is_announced: true };
    let drained = recorded(context, job, drained(args, context), Drained::exit, Drained::error_message).await?;
    for message in drained.runs.iter().filter_map(Report::error_message) {
        complain(message);
    }
    output.print(&drained, || {
        let mut text: String = drained.runs.iter().map(jobs::text).collect();
        if drained.runs.is_empty() {
            text.push_str("nothing was announced\n");
        }
        if drained.forgotten > 0 {
            text.push_str(&format!("{} old notifications forgotten\n", drained.forgotten));
        }
        text
    })?;
    Ok(drained.exit())
}

async fn drained(args: &DrainArgs, context: &Context) -> anyhow::Result<Drained> {
    let bounds = Bounds { max_duration: args.max_duration, dry_run: false };
    let selection = Selection { pushed: true, ..Selection::default() };
    let mut runs = Vec::new();
    for service in notifications::pushed_services(&context.pool).await? {
        if context.stop.is_cancelled() {
            break;
        }
        if any_service::services(&context.settings).contains(&(service.as_str(), false)) {
            continue;
        }
        let job = jobs::job(context, &service, "drain", selection.clone(), bounds);
        runs.push(any_service::run(context, &service, &job).await?);
        jobs::hand_on(context, &job).await;
    }
    let mut forgotten = 0;
    while !context.stop.is_cancelled() {
        let chunk = notifications::forget(&context.pool, context.settings.webhook.keep, FORGET_CHUNK).await?;
        forgotten += chunk;
        if chunk < FORGET_CHUNK.unsigned_abs() {
            break;
        }
    }
    Ok(Drained { runs, forgotten })
}
