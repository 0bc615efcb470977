//! `syncctl items`: lists and retries quarantined items.

use clap::Subcommand;

use super::paging::Part;
use super::verbs::Bounds;
use super::{Output, jobs, reading, table, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::items::{self, Quarantined};
use crate::engine::Context;
use crate::engine::retry_items::Retried;
use crate::error::{Exit, Fault};
use crate::services::{Entry, registry};

/// Subcommands of `items`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List quarantined items with their errors
    List(Part),
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
            Verb::List(part) => list(&context, *part, output).await,
            Verb::Retry { id } => retry(&context, *id, output).await,
        }
    })
}

async fn list(context: &Context, part: Part, output: Output) -> anyhow::Result<Exit> {
    let all = reading(context, items::list(&context.pool, None)).await?;
    let total = all.len();
    let rows = part.of(all);
    part.ids.print(output, &rows, rows.iter().map(|row| row.id.to_string()), || {
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
        match total {
            0 => "nothing in quarantine: every item that was received could be stored".into(),
            _ if rows.is_empty() => "no items match these options".into(),
            _ => table.trim_fmt(),
        }
    })?;
    part.footer(output, rows.len(), total);
    Ok(Exit::Done)
}

async fn retry(context: &Context, id: Option<i64>, output: Output) -> anyhow::Result<Exit> {
    let rows = items::list(&context.pool, id).await?;
    if let (Some(id), true) = (id, rows.is_empty()) {
        return Err(Fault::usage(format!("no quarantined item has the number {id}; see `syncctl items list`")).into());
    }
    let (unfetched, fetched): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.retry_at.is_some() || row.raw.is_empty());
    let mut results = apply_again(context, &fetched).await?;
    for service in &registry::SERVICES {
        results.extend(fetch_again(context, service, &unfetched).await?);
    }
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

/// Applies items again that were received; the results are in the order of the items.
async fn apply_again(context: &Context, items: &[Quarantined]) -> anyhow::Result<Vec<(i64, Retried)>> {
    let unknown = items.iter().filter(|item| registry::find(&item.service).is_none());
    let kept = |item: &Quarantined| Retried::Kept(format!("this version has no service {:?}", item.service));
    let mut results: Vec<_> = unknown.map(|item| (item.id, kept(item))).collect();
    for service in &registry::SERVICES {
        let items = of_service(items, service);
        if !items.is_empty() {
            results.extend((service.retry)(context, &items).await?);
        }
    }
    results.sort_unstable_by_key(|(id, _)| *id);
    Ok(results)
}

fn of_service(items: &[Quarantined], service: &Entry) -> Vec<Quarantined> {
    items.iter().filter(|item| item.service == service.name).cloned().collect()
}

/// Fetches the items of this service again.
async fn fetch_again(context: &Context, service: &Entry, items: &[Quarantined]) -> anyhow::Result<Vec<(i64, Retried)>> {
    let items = of_service(items, service);
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let users = items.iter().map(|item| item.user_id).collect();
    let selection = Selection { users: Some(users), force: true, ..Selection::default() };
    let bounds = Bounds { max_duration: None, dry_run: false };
    let job = jobs::job(context, service.name, "items-retry", selection, bounds);
    (service.refetch)(context, &job, &items).await
}
