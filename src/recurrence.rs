//! Rules of recurring events, as calendars write them (RFC 5545, and what Google takes beside it), and the times that they name. Pure.

mod line;

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use rrule::{RRule, RRuleSet, Unvalidated};

use crate::zone::Zone;
use line::{Line, Value};

/// Instances that are walked over before a series counts as unreadable: daily ones of two centuries. A series of every second, which anybody may
/// invite to, would hold up all others for minutes.
const MOST_STEPS: usize = 75_000;
/// Times of a day that a rule may name. More of them fill the memory year by year.
const MOST_TIMES: usize = 24;

/// When a series begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All day.
    Date(NaiveDate),
    /// At an instant, repeated by the clocks of a zone.
    At(DateTime<Utc>, Zone),
}

impl Start {
    /// A start at an instant, in the zone of this name, or with this offset where the name means nothing.
    pub fn at(at: DateTime<Utc>, zone: Option<&str>, offset: Option<FixedOffset>) -> Option<Self> {
        Some(Self::At(at, Zone::of(zone, offset)?))
    }

    /// What the clocks show.
    fn local(self) -> NaiveDateTime {
        match self {
            Self::Date(date) => date.and_time(NaiveTime::MIN),
            Self::At(at, zone) => zone.local(at),
        }
    }
}

/// The rules of a series.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Where the zone has a name, by its clocks; else by UTC's, as if the zone's lay there.
    set: RRuleSet,
    /// How far UTC's clocks are taken to be ahead.
    shift: TimeDelta,
}

/// The rules of a series; `None` where they cannot be read.
pub fn rules(start: Start, lines: &[String]) -> Option<Rules> {
    let (tz, shift) = match start {
        Start::Date(_) => (rrule::Tz::UTC, TimeDelta::zero()),
        Start::At(_, Zone::Place(tz)) => (tz.into(), TimeDelta::zero()),
        Start::At(_, Zone::Offset(offset)) => (rrule::Tz::UTC, TimeDelta::seconds(offset.local_minus_utc().into())),
    };
    let shifted = |at: DateTime<Utc>| Some(at.checked_add_signed(shift)?.with_timezone(&tz));
    let first = match start {
        Start::Date(date) => shifted(date.and_time(NaiveTime::MIN).and_utc())?,
        Start::At(at, _) => shifted(at)?,
    };
    let mut set = RRuleSet::new(first);
    let mut repeats = false;
    for line in lines {
        match line::read(line)? {
            Line::Rule(parts) => {
                repeats = true;
                if let Some(rule) = rule(start, &parts)? {
                    set = set.rrule(rule.validate(first).ok()?);
                }
            }
            Line::Exception(parts) => {
                // These are walked over unseen: of every minute there would be millions.
                if !["DAILY", "WEEKLY", "MONTHLY", "YEARLY"].contains(&part(&parts, "FREQ")?) {
                    return None;
                }
                if let Some(rule) = rule(start, &parts)? {
                    set = set.exrule(rule.validate(first).ok()?);
                }
            }
            Line::More(values) => {
                for value in values {
                    set = set.rdate(shifted(instant(start, &value)?)?);
                }
            }
            Line::Without(values) => {
                for value in values {
                    set = set.exdate(shifted(instant(start, &value)?)?);
                }
            }
            Line::Other => {}
        }
    }
    // What names dates only takes place at its start, too.
    Some(Rules { set: if repeats { set } else { set.rdate(first) }, shift })
}

impl Rules {
    /// The times of a series within a span, both ends included; at most `most` of them. `None`: they lie too many instances behind its start.
    pub fn between(self, from: DateTime<Utc>, to: DateTime<Utc>, most: usize) -> Option<Vec<DateTime<Utc>>> {
        let mut found = Vec::new();
        let shift = self.shift;
        for (step, date) in self.set.limit().into_iter().enumerate() {
            let date = date.to_utc() - shift;
            if date > to || found.len() == most {
                break;
            }
            if step == MOST_STEPS {
                return None;
            }
            if date >= from {
                found.push(date);
            }
        }
        Some(found)
    }

    /// The last time of a series that has at most `most` of them.
    pub fn last(self, most: u16) -> Option<DateTime<Utc>> {
        let shift = self.shift;
        let instances = self.set.all(most);
        let last = instances.dates.iter().max().filter(|_| !instances.limited)?;
        Some(last.to_utc() - shift)
    }
}

/// A rule as the library wants it. `Some(None)`: it ends before it begins.
fn rule(start: Start, parts: &[(String, String)]) -> Option<Option<RRule<Unvalidated>>> {
    let frequency = part(parts, "FREQ")?;
    let has = |names: &[&str]| names.iter().any(|name| part(parts, name).is_some());
    let times = ["BYHOUR", "BYMINUTE", "BYSECOND"].iter().filter_map(|name| part(parts, name));
    if times.map(|list| list.split(',').count()).product::<usize>() > MOST_TIMES {
        return None;
    }
    // Which Monday it is says something of a month or a year only.
    let counts_weekdays = matches!(frequency, "MONTHLY" | "YEARLY") && !has(&["BYWEEKNO"]);
    let mut written = Vec::new();
    for (name, value) in parts {
        // The library takes letters by bytes, and panics inside a character. RFC 5545 has no others but in what is passed over.
        if !value.is_ascii() && !name.starts_with("X-") {
            return None;
        }
        written.push(match name.as_str() {
            "UNTIL" => {
                let until = until(start, value)?;
                if until < start.local().and_utc() {
                    return Some(None);
                }
                let until = match start {
                    Start::At(_, zone @ Zone::Place(_)) => zone.instant(until.naive_utc())?,
                    _ => until,
                };
                format!("UNTIL={}", until.format("%Y%m%dT%H%M%SZ"))
            }
            "BYDAY" if !counts_weekdays => {
                let days = value.split(',').map(|day| day.trim_start_matches(|c: char| c.is_ascii_digit() || "+-".contains(c)));
                format!("BYDAY={}", days.collect::<Vec<_>>().join(","))
            }
            name if name.starts_with("X-") => continue,
            name => format!("{name}={value}"),
        });
    }
    // Google shows it once a year. RFC 5545 would have it every month.
    if frequency == "YEARLY" && has(&["BYMONTHDAY"]) && !has(&["BYMONTH", "BYDAY", "BYYEARDAY", "BYWEEKNO"]) {
        written.push(format!("BYMONTH={}", start.local().month()));
    }
    written.join(";").parse().ok().map(Some)
}

/// The last moment of a rule, by the clocks of its start. A date is good to its end; a time without zone is one of the start's clocks.
fn until(start: Start, value: &str) -> Option<DateTime<Utc>> {
    let value = line::value(value, None)?;
    let local = match (value, start) {
        (Value::Date(date), _) => date.and_hms_opt(23, 59, 59)?,
        (Value::Local(local, _), _) => local,
        (Value::Instant(at), Start::At(_, zone)) => zone.local(at),
        (Value::Instant(at), Start::Date(_)) => at.naive_utc(),
    };
    Some(local.and_utc())
}

/// When an instance of the series is that a value names.
fn instant(start: Start, value: &Value) -> Option<DateTime<Utc>> {
    match (start, *value) {
        (Start::Date(_), Value::Date(date)) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        (Start::Date(_), Value::Local(local, _)) => Some(local.date().and_time(NaiveTime::MIN).and_utc()),
        (Start::Date(_), Value::Instant(at)) => Some(at.date_naive().and_time(NaiveTime::MIN).and_utc()),
        // The instance of that day.
        (Start::At(_, zone), Value::Date(date)) => zone.instant(date.and_time(start.local().time())),
        (Start::At(_, zone), Value::Local(local, named)) => named.unwrap_or(zone).instant(local),
        (Start::At(..), Value::Instant(at)) => Some(at),
    }
}

fn part<'a>(parts: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests;
