//! `syncctl items`: what lies in quarantine.

use std::sync::Arc;

use clap::Subcommand;

use super::{Output, gmail, reading, table, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::items;
use crate::engine::retry_items::{self, Retried};
use crate::error::{Exit, Fault};
use crate::services::attendee::Attendee;
use crate::services::drive::watches::Watched;
use crate::services::{calendar, drive};

/// What can be done with quarantined items.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Lists them with their errors
    List,
    /// Tries one again, or all of them
    Retry {
        /// The number in `items list`; without it, all
        id: Option<i64>,
    },
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        match verb {
            Verb::List => {
                let rows = reading(&context, items::list(&context.pool, None)).await?;
                output.print(&rows, || {
                    let mut table = table(&["id", "service", "user", "item", "tries", "since", "error"]);
                    for row in &rows {
                        let since = row.first_seen_at.format("%F %T").to_string();
                        table.add_row([
                            row.id.to_string(),
                            row.service.clone(),
                            row.user_id.to_string(),
                            row.item_id.clone(),
                            row.attempts.to_string(),
                            since,
                            row.error.clone(),
                        ]);
                    }
                    if rows.is_empty() { "nothing in quarantine".into() } else { table.trim_fmt() }
                })?;
                Ok(Exit::Done)
            }
            Verb::Retry { id } => {
                let rows = items::list(&context.pool, *id).await?;
                if let (Some(id), true) = (id, rows.is_empty()) {
                    return Err(Fault::usage(format!("no quarantined item has the number {id}; see `syncctl items list`")).into());
                }
                let calendar = calendar::Calendar::new(Arc::clone(&context.google), &context.settings);
                let mailboxes = gmail::mailboxes(&context).await?;
                let drive = drive::Drive::new(Arc::clone(&context.google), &context.settings, Watched::default());
                let attendee = Attendee::load(&context, &Selection { force: true, ..Selection::default() }).await?;
                let mut results = Vec::new();
                for row in &rows {
                    let retried = match row.service.as_str() {
                        "calendar" => retry_items::retry(&context, &calendar, row).await?,
                        "gmail" => retry_items::retry(&context, &mailboxes, row).await?,
                        "attendee" => retry_items::retry(&context, &attendee, row).await?,
                        "drive" => retry_items::retry(&context, &drive, row).await?,
                        service => Retried::Kept(format!("this syncctl has no service {service:?}")),
                    };
                    results.push((row.id, retried));
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
        }
    })
}
