//! Moves the start of a series by whole periods of its rule, closer to the times that are needed. Pure.

use chrono::{DateTime, Datelike as _, Months, NaiveDateTime, TimeDelta, Utc};

use super::{Start, part};

/// Days of a month that every month has.
const SAFE_DAYS: u32 = 28;
/// How many more periods to step back from a local time that does not exist, or exists twice.
const MAX_STEPS_BACK: i64 = 5;

/// A later start with the same times from `near` on. `None`: the rule counts its times, or its periods differ in length, or nothing can be skipped.
pub fn near(start: Start, parts: &[(String, String)], near: DateTime<Utc>) -> Option<Start> {
    if part(parts, "COUNT").is_some() {
        return None;
    }
    let interval: i64 = part(parts, "INTERVAL").map_or(Some(1), |text| text.parse().ok()).filter(|interval| *interval > 0)?;
    let from = start.local();
    let to = match start {
        Start::Date(_) => near.naive_utc(),
        Start::At(_, zone) => zone.local(near),
    };
    // Two days: local times of the same instant differ by less. A week more, since a week can begin before the start.
    let days = (to - from).num_days() - 9;
    let moved: Box<dyn Fn(i64) -> Option<NaiveDateTime>> = match part(parts, "FREQ")? {
        "DAILY" => Box::new(move |periods| from.checked_add_signed(TimeDelta::try_days(periods.checked_mul(interval)?)?)),
        "WEEKLY" => Box::new(move |periods| from.checked_add_signed(TimeDelta::try_weeks(periods.checked_mul(interval)?)?)),
        "MONTHLY" if from.day() <= SAFE_DAYS => {
            Box::new(move |periods| from.checked_add_months(Months::new(u32::try_from(periods.checked_mul(interval)?).ok()?)))
        }
        _ => return None,
    };
    let unit = match part(parts, "FREQ")? {
        "DAILY" => 1,
        "WEEKLY" => 7,
        _ => 31,
    };
    let periods = days.div_euclid(interval.checked_mul(unit)?) - 1;
    (periods - MAX_STEPS_BACK..=periods)
        .rev()
        .take_while(|periods| *periods > 0)
        .find_map(|periods| at_local(start, moved(periods)?))
}

/// The same kind of start at another local time, unless that time is skipped or repeated by a transition.
fn at_local(start: Start, local: NaiveDateTime) -> Option<Start> {
    match start {
        Start::Date(_) => Some(Start::Date(local.date())),
        Start::At(_, zone) => {
            let at = zone.instant(local)?;
            let is_unique = zone.local(at) == local && zone.local(at + TimeDelta::hours(3)) - local == TimeDelta::hours(3);
            is_unique.then_some(Start::At(at, zone))
        }
    }
}
