//! Rules of recurring events, as Google writes them (RFC 5545), and the times that they name. Pure.

use chrono::{DateTime, NaiveDate, Utc};
use rrule::RRuleSet;

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
    At(DateTime<Utc>, chrono_tz::Tz),
}

/// The rules of a series; `None` where they cannot be read.
pub fn rules(start: Start, lines: &[String]) -> Option<RRuleSet> {
    if lines.iter().any(|line| times_of_a_day(line) > MOST_TIMES) {
        return None;
    }
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

/// The times of a series within a span, both ends included; at most `most` of them. `None`: they lie too many instances behind its start.
pub fn between(rules: RRuleSet, from: DateTime<Utc>, to: DateTime<Utc>, most: usize) -> Option<Vec<DateTime<Utc>>> {
    let mut found = Vec::new();
    let rules = rules.limit();
    for (step, date) in rules.into_iter().map(|date| date.with_timezone(&Utc)).enumerate() {
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

/// How many times a day a rule names, by its lists of hours, minutes and seconds.
fn times_of_a_day(line: &str) -> usize {
    let parts = line.split([';', ':']).filter_map(|part| part.split_once('='));
    let lists = parts.filter(|(name, _)| ["BYHOUR", "BYMINUTE", "BYSECOND"].iter().any(|list| name.eq_ignore_ascii_case(list)));
    lists.map(|(_, list)| list.split(',').count()).product()
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
        let (from, to) = (at("2026-03-16T09:00:00Z"), at("2026-03-30T08:00:00Z"));
        assert_eq!(between(rules.clone(), from, to, 10), Some(vec![from, to]));
        assert_eq!(between(rules, from, to, 1), Some(vec![from]));
    }

    #[test]
    fn a_series_of_a_lifetime_is_read_and_one_of_every_minute_is_walked_over_for_a_while_only() {
        let (from, to) = (at("2026-03-16T09:00:00Z"), at("2026-03-17T08:00:00Z"));
        let found = |start: &str, rule: &str| {
            let rules = rules(Start::At(at(start), chrono_tz::UTC), &[rule.to_owned()]).expect("rules");
            between(rules, from, to, 1)
        };
        assert_eq!(found("1926-01-01T09:00:00Z", "RRULE:FREQ=DAILY"), Some(vec![from]));
        assert_eq!(found("2026-01-01T09:00:00Z", "RRULE:FREQ=HOURLY"), Some(vec![from]));
        assert_eq!(found("2025-01-01T09:00:00Z", "RRULE:FREQ=MINUTELY"), None);
        assert_eq!(found("2025-01-01T09:00:00Z", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"), Some(vec![]));
    }

    #[test]
    fn rules_that_make_no_sense_are_none() {
        let start = Start::At(at("2026-03-16T09:00:00Z"), chrono_tz::UTC);
        let many: Vec<String> = (0..60).map(|minute| minute.to_string()).collect();
        let fine = format!("RRULE:FREQ=YEARLY;BYDAY=MO;BYHOUR=9,17;BYMINUTE={}", many.join(","));
        for rule in ["RRULE:FREQ=SOMETIMES", &fine] {
            assert!(rules(start, &[rule.to_owned()]).is_none(), "{rule}");
        }
        assert!(rules(start, &["RRULE:FREQ=DAILY;BYHOUR=9,13,17".to_owned()]).is_some());
    }
}
