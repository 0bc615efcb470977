//! `syncctl channels`: push channels, for operators.

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::verbs::Bounds;
use super::{Output, complain, jobs, reading, table, with_context};
use crate::config::Settings;
use crate::db::channels_read::{self, Listed};
use crate::db::claims::Selection;
use crate::engine::{Context, Report};
use crate::error::{Exit, Fault};
use crate::services::registry;

/// Subcommands of `channels`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List channels, the next to expire first
    List {
        /// Also list ended channels
        #[arg(long)]
        all: bool,
    },
    /// Stop one channel, or all of them, for example before changing push.address; the next renew-watches opens new ones
    Stop(StopArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct StopArgs {
    /// Channel, by id
    #[arg(value_name = "ID", value_parser = super::id)]
    id: Option<Uuid>,
    /// Stop every channel of every service
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        match verb {
            Verb::List { all } => reading(&context, list(&context, *all, output)).await,
            Verb::Stop(args) => stop(&context, args.id, output).await,
        }
    })
}

async fn list(context: &Context, ended: bool, output: Output) -> anyhow::Result<Exit> {
    let rows = channels_read::list(&context.pool, ended).await?;
    output.print(&rows, || {
        let mut table = table(&["channel", "service", "user", "stream", "state", "expires", "announced", "last error"]);
        for row in &rows {
            let stream = row.stream_id.map_or_else(|| "deleted".into(), |id| id.to_string());
            table.add_row([
                row.id.to_string(),
                row.service.clone(),
                row.user_id.to_string(),
                format!("{stream} {}", row.kind.as_deref().unwrap_or_default()),
                row.state.to_string(),
                row.expires_at.map(|at| at.format("%F %T").to_string()).unwrap_or_default(),
                row.notifications.to_string(),
                row.last_error.clone().unwrap_or_default(),
            ]);
        }
        if rows.is_empty() { "no channels".into() } else { table.trim_fmt() }
    })?;
    Ok(Exit::Done)
}

async fn stop(context: &Context, id: Option<Uuid>, output: Output) -> anyhow::Result<Exit> {
    let rows = channels_read::list(&context.pool, false).await?;
    let selected: Vec<_> = rows.into_iter().filter(|row| id.is_none_or(|id| id == row.id)).collect();
    if let (true, Some(id)) = (selected.is_empty(), id) {
        return Err(Fault::usage(format!("no channel {id}: give one that `syncctl channels list` shows")).into());
    }
    let reports = end(context, &selected, None, id).await?;
    output.print(&reports, || {
        let lines: Vec<String> = reports.iter().map(line).collect();
        if lines.is_empty() { "no channels".into() } else { lines.join("\n") }
    })?;
    for message in reports.iter().filter_map(Report::error_message) {
        complain(message);
    }
    Ok(reports.iter().map(Report::exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done))
}

/// Stops the channel with this `id`, or all channels of these users, in the services of the `open` channels.
pub(super) async fn end(
    context: &Context,
    open: &[Listed],
    users: Option<Vec<Uuid>>,
    id: Option<Uuid>,
) -> anyhow::Result<Vec<Report>> {
    let bounds = Bounds { max_duration: None, dry_run: false };
    let mut reports = Vec::new();
    for service in registry::SERVICES.iter().filter(|service| open.iter().any(|channel| channel.service == service.name)) {
        let Some(channels) = &service.channels else { continue };
        let selection = Selection { users: users.clone(), ..Selection::default() };
        let job = jobs::job(context, service.name, "stop-channels", selection, bounds);
        reports.push((channels.stop)(context, &job, id).await?);
    }
    Ok(reports)
}

fn line(report: &Report) -> String {
    let push = report.push.clone().unwrap_or_default();
    format!("{}: {} stopped, {} left to the next renew-watches", report.job, push.stopped, push.left_to_stop)
}
