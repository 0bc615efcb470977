//! `syncctl calendar agenda`: a user's events in the order of their times.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::span::{self, Incomplete, Span, SpanArgs};
use crate::commands::{Output, table, users};
use crate::engine::Context;
use crate::error::Exit;
use crate::services::calendar::instances::agenda::{self, Shown};

/// Arguments of `calendar agenda`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User, by UUID or address (default: the only one)
    user: Option<String>,
    #[command(flatten)]
    span: SpanArgs,
}

#[derive(Debug, Serialize)]
struct Agenda {
    user_id: Uuid,
    time_zone: String,
    from: DateTime<FixedOffset>,
    /// Exclusive.
    until: DateTime<FixedOffset>,
    events: Vec<Event>,
    /// Calendars of which events may be missing.
    incomplete: Vec<Incomplete>,
}

#[derive(Debug, Serialize)]
struct Event {
    instance_id: String,
    calendar: Option<String>,
    title: Option<String>,
    start: DateTime<FixedOffset>,
    /// Exclusive.
    end: DateTime<FixedOffset>,
    all_day: bool,
    /// First day of an all-day event.
    start_date: Option<NaiveDate>,
    /// The day after the last of an all-day event.
    end_date: Option<NaiveDate>,
    busy: bool,
    response: Option<String>,
    location: Option<String>,
    meet_link: Option<String>,
}

/// Runs the command. Exit code 1 if events may be missing.
pub async fn run(context: &Context, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let span = args.span.span(Utc::now())?;
    let user = users::find_or_only(context, args.user.as_deref()).await?;
    let incomplete = span::incomplete(context, &[user], &span, false).await?;
    let shown = agenda::shown(&context.pool, user, span.window).await?;
    let (from, until) = span.bounds();
    let events = shown.into_iter().map(|shown| event(shown, &span)).collect();
    let agenda = Agenda { user_id: user, time_zone: span.zone.to_string(), from, until, events, incomplete };
    output.print(&agenda, || text(&agenda))?;
    Ok(if agenda.incomplete.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn event(shown: Shown, span: &Span) -> Event {
    Event {
        instance_id: shown.instance_id,
        calendar: shown.calendar,
        title: shown.title,
        start: span.zone.at(shown.start),
        end: span.zone.at(shown.end),
        all_day: shown.days.is_some(),
        start_date: shown.days.map(|days| days.0),
        end_date: shown.days.map(|days| days.1),
        busy: shown.is_busy,
        response: shown.response,
        location: shown.location,
        meet_link: shown.meet_link,
    }
}

fn text(agenda: &Agenda) -> String {
    let mut table = table(&["day", "from", "to", "title", "calendar name", "shown as", "response"]);
    for event in &agenda.events {
        let (day, from, to) = times(event);
        table.add_row([
            day,
            from,
            to,
            event.title.clone().unwrap_or_else(|| "(no title)".into()),
            event.calendar.clone().unwrap_or_default(),
            if event.busy { "busy".into() } else { "free".into() },
            event.response.clone().unwrap_or_default(),
        ]);
    }
    let heading = span::heading(agenda.from, agenda.until, &agenda.time_zone);
    match (agenda.events.is_empty(), agenda.incomplete.is_empty()) {
        (false, _) => format!("{}\n\n{heading}", table.trim_fmt()),
        (true, true) => format!("no events in these days; --from and --to show others\n\n{heading}"),
        (true, false) => format!("no events are known in these days\n\n{heading}"),
    }
}

/// The columns of day, start and end. The end has its day if that is another one.
fn times(event: &Event) -> (String, String, String) {
    if let (Some(start), Some(end)) = (event.start_date, event.end_date) {
        let last = end.pred_opt().unwrap_or(end);
        let to = if last > start { span::day(last) } else { String::new() };
        return (span::day(start), "all day".into(), to);
    }
    let (start, end) = (event.start.naive_local(), event.end.naive_local());
    let to = end.format("%H:%M").to_string();
    let to = if end.date() == start.date() { to } else { format!("{} {to}", span::day(end.date())) };
    (span::day(start.date()), start.format("%H:%M").to_string(), to)
}
