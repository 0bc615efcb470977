//! `syncctl deliver` and `syncctl outbox`: outgoing events.

use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use super::paging::Page;
use super::standalone_runs::{StandaloneJob, recorded};
use super::{Output, complain, reading, table, with_context};
use crate::config::{Settings, duration};
use crate::db::routing::{self, Filter, Listed};
use crate::engine::Context;
use crate::error::Exit;
use crate::outbox::{self, Order, Report};
use crate::services::registry;
use crate::state::DeliveryState;

#[derive(Debug, Args)]
pub struct DeliverArgs {
    /// Send this event again to every target that takes it
    #[arg(long, value_name = "EVENT_ID", value_parser = super::id)]
    replay: Option<Uuid>,
    /// Retry dead deliveries, with a full set of attempts
    #[arg(long)]
    dead: bool,
    /// Print what is due; send and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Start no request after this time, such as `50s` (default: no limit)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_duration: Option<Duration>,
}

/// Subcommands of `outbox`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List deliveries, newest event first
    List {
        /// Only deliveries in this state (default: all)
        #[arg(long)]
        state: Option<DeliveryState>,
        /// Only deliveries of events within this time, such as `7days`
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        since: Option<Duration>,
        #[command(flatten)]
        page: Page,
    },
}

impl ValueEnum for DeliveryState {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Pending, Self::Dead, Self::Delivered]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

/// Runs `syncctl deliver`.
pub fn deliver(args: &DeliverArgs, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        let order = Order { replay: args.replay, dead: args.dead, max_duration: args.max_duration };
        if args.dry_run {
            return preview(&context, &order, output).await;
        }
        // A manual replay does not count as a run of the scheduled job.
        let job = StandaloneJob { name: "deliver", is_announced: order.replay.is_none() && !order.dead };
        let delivered = delivered(&context, &order);
        let report = recorded(&context, job, delivered, Report::exit, Report::error_message).await?;
        output.print(&report, || text(&report))?;
        for target in &report.targets {
            if let Some(error) = &target.error {
                complain(format!("{}: {error}", target.target));
            }
        }
        Ok(report.exit())
    })
}

/// Writes the events that are due at a time, and delivers all that are due.
async fn delivered(context: &Context, order: &Order) -> anyhow::Result<Report> {
    for service in registry::SERVICES.iter().filter(|service| (service.enabled)(&context.settings)) {
        (service.announce)(context).await?;
    }
    outbox::deliver(&context.pool, &context.settings.outbox, &registry::event_types(), order, &context.stop).await
}

async fn preview(context: &Context, order: &Order, output: Output) -> anyhow::Result<Exit> {
    let waiting = outbox::preview(&context.pool, &context.settings.outbox, &registry::event_types(), order).await?;
    output.print(&serde_json::json!({ "dry_run": true, "targets": waiting }), || {
        let mut table = table(&["target", "due", "pending", "dead"]);
        for row in &waiting {
            table.add_row([row.target.clone(), row.due.to_string(), row.pending.to_string(), row.dead.to_string()]);
        }
        if waiting.is_empty() { NO_TARGETS.into() } else { table.trim_fmt() }
    })?;
    Ok(Exit::Done)
}

const NO_TARGETS: &str = "no targets; add some to the settings as [[outbox.targets]]";

fn text(report: &Report) -> String {
    if report.targets.is_empty() {
        return NO_TARGETS.into();
    }
    let mut table = table(&["target", "delivered", "failed", "dead", "pending", "circuit"]);
    for row in &report.targets {
        table.add_row([
            row.target.clone(),
            row.delivered.to_string(),
            row.failed.to_string(),
            row.dead.to_string(),
            row.pending.to_string(),
            row.circuit.to_owned(),
        ]);
    }
    match report.forgotten {
        0 => table.trim_fmt(),
        forgotten => format!("{}\n{forgotten} old events forgotten", table.trim_fmt()),
    }
}

/// Runs `syncctl outbox …`.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    let Verb::List { state, since, page } = verb;
    let filter = Filter { state: *state, within_seconds: since.map(|since| since.as_secs_f64()) };
    with_context(settings, |context| async move { reading(&context, list(&context, &filter, *page, output)).await })
}

async fn list(context: &Context, filter: &Filter, page: Page, output: Output) -> anyhow::Result<Exit> {
    let rows = routing::list(&context.pool, filter, (page.limit.into(), page.offset.into())).await?;
    let ids = rows.iter().map(|row| row.event_id.to_string());
    page.ids.print(
        output,
        &rows,
        ids,
        || if rows.is_empty() { empty(filter, page, &context.settings) } else { listed(&rows) },
    )?;
    if page.needs_total(output, rows.len()) {
        page.footer(output, rows.len(), Some(routing::count(&context.pool, filter).await?));
    }
    Ok(Exit::Done)
}

fn listed(rows: &[Listed]) -> String {
    let mut table = table(&["event", "type", "target", "state", "tries", "due or delivered", "last answer"]);
    for row in rows {
        table.add_row([
            row.event_id.to_string(),
            row.r#type.clone(),
            row.target.clone(),
            row.state.to_string(),
            row.attempts.to_string(),
            row.delivered_at.unwrap_or(row.due_at).format("%F %T").to_string(),
            row.last_error.clone().or(row.last_status.map(|status| format!("HTTP {status}"))).unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

/// Says why no deliveries are listed.
fn empty(filter: &Filter, page: Page, settings: &Settings) -> String {
    if page.offset > 0 || filter.state.is_some() || filter.within_seconds.is_some() {
        return "no deliveries match these options".into();
    }
    match settings.outbox.targets.as_slice() {
        [] => format!("no deliveries: {NO_TARGETS}"),
        _ => "no deliveries: no event for a target has been written yet".into(),
    }
}
