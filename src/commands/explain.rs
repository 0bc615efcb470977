//! `syncctl sync explain`: why each stream of a user is polled when it is, in words.

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::metrics::seconds_text;
use super::{Output, every, jobs};
use crate::db::activity::{self, Activity};
use crate::db::claims::{self, StreamRow};
use crate::db::prices;
use crate::db::streams::{self, Standing};
use crate::engine::pacing::{self, Outlook};
use crate::engine::{Context, Stream};
use crate::error::Exit;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A user, by UUID or address
    #[arg(value_name = "USER")]
    user: String,
}

/// One stream's pace.
#[derive(Debug, Serialize)]
struct Explained {
    stream_id: i64,
    service: &'static str,
    kind: String,
    resource: String,
    /// Changes a day that are to be expected.
    changes_per_day: f64,
    /// How many times more urgent it is than without activity of the user.
    weight: f64,
    /// Of a poll, in hours.
    price: f64,
    /// Between polls, before jitter.
    interval_seconds: f64,
    /// Between polls if no channel announced changes.
    usual_seconds: f64,
    push_alive: bool,
    failures: i32,
    failed_class: Option<String>,
    polled_seconds_ago: Option<f64>,
    due_at: DateTime<Utc>,
    /// All this in words.
    reason: String,
}

/// Beyond this no interval is anything but the longest.
const DEAREST: f64 = 1e6;

/// Prints the pace of a user's streams.
pub async fn run(args: &ExplainArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let user = jobs::named(context, &args.user).await?;
    let active = activity::of_user(&context.pool, user).await?.into_iter().next();
    let now = Utc::now();
    let explained: Vec<Explained> = outlooks(context, user)
        .await?
        .into_iter()
        .map(|(row, service, standing, outlook)| explain(row, service, &standing, &outlook, active.as_ref(), now))
        .collect();
    output.print(&explained, || {
        if explained.is_empty() {
            return format!("user {user} has no streams; their first `cron` brings them up");
        }
        let lines =
            explained.iter().map(|one| format!("{} {} (stream {}): {}", one.service, one.kind, one.stream_id, one.reason));
        lines.collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Done)
}

/// Every living stream of a user with its service, where it stands, and its outlook.
pub(super) async fn outlooks(context: &Context, user: Uuid) -> anyhow::Result<Vec<(StreamRow, &'static str, Standing, Outlook)>> {
    let now = Utc::now();
    let mut outlooks = Vec::new();
    for (service, _) in every::services(&context.settings) {
        let standings = streams::of_user(&context.pool, service, user).await?;
        let ids: Vec<i64> = standings.iter().map(|standing| standing.id).collect();
        let prices = prices::load(&context.pool, service).await?;
        let judge = every::judge(context, service).await?;
        for row in claims::read(&context.pool, &ids).await? {
            let Some(standing) = standings.iter().find(|standing| standing.id == row.id) else { continue };
            let (bounds, urgency) = judge(&Stream::of(&row));
            let history = pacing::history(&row.changes);
            let outlook = pacing::outlook(&context.settings, &prices, &bounds, urgency, &row, &history, now);
            outlooks.push((row, service, standing.clone(), outlook));
        }
    }
    Ok(outlooks)
}

fn explain(
    row: StreamRow,
    service: &'static str,
    standing: &Standing,
    outlook: &Outlook,
    active: Option<&Activity>,
    now: DateTime<Utc>,
) -> Explained {
    let due_at = now + chrono::TimeDelta::milliseconds((standing.due_in * 1000.0) as i64);
    Explained {
        stream_id: row.id,
        service,
        changes_per_day: outlook.forecast.rate * 24.0,
        weight: outlook.weight,
        price: outlook.price,
        interval_seconds: outlook.interval.as_secs_f64(),
        usual_seconds: outlook.usual.as_secs_f64(),
        push_alive: standing.push_alive,
        failures: standing.failures,
        failed_class: standing.failed_class.clone(),
        polled_seconds_ago: standing.polled_ago,
        due_at,
        reason: reason(standing, outlook, active, due_at, now),
        kind: row.kind,
        resource: row.resource,
    }
}

/// `polled every 11 min: about 14 changes a day, active 20 min ago (x3), push silent; next at 14:32`
fn reason(
    standing: &Standing,
    outlook: &Outlook,
    active: Option<&Activity>,
    due_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> String {
    let mut facts = vec![changes(outlook.forecast.rate * 24.0)];
    if let (true, Some(active)) = (outlook.weight > 1.05, active) {
        let ago = seconds_text(whole_minutes((now - active.last_at).as_seconds_f64()));
        facts.push(format!("active {ago} ago (×{:.1})", outlook.weight));
    }
    match (standing.push_alive, standing.pushed_ago) {
        (true, Some(ago)) => facts.push(format!("push alive, last {} ago", seconds_text(whole_minutes(ago)))),
        (true, None) => facts.push("push alive".into()),
        (false, _) => facts.push("no push".into()),
    }
    match outlook.price / outlook.least {
        ..1.001 => {}
        dearer @ ..DEAREST => facts.push(format!("the budget makes a poll {dearer:.1} times as dear")),
        _ => facts.push("the budget is short even so".into()),
    }
    let next = match (standing.claimed, standing.due_in <= 0.0) {
        (true, _) => "a run is at it".to_owned(),
        (false, true) => "due now".to_owned(),
        (false, false) => format!("next at {} UTC", due_at.format("%Y-%m-%d %H:%M")),
    };
    let every = seconds_text(whole_minutes(outlook.interval.as_secs_f64()));
    match &standing.failed_class {
        Some(class) => format!("failing ({class}, {} in a row), tried again later and later; {next}", standing.failures),
        None => format!("polled every {every}: {}; {next}", facts.join(", ")),
    }
}

fn changes(a_day: f64) -> String {
    match a_day {
        a_day if a_day >= 9.95 => format!("about {a_day:.0} changes a day"),
        a_day if a_day >= 0.95 => format!("about {a_day:.1} changes a day"),
        a_day => format!("about {:.1} changes a month", a_day * 30.0),
    }
}

/// Beyond two minutes nobody wants to read seconds.
fn whole_minutes(seconds: f64) -> f64 {
    if seconds < 120.0 { seconds } else { (seconds / 60.0).round() * 60.0 }
}
