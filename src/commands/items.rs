//! `syncctl items`: lists and retries quarantined items.

use std::sync::Arc;

use clap::Subcommand;

use super::verbs::Bounds;
use super::{Output, drive, gmail, jobs, reading, table, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::items::{self, Quarantined};
use crate::engine::refetch;
use crate::engine::retry_items::{self, Retried};
use crate::engine::{Context, Source};
use crate::error::{Exit, Fault};
use crate::services::attendee::Attendee;
use crate::services::calendar;
use crate::services::classify::Classify;

/// Subcommands of `items`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List quarantined items with their errors
    List,
    /// Retry one item, or all of them; fetch items that could not be fetched before
    Retry {
        /// Item, by the number in `items list` (default: all)
        id: Option<i64>,
    },
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        match verb {
            Verb::List => list(&context, output).await,
            Verb::Retry { id } => retry(&context, *id, output).await,
        }
    })
}

async fn list(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let rows = reading(context, items::list(&context.pool, None)).await?;
    output.print(&rows, || {
        let mut table = table(&["id", "service", "user", "item", "tries", "since", "next retry", "error"]);
        let time = |at: chrono::DateTime<chrono::Utc>| at.format("%F %T").to_string();
        for row in &rows {
            table.add_row([
                row.id.to_string(),
                row.service.clone(),
                row.user_id.to_string(),
                row.item_id.clone(),
                row.attempts.to_string(),
                time(row.first_seen_at),
                row.retry_at.map_or_else(|| "–".into(), time),
                row.error.clone(),
            ]);
        }
        if rows.is_empty() { "nothing in quarantine".into() } else { table.trim_fmt() }
    })?;
    Ok(Exit::Done)
}

async fn retry(context: &Context, id: Option<i64>, output: Output) -> anyhow::Result<Exit> {
    let rows = items::list(&context.pool, id).await?;
    if let (Some(id), true) = (id, rows.is_empty()) {
        return Err(Fault::usage(format!("no quarantined item has the number {id}; see `syncctl items list`")).into());
    }
    let (unfetched, fetched): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.retry_at.is_some() || row.raw.is_empty());
    let everything = Selection { force: true, ..Selection::default() };
    let calendar = calendar::Calendar::new(Arc::clone(&context.google), &context.settings);
    let mailboxes = gmail::mailboxes(context).await?;
    let drive = drive::source(context, &everything).await?;
    let attendee = Attendee::load(context, &everything).await?;
    let classify = Classify::new(context, true)?;
    let mut results = Vec::new();
    for row in &fetched {
        let retried = match row.service.as_str() {
            "calendar" => retry_items::retry(context, &calendar, row).await?,
            "gmail" => retry_items::retry(context, &mailboxes, row).await?,
            "attendee" => retry_items::retry(context, &attendee, row).await?,
            "drive" => retry_items::retry(context, &drive, row).await?,
            "classify" => retry_items::retry(context, &classify, row).await?,
            service => Retried::Kept(format!("this version has no service {service:?}")),
        };
        results.push((row.id, retried));
    }
    results.extend(refetch_items(context, calendar, &unfetched).await?);
    results.extend(refetch_items(context, mailboxes, &unfetched).await?);
    results.extend(refetch_items(context, attendee, &unfetched).await?);
    results.extend(refetch_items(context, drive, &unfetched).await?);
    let kept = results.iter().filter(|(_, retried)| matches!(retried, Retried::Kept(_))).count();
    output.print(&results, || {
        let mut text = format!("{} applied, {kept} kept\n", results.len() - kept);
        for (id, retried) in &results {
            if let Retried::Kept(error) = retried {
                text.push_str(&format!("{id}: {error}\n"));
            }
        }
        text
    })?;
    Ok(if kept == 0 { Exit::Done } else { Exit::SomeFailed })
}

/// Fetches the items of this service again.
async fn refetch_items<S: Source>(context: &Context, source: S, items: &[Quarantined]) -> anyhow::Result<Vec<(i64, Retried)>> {
    let items: Vec<Quarantined> = items.iter().filter(|item| item.service == S::TABLES.service).cloned().collect();
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let users = items.iter().map(|item| item.user_id).collect();
    let selection = Selection { users: Some(users), force: true, ..Selection::default() };
    let bounds = Bounds { max_duration: None, dry_run: false };
    let job = jobs::job(context, S::TABLES.service, "items-retry", selection, bounds);
    refetch::run(context, source, &job, &items).await
}
