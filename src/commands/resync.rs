//! `syncctl resync`: schedules full passes with the current settings, for data stored under earlier ones.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;

use super::{Output, stale_settings, table, users, with_context};
use crate::config::Settings;
use crate::db::streams;
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::services::registry;

/// Streams updated per statement.
const CHUNK: usize = 500;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).args(["user", "all"]))]
pub struct ResyncArgs {
    /// User, by UUID or address
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// Resync all users
    #[arg(long)]
    all: bool,
    /// Only this service (default: all enabled ones)
    #[arg(long, value_name = "SERVICE", value_parser = PossibleValuesParser::new(registry::names(|one| one.google.is_some())))]
    service: Option<String>,
    /// Print which streams would make a full pass; change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Requested {
    dry_run: bool,
    services: Vec<OfService>,
}

/// The streams of a service that make a full pass.
#[derive(Debug, Serialize)]
struct OfService {
    service: &'static str,
    streams: usize,
    /// Settings changed since their last passes, by name.
    changed: Vec<String>,
}

/// Runs the command.
pub fn run(args: &ResyncArgs, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        let users = match &args.user {
            Some(name) => Some(vec![users::find(&context, name).await?]),
            None => None,
        };
        let requested = Requested { dry_run: args.dry_run, services: request(args, &context, users.as_deref()).await? };
        output.print(&requested, || text(&requested))?;
        Ok(Exit::Done)
    })
}

async fn request(args: &ResyncArgs, context: &Context, users: Option<&[uuid::Uuid]>) -> anyhow::Result<Vec<OfService>> {
    let changed = stale_settings::changed(&context.pool, &context.settings).await?;
    let mut requested = Vec::new();
    for entry in registry::of_google() {
        let (service, enabled) = (entry.name, (entry.enabled)(&context.settings));
        match &args.service {
            Some(only) if only != service => continue,
            Some(_) if !enabled => {
                return Err(Fault::usage(format!("{service}.enabled is false: it is not synced")).into());
            }
            None if !enabled => continue,
            _ => {}
        }
        let ids = streams::begun(&context.pool, service, users).await?;
        if !args.dry_run {
            for chunk in ids.chunks(CHUNK) {
                streams::ask_for_pass(&context.pool, chunk).await?;
            }
        }
        if !ids.is_empty() {
            let changed = changed.iter().filter(|one| one.service == service).map(|one| one.key.clone()).collect();
            requested.push(OfService { service, streams: ids.len(), changed });
        }
    }
    Ok(requested)
}

fn text(requested: &Requested) -> String {
    if requested.services.is_empty() {
        return "no stream has read anything yet: first passes use the current settings".into();
    }
    let mut table = table(&["service", "streams", "settings changed since"]);
    for OfService { service, streams, changed } in &requested.services {
        let changed = if changed.is_empty() { "–".into() } else { changed.join(", ") };
        table.add_row([(*service).to_owned(), streams.to_string(), changed]);
    }
    let then = if requested.dry_run {
        "would make a full pass; nothing was changed"
    } else {
        "make a full pass with the next `cron`, in its order and within the quota; `syncctl status` shows the progress"
    };
    format!("{}\n{then}", table.trim_fmt())
}
