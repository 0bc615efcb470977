//! `syncctl resync`: complete passes with the settings of today, for what was stored under others.

use clap::Args;
use serde::Serialize;

use super::{Output, any_service, jobs, stale_settings, table, with_context};
use crate::config::Settings;
use crate::db::streams;
use crate::engine::Context;
use crate::error::{Exit, Fault};

/// Streams asked for by one statement.
const CHUNK: usize = 500;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).args(["user", "all"]))]
pub struct ResyncArgs {
    /// A user, by UUID or address
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// All users
    #[arg(long)]
    all: bool,
    /// Only this service; without it, all that are in use
    #[arg(long, value_name = "SERVICE", value_parser = ["calendar", "drive", "gmail"])]
    service: Option<String>,
    /// Print what would make a complete pass, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Asked {
    dry_run: bool,
    services: Vec<OfService>,
}

/// What makes a complete pass.
#[derive(Debug, Serialize)]
struct OfService {
    service: &'static str,
    streams: usize,
    /// Settings that their last passes were made without, as `config show` names them.
    changed: Vec<String>,
}

/// Runs the command.
pub fn run(args: &ResyncArgs, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        let users = match &args.user {
            Some(name) => Some(vec![jobs::find_user(&context, name).await?]),
            None => None,
        };
        let asked = Asked { dry_run: args.dry_run, services: request(args, &context, users.as_deref()).await? };
        output.print(&asked, || text(&asked))?;
        Ok(Exit::Done)
    })
}

async fn request(args: &ResyncArgs, context: &Context, users: Option<&[uuid::Uuid]>) -> anyhow::Result<Vec<OfService>> {
    let changed = stale_settings::changed(&context.pool, &context.settings).await?;
    let mut asked = Vec::new();
    for (service, enabled) in any_service::services(&context.settings) {
        match &args.service {
            Some(only) if only != service => continue,
            Some(_) if !enabled => {
                return Err(Fault::usage(format!("{service}.enabled is false: nothing of it is synced")).into());
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
            asked.push(OfService { service, streams: ids.len(), changed });
        }
    }
    Ok(asked)
}

fn text(asked: &Asked) -> String {
    if asked.services.is_empty() {
        return "no stream has read anything yet: the first passes are made with the settings as they are".into();
    }
    let mut table = table(&["service", "streams", "settings changed since"]);
    for OfService { service, streams, changed } in &asked.services {
        let changed = if changed.is_empty() { "–".into() } else { changed.join(", ") };
        table.add_row([(*service).to_owned(), streams.to_string(), changed]);
    }
    let then = match asked.dry_run {
        true => "would make a complete pass; nothing was changed",
        false => {
            "make a complete pass with the next `cron`, in its order and within the quota; `syncctl status` shows how far they are"
        }
    };
    format!("{}\n{then}", table.trim_fmt())
}
