//! Expansion of series: which instances they have, and how `singleEvents=true` shows them.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeZone as _, Utc};
use rrule::{RRuleSet, Tz};
use serde_json::{Value, json};

use crate::feed::Span;

/// Maximum number of instances of a series to consider: Google stops at some number, too.
const MAX_INSTANCES: u16 = u16::MAX;

/// The rule set of a series, including exceptions by date. `None`: not a series, or unreadable.
pub fn rules(event: &Value) -> Option<RRuleSet> {
    let all_day = event["start"].get("date").is_some();
    let start = instant(&event["start"])?;
    let zone = event["start"]["timeZone"].as_str().unwrap_or("UTC");
    let head = match zone.parse::<chrono_tz::Tz>() {
        Ok(tz) if !all_day => format!("DTSTART;TZID={zone}:{}", start.with_timezone(&tz).format("%Y%m%dT%H%M%S")),
        _ => format!("DTSTART:{}", start.format("%Y%m%dT%H%M%SZ")),
    };
    let lines: Vec<String> = event["recurrence"].as_array()?.iter().filter_map(Value::as_str).map(dated).collect();
    if lines.is_empty() {
        return None;
    }
    format!("{head}\n{}", lines.join("\n")).parse().ok()
}

/// Dates of all-day series in the form that the rule set requires: as midnights.
fn dated(line: &str) -> String {
    match (line.split_once("UNTIL="), line.split_once(";VALUE=DATE:")) {
        (Some((front, until)), _) if until.split(';').next().is_some_and(|date| date.len() == 8) => {
            format!("{front}UNTIL={}T235959Z{}", &until[..8], &until[8..])
        }
        (_, Some((name, dates))) => {
            format!("{name}:{}", dates.split(',').map(|date| format!("{date}T000000Z")).collect::<Vec<_>>().join(","))
        }
        _ => line.to_owned(),
    }
}

/// The last start of a finite series.
pub fn last_start(event: &Value) -> Option<DateTime<Utc>> {
    rules(event)?.all(MAX_INSTANCES).dates.iter().max().map(|at| at.with_timezone(&Utc))
}

/// The instances of a series in a window, as separate events, without those that `is_exception` names by ID.
/// `None`: the event is not a series.
pub fn of(event: &Value, window: Span, is_exception: impl Fn(&str) -> bool) -> Option<Vec<Arc<str>>> {
    let rules = rules(event)?;
    let (start, end) = (instant(&event["start"])?, instant(&event["end"])?);
    let length = end - start;
    let at = |millis: i64| Utc.timestamp_millis_opt(millis).single().map(|at| at.with_timezone(&Tz::UTC));
    let rules = match window {
        // An instance that began before the window may extend into it.
        Some((from, to)) => {
            let rules = match at(from.saturating_sub(length.num_milliseconds())) {
                Some(from) => rules.after(from),
                None => rules,
            };
            match at(to) {
                Some(to) => rules.before(to),
                None => rules,
            }
        }
        None => rules,
    };
    let dates = rules.all(MAX_INSTANCES).dates;
    let instances = dates.iter().map(|date| instance(event, date.with_timezone(&Utc), length));
    let selected = instances.filter(|instance| !instance["id"].as_str().is_some_and(&is_exception));
    Some(selected.map(|instance| instance.to_string().into()).collect())
}

fn instance(series: &Value, start: DateTime<Utc>, length: chrono::Duration) -> Value {
    let mut event = series.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("recurrence");
    }
    let id = series["id"].as_str().unwrap_or_default();
    event["recurringEventId"] = json!(id);
    if series["start"].get("date").is_some() {
        event["id"] = json!(format!("{id}_{}", start.format("%Y%m%d")));
        event["start"] = json!({ "date": start.date_naive() });
        event["end"] = json!({ "date": (start + length).date_naive() });
    } else {
        let zone = &series["start"]["timeZone"];
        let tz: chrono_tz::Tz = zone.as_str().and_then(|zone| zone.parse().ok()).unwrap_or(chrono_tz::UTC);
        let when = |at: DateTime<Utc>| json!({ "dateTime": at.with_timezone(&tz).to_rfc3339(), "timeZone": zone });
        event["id"] = json!(format!("{id}_{}", start.format("%Y%m%dT%H%M%SZ")));
        event["start"] = when(start);
        event["end"] = when(start + length);
    }
    event["originalStartTime"] = event["start"].clone();
    event
}

/// A start or an end as an instant; a date begins at midnight in UTC.
pub fn instant(when: &Value) -> Option<DateTime<Utc>> {
    if let Some(at) = when["dateTime"].as_str() {
        return DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc());
    }
    let date: NaiveDate = when["date"].as_str()?.parse().ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(event: &Value, window: Span) -> Vec<String> {
        let instances = of(event, window, |id| id.ends_with("20260406T073000Z")).expect("a series");
        let field = |text: &Arc<str>| {
            let event: Value = serde_json::from_str(text).expect("JSON");
            event["start"]["dateTime"].as_str().or(event["start"]["date"].as_str()).expect("a start").to_owned()
        };
        instances.iter().map(field).collect()
    }

    #[test]
    fn a_series_keeps_its_local_time_and_leaves_out_exceptions_and_dates() {
        let event = json!({ "id": "s", "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=5", "EXDATE;TZID=Europe/Berlin:20260330T093000"],
            "start": { "dateTime": "2026-03-16T09:30:00+01:00", "timeZone": "Europe/Berlin" },
            "end": { "dateTime": "2026-03-16T10:00:00+01:00", "timeZone": "Europe/Berlin" } });
        // Summer time begins on the 29th; the 6th of April has become an exception.
        assert_eq!(starts(&event, None), ["2026-03-16T09:30:00+01:00", "2026-03-23T09:30:00+01:00", "2026-04-13T09:30:00+02:00"]);
    }

    #[test]
    fn an_all_day_series_is_cut_to_the_window() {
        let event = json!({ "id": "s", "recurrence": ["RRULE:FREQ=DAILY", "EXDATE;VALUE=DATE:20260103"],
            "start": { "date": "2026-01-01" }, "end": { "date": "2026-01-02" } });
        let at = |text: &str| DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis();
        let window = Some((at("2026-01-02T12:00:00Z"), at("2026-01-05T12:00:00Z")));
        assert_eq!(starts(&event, window), ["2026-01-02", "2026-01-04", "2026-01-05"]);
    }
}
