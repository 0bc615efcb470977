//! The days and the time zone of `calendar agenda` and `calendar freebusy`, and what may be missing in them.

use chrono::{DateTime, Datelike as _, Days, FixedOffset, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::commands::{complain, completeness, zone};
use crate::engine::Context;
use crate::error::Fault;
use crate::services::calendar::LIST;
use crate::services::calendar::instances::Window;
use crate::services::calendar::instances::agenda::{self, Gap};
use crate::services::calendar::instances::windows::midnight;
use crate::zone::Zone;

/// Days shown by default.
const DAYS: u64 = 7;
/// Maximum number of days: more than a window of `calendar_instances` has by default.
const MAX_DAYS: i64 = 1_000;

/// Options of both commands.
#[derive(Debug, clap::Args)]
pub struct SpanArgs {
    /// Show this week, from Monday to Sunday (default: seven days from today)
    #[arg(long, conflicts_with_all = ["from", "to"])]
    week: bool,
    /// First day, such as 2026-12-01 (default: today)
    #[arg(long, value_name = "DATE")]
    from: Option<NaiveDate>,
    /// Last day (default: six days after the first)
    #[arg(long, value_name = "DATE")]
    to: Option<NaiveDate>,
    /// Time zone of days and times, such as Europe/Berlin or UTC+2 (default: that of this machine)
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<Zone>,
}

/// The days to show, as instants.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub zone: Zone,
    pub window: Window,
}

impl SpanArgs {
    /// The days that these options name.
    ///
    /// # Errors
    /// Returns `Fault::usage` if the last day is before the first, or there are too many days.
    pub fn span(&self, now: DateTime<Utc>) -> anyhow::Result<Span> {
        let zone = self.zone.unwrap_or_else(Zone::of_this_machine);
        let today = zone.local(now).date();
        let monday = today - Days::new(today.weekday().num_days_from_monday().into());
        let first = if self.week { monday } else { self.from.unwrap_or(today) };
        let beyond = || Fault::usage("these days are beyond the dates that can be shown");
        let last = match self.to {
            Some(last) => last,
            None => first.checked_add_days(Days::new(DAYS - 1)).ok_or_else(beyond)?,
        };
        if last < first {
            return Err(Fault::usage(format!("the last day, {last}, is before the first, {first}")).into());
        }
        if (last - first).num_days() >= MAX_DAYS {
            return Err(Fault::usage(format!("{first} to {last} are more than {MAX_DAYS} days")).into());
        }
        let until = last.succ_opt().and_then(|day| midnight(zone, day)).ok_or_else(beyond)?;
        Ok(Span { zone, window: Window { from: midnight(zone, first).ok_or_else(beyond)?, until } })
    }
}

impl Span {
    /// The first and the last moment, with the offset of the zone.
    pub fn bounds(&self) -> (DateTime<FixedOffset>, DateTime<FixedOffset>) {
        (self.zone.at(self.window.from), self.zone.at(self.window.until))
    }
}

/// The days and the zone of the times, in one line.
pub fn heading(from: DateTime<FixedOffset>, until: DateTime<FixedOffset>, zone: &str) -> String {
    let last = until.date_naive().pred_opt().unwrap_or(until.date_naive());
    format!("{} to {}, times in {zone}", day(from.date_naive()), day(last))
}

/// A day with its weekday.
pub fn day(day: NaiveDate) -> String {
    day.format("%a %F").to_string()
}

/// A calendar of which events may be missing.
#[derive(Debug, Serialize)]
pub struct Incomplete {
    pub user_id: Uuid,
    /// The name of the calendar, or that it is the list of calendars; `None`: the user has none.
    pub calendar: Option<String>,
    pub reason: String,
}

/// The calendars of these users, or only their primary ones, of which events may be missing; reports each on stderr.
///
/// # Errors
/// Returns an error of the database.
pub async fn incomplete(context: &Context, users: &[Uuid], span: &Span, primary_only: bool) -> anyhow::Result<Vec<Incomplete>> {
    let found = agenda::incomplete(&context.pool, users, span.window, primary_only).await?;
    let found = found.into_iter().filter_map(|gap| {
        let reason = reason(&gap.why, span.zone)?;
        Some(Incomplete { user_id: gap.user, calendar: calendar(gap.why), reason })
    });
    let found: Vec<Incomplete> = found.collect();
    for Incomplete { user_id, calendar, reason } in &found {
        let calendar = calendar.as_ref().map(|name| format!("{name:?} of ")).unwrap_or_default();
        complain(format!("events may be missing: {calendar}user {user_id}: {reason}"));
    }
    Ok(found)
}

/// The name of the calendar.
fn calendar(gap: Gap) -> Option<String> {
    match gap {
        Gap::NoCalendar => None,
        Gap::Missing(feed) if feed.kind == LIST => Some("the list of calendars".into()),
        Gap::Missing(feed) | Gap::Outside(feed, _) => Some(feed.name.unwrap_or(feed.resource)),
    }
}

fn reason(gap: &Gap, zone: Zone) -> Option<String> {
    match gap {
        Gap::NoCalendar => Some("no calendar has been synced yet".into()),
        Gap::Missing(feed) => completeness::reason(feed),
        Gap::Outside(_, known) => {
            let day = |at| zone.local(at).date();
            Some(format!(
                "its events are known from {} to {}: see calendar.window_* and calendar.instances_*",
                day(known.from),
                day(known.until)
            ))
        }
    }
}
