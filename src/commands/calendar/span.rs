//! The days and the time zone of `calendar agenda` and `calendar freebusy`, and what may be missing in them.

use chrono::{DateTime, Datelike as _, Days, FixedOffset, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::commands::{complain, zone};
use crate::engine::Context;
use crate::error::Fault;
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
    /// The name of the calendar; `None`: the user has none.
    pub calendar: Option<String>,
    pub reason: String,
}

/// The calendars of these users, or only their primary ones, of which events may be missing; reports each on stderr.
///
/// # Errors
/// Returns an error of the database.
pub async fn incomplete(context: &Context, users: &[Uuid], span: &Span, primary_only: bool) -> anyhow::Result<Vec<Incomplete>> {
    let found = agenda::incomplete(&context.pool, users, span.window, primary_only).await?;
    let found: Vec<_> = found
        .into_iter()
        .map(|gap| Incomplete { user_id: gap.user, calendar: gap.calendar, reason: reason(&gap.why, span.zone) })
        .collect();
    for Incomplete { user_id, calendar, reason } in &found {
        let calendar = calendar.as_ref().map(|name| format!("calendar {name:?} of ")).unwrap_or_default();
        complain(format!("events may be missing: {calendar}user {user_id}: {reason}"));
    }
    Ok(found)
}

fn reason(gap: &Gap, zone: Zone) -> String {
    match gap {
        Gap::NoCalendar => "no calendar has been synced yet".into(),
        Gap::NotSynced(state) => format!("it is not synced ({state})"),
        Gap::NotListed => "its first full pass of this version is not complete: `syncctl resync` begins it now".into(),
        Gap::NotRolled => "its occurrences are not computed yet: run `syncctl calendar roll-instances`".into(),
        Gap::Failing => "its last poll failed: `syncctl sync explain` shows why".into(),
        Gap::Unread => "events or rules could not be read: see `syncctl items list` and `syncctl doctor`".into(),
        Gap::Outside(known) => {
            let day = |at| zone.local(at).date();
            format!(
                "its events are known from {} to {}: see calendar.window_* and calendar.instances_*",
                day(known.from),
                day(known.until)
            )
        }
    }
}
