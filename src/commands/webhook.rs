//! `syncctl webhook`: receives notifications and polls the streams they announce.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::standalone_runs::{StandaloneJob, recorded};
use super::verbs::Bounds;
use super::{Output, complain, jobs, signals, with_context};
use crate::config::{Flags, Settings, duration};
use crate::db::claims::Selection;
use crate::db::notifications;
use crate::engine::{Context, Report};
use crate::error::Exit;
use crate::services::registry;
use crate::webhook::{self, Drainer, Listener, Tls};

/// Notifications deleted per statement.
const FORGET_CHUNK: i64 = 5000;

/// Subcommands of `webhook`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Receive notifications from Google and Attendee until stopped
    Serve(ServeArgs),
    /// Poll announced streams, and delete old notifications; the job for cron
    Drain(DrainArgs),
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on, such as `127.0.0.1:8090` (default: the socket passed by systemd)
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Certificate chain in PEM, to serve TLS without a proxy
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Start `webhook drain` when streams are announced, one at a time
    #[arg(long)]
    drain: bool,
}

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Wind down after this time, such as `50s` (default: the setting engine.max_duration)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_duration: Option<Duration>,
}

/// Runs the command. `flags` are passed on to the processes it starts.
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
    signals::expect();
    with_context(settings, |context| async move {
        let tls = match (&args.tls_cert, &args.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
            _ => None,
        };
        let listener = Listener::open(args.listen, tls.as_ref(), context.settings.webhook.max_connections)?;
        let status_listener = context
            .settings
            .webhook
            .status_listen
            .parse::<SocketAddr>()
            .ok()
            .map(|address| Listener::on(address, None))
            .transpose()?;
        let (url, status) = (listener.url()?, status_listener.as_ref().map(Listener::url).transpose()?);
        output.print(&serde_json::json!({ "listening": url, "status": status }), || match &status {
            Some(status) => format!("listening on {url}\nhealth and metrics on {status}"),
            None => format!("listening on {url}"),
        })?;
        webhook::serve(context.pool.clone(), &context.settings, (listener, status_listener), drainer, context.stop.clone())
            .await?;
        Ok(Exit::Done)
    })
}

/// The result of a drain.
#[derive(Debug, Serialize)]
struct Drained {
    runs: Vec<Report>,
    /// Number of old notifications deleted.
    forgotten: u64,
}

impl Drained {
    fn exit(&self) -> Exit {
        // An error that ends an entire run outweighs failures within one.
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
    for name in notifications::pushed_services(&context.pool).await? {
        if context.stop.is_cancelled() {
            break;
        }
        let service = registry::of_streams(&name)?;
        if service.google.is_some() && !(service.enabled)(&context.settings) {
            continue;
        }
        let job = jobs::job(context, service.name, "drain", selection.clone(), bounds);
        runs.push((service.run)(context, &job).await?);
        jobs::deliver_events(context, &job).await;
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
