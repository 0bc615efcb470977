//! Rules of recurring events (RFC 5545, and variants that Google accepts), and the resulting times. Pure.

mod line;
mod skip;

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use rrule::{RRule, RRuleSet, Unvalidated};

use crate::zone::Zone;
use line::{Line, Value};

/// Maximum number of instances examined before a series counts as unreadable: two centuries of daily ones. Otherwise an invitation to a series
/// with an instance every second would delay all others for minutes.
const MAX_STEPS: usize = 75_000;
/// Maximum number of times per day in a rule. Rules are expanded year by year, and more times would exhaust the memory.
const MAX_TIMES: usize = 24;

/// The start of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All day.
    Date(NaiveDate),
    /// At an instant, repeated in the local time of a zone.
    At(DateTime<Utc>, Zone),
}

impl Start {
    /// A start at an instant, in the zone with this name, or with this offset if the name is unknown.
    pub fn at(at: DateTime<Utc>, zone: Option<&str>, offset: Option<FixedOffset>) -> Option<Self> {
        Some(Self::At(at, Zone::of(zone, offset)?))
    }

    /// The local time.
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
    /// In a named zone if there is one; otherwise in UTC, with local times taken as UTC.
    set: RRuleSet,
    /// The offset of these local times from UTC; zero for a named zone.
    shift: TimeDelta,
}

/// Parses the rules of a series; `None` if they cannot be parsed. Times before `near` may be left out, which saves stepping through the years since a
/// series began.
pub fn rules(start: Start, lines: &[String], near: Option<DateTime<Utc>>) -> Option<Rules> {
    let lines = lines.iter().map(|line| line::read(line)).collect::<Option<Vec<_>>>()?;
    let begins = near.and_then(|near| skip::near(start, only_rule(&lines)?, near)).unwrap_or(start);
    let (tz, shift) = match start {
        Start::Date(_) => (rrule::Tz::UTC, TimeDelta::zero()),
        Start::At(_, Zone::Place(tz)) => (tz.into(), TimeDelta::zero()),
        Start::At(_, Zone::Offset(offset)) => (rrule::Tz::UTC, TimeDelta::seconds(offset.local_minus_utc().into())),
    };
    let shifted = |at: DateTime<Utc>| Some(at.checked_add_signed(shift)?.with_timezone(&tz));
    let first = match begins {
        Start::Date(date) => shifted(date.and_time(NaiveTime::MIN).and_utc())?,
        Start::At(at, _) => shifted(at)?,
    };
    let mut set = RRuleSet::new(first);
    let mut repeats = false;
    for line in lines {
        match line {
            Line::Rule(parts) => {
                repeats = true;
                if let Some(rule) = rule(begins, &parts)? {
                    set = set.rrule(rule.validate(first).ok()?);
                }
            }
            Line::Exception(parts) => {
                // The library steps through exceptions without a limit: one every minute would mean millions of steps.
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
    // A series that only lists dates also takes place at its start.
    Some(Rules { set: if repeats { set } else { set.rdate(first) }, shift })
}

impl Rules {
    /// The times of a series within a span, both ends included; at most `max` of them. `None`: they are too many instances after its start.
    pub fn between(self, from: DateTime<Utc>, to: DateTime<Utc>, max: usize) -> Option<Vec<DateTime<Utc>>> {
        let mut times = Vec::new();
        let shift = self.shift;
        for (step, date) in self.set.limit().into_iter().enumerate() {
            let date = date.to_utc() - shift;
            if date > to || times.len() == max {
                break;
            }
            if step == MAX_STEPS {
                return None;
            }
            if date >= from {
                times.push(date);
            }
        }
        Some(times)
    }

    /// The last time of a series, if it has at most `max` of them.
    pub fn last(self, max: u16) -> Option<DateTime<Utc>> {
        let shift = self.shift;
        let instances = self.set.all(max);
        let last = instances.dates.iter().max().filter(|_| !instances.limited)?;
        Some(last.to_utc() - shift)
    }
}

/// The rule of a set that has no other and no exceptions by rule: only such a set can begin later.
fn only_rule(lines: &[Line]) -> Option<&[(String, String)]> {
    let mut rules = lines.iter().filter(|line| matches!(line, Line::Rule(_) | Line::Exception(_)));
    match (rules.next(), rules.next()) {
        (Some(Line::Rule(parts)), None) => Some(parts),
        _ => None,
    }
}

/// Converts a rule for the library. `Some(None)`: it ends before it starts.
fn rule(start: Start, parts: &[(String, String)]) -> Option<Option<RRule<Unvalidated>>> {
    let frequency = part(parts, "FREQ")?;
    let has = |names: &[&str]| names.iter().any(|name| part(parts, name).is_some());
    let times = ["BYHOUR", "BYMINUTE", "BYSECOND"].iter().filter_map(|name| part(parts, name));
    if times.map(|list| list.split(',').count()).product::<usize>() > MAX_TIMES {
        return None;
    }
    // The number of a weekday, as in `1MO`, is meaningful only within a month or a year.
    let counts_weekdays = matches!(frequency, "MONTHLY" | "YEARLY") && !has(&["BYWEEKNO"]);
    let mut written = Vec::new();
    for (name, value) in parts {
        // The library slices by bytes and panics within a character. RFC 5545 has non-ASCII characters only in ignored parts.
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
    // Google repeats this once a year; RFC 5545 would repeat it every month.
    if frequency == "YEARLY" && has(&["BYMONTHDAY"]) && !has(&["BYMONTH", "BYDAY", "BYYEARDAY", "BYWEEKNO"]) {
        written.push(format!("BYMONTH={}", start.local().month()));
    }
    written.join(";").parse().ok().map(Some)
}

/// The last moment of a rule, in the local time of its start. A date includes the whole day; a time without a zone is local.
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

/// The instant of the instance that a value refers to.
fn instant(start: Start, value: &Value) -> Option<DateTime<Utc>> {
    match (start, *value) {
        (Start::Date(_), Value::Date(date)) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        (Start::Date(_), Value::Local(local, _)) => Some(local.date().and_time(NaiveTime::MIN).and_utc()),
        (Start::Date(_), Value::Instant(at)) => Some(at.date_naive().and_time(NaiveTime::MIN).and_utc()),
        // The instance on that day.
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
