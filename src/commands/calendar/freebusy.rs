//! `syncctl calendar freebusy`: when users are busy, and when all of them are free.

use std::collections::BTreeSet;

use chrono::{DateTime, FixedOffset, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::span::{self, Incomplete, Span, SpanArgs};
use crate::commands::{Output, table, users};
use crate::engine::Context;
use crate::error::Exit;
use crate::services::calendar::instances::Window;
use crate::services::calendar::instances::agenda;

/// Arguments of `calendar freebusy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Users, by UUID or address
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    #[command(flatten)]
    span: SpanArgs,
}

#[derive(Debug, Serialize)]
struct FreeBusy {
    time_zone: String,
    from: DateTime<FixedOffset>,
    /// Exclusive.
    until: DateTime<FixedOffset>,
    users: Vec<User>,
    /// Spans in which none of the users is busy. `None`: events of a user may be missing.
    free: Option<Vec<Times>>,
    /// Calendars of which events may be missing.
    incomplete: Vec<Incomplete>,
}

#[derive(Debug, Serialize)]
struct User {
    /// As on the command line.
    name: String,
    user_id: Uuid,
    busy: Vec<Times>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Times {
    start: DateTime<FixedOffset>,
    /// Exclusive.
    end: DateTime<FixedOffset>,
}

impl Times {
    fn of(window: Window, span: &Span) -> Self {
        Self { start: span.zone.at(window.from), end: span.zone.at(window.until) }
    }
}

/// Runs the command. Exit code 1 if events may be missing.
pub async fn run(context: &Context, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let span = args.span.span(Utc::now())?;
    let (mut users, mut ids) = (Vec::new(), BTreeSet::new());
    for name in &args.users {
        let user_id = users::find(context, name).await?;
        if ids.insert(user_id) {
            users.push(User { name: name.clone(), user_id, busy: Vec::new() });
        }
    }
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let incomplete = span::incomplete(context, &ids, &span, true).await?;
    let times = agenda::busy(&context.pool, &ids, span.window).await?;
    for user in &mut users {
        let busy = times.busy.iter().filter(|(id, _)| *id == user.user_id);
        user.busy = busy.map(|(_, window)| Times::of(*window, &span)).collect();
    }
    let free = incomplete.is_empty().then(|| times.free.iter().map(|window| Times::of(*window, &span)).collect());
    let (from, until) = span.bounds();
    let found = FreeBusy { time_zone: span.zone.to_string(), from, until, users, free, incomplete };
    output.print(&found, || text(&found))?;
    Ok(if found.incomplete.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn text(found: &FreeBusy) -> String {
    let mut table = table(&["who", "from", "to"]);
    let time = |at: DateTime<FixedOffset>| format!("{} {}", span::day(at.date_naive()), at.format("%H:%M"));
    for user in &found.users {
        for busy in &user.busy {
            table.add_row([format!("{} is busy", user.name), time(busy.start), time(busy.end)]);
        }
    }
    for free in found.free.iter().flatten() {
        table.add_row(["all are free".into(), time(free.start), time(free.end)]);
    }
    format!("{}\n\n{}", table.trim_fmt(), span::heading(found.from, found.until, &found.time_zone))
}
