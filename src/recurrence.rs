//! Rules of recurring events, as Google writes them (RFC 5545), and the times that they name. Pure.

use chrono::{DateTime, NaiveDate, Utc};
use rrule::{RRuleSet, Tz};

/// When a series begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All day.
    Date(NaiveDate),
    /// At an instant, repeated by the clocks of a zone.
    At(DateTime<Utc>, chrono_tz::Tz),
}

/// The rules of a series; `None` where they cannot be read.
pub fn rules(start: Start, lines: &[String]) -> Option<RRuleSet> {
    let (head, all_day) = match start {
        Start::Date(date) => (format!("DTSTART:{}T000000Z", date.format("%Y%m%d")), true),
        Start::At(at, zone) => {
            (format!("DTSTART;TZID={}:{}", zone.name(), at.with_timezone(&zone).format("%Y%m%dT%H%M%S")), false)
        }
    };
    // An all-day rule has a date as its UNTIL; the set wants it in the form of its start.
    let lines: Vec<String> = lines.iter().map(|line| dated_until(line, all_day)).collect();
    format!("{head}\n{}", lines.join("\n")).parse().ok()
}

/// The times of a series within a span, both ends included; at most `most` of them.
pub fn between(rules: RRuleSet, from: DateTime<Utc>, to: DateTime<Utc>, most: u16) -> Vec<DateTime<Utc>> {
    let found = rules.after(from.with_timezone(&Tz::UTC)).before(to.with_timezone(&Tz::UTC)).all(most);
    found.dates.into_iter().map(|date| date.with_timezone(&Utc)).collect()
}

fn dated_until(line: &str, all_day: bool) -> String {
    if !all_day {
        return line.to_owned();
    }
    line.split(';')
        .map(|part| match part.split_once("UNTIL=") {
            Some((head, date)) if date.len() == 8 => format!("{head}UNTIL={date}T235959Z"),
            _ => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(";")
        .replace("EXDATE;VALUE=DATE:", "EXDATE:")
        .replace("RDATE;VALUE=DATE:", "RDATE:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().expect("a time")
    }

    #[test]
    fn a_series_keeps_to_the_clocks_of_its_zone_and_leaves_out_what_it_says() {
        let start = Start::At(at("2026-03-16T09:00:00Z"), chrono_tz::Europe::Berlin);
        let lines = ["RRULE:FREQ=WEEKLY", "EXDATE;TZID=Europe/Berlin:20260323T100000"].map(str::to_owned);
        let rules = rules(start, &lines).expect("rules");
        let found = between(rules, at("2026-03-16T09:00:00Z"), at("2026-03-30T08:00:00Z"), 10);
        assert_eq!(found, [at("2026-03-16T09:00:00Z"), at("2026-03-30T08:00:00Z")]);
    }

    #[test]
    fn rules_that_make_no_sense_are_none() {
        let start = Start::At(at("2026-03-16T09:00:00Z"), chrono_tz::UTC);
        assert!(rules(start, &["RRULE:FREQ=SOMETIMES".to_owned()]).is_none());
    }
}
