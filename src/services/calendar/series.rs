//! When a recurring series ends, to determine which series a bounded pass must have listed. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::event::Event;

/// Maximum number of instances examined; the end of a longer finite series is unknown.
const MAX_INSTANCES: u16 = 10_000;

/// Whether a series has an instance that ends after `from`. False if its rule cannot be parsed: its absence proves nothing.
pub fn reaches(event: &Event, from: DateTime<Utc>) -> bool {
    let endless = |line: &String| {
        let upper = line.to_uppercase();
        upper.starts_with("RRULE") && upper.contains("FREQ=") && !upper.contains("UNTIL=") && !upper.contains("COUNT=")
    };
    event.recurrence.iter().any(endless) || last_end(event).is_some_and(|end| end > from)
}

/// The end of the last instance of a finite series.
fn last_end(event: &Event) -> Option<DateTime<Utc>> {
    let start = event.start.as_ref()?;
    let length = match (start.date, start.instant()) {
        (Some(date), _) => TimeDelta::days(event.end.as_ref().and_then(|end| end.date).map_or(1, |end| (end - date).num_days())),
        (None, Some(at)) => event.end.as_ref().and_then(|end| end.instant()).map_or_else(TimeDelta::zero, |end| end - at),
        (None, None) => return None,
    };
    let last = event.rules(None)?.last(MAX_INSTANCES)?;
    Some(last.checked_add_signed(length).unwrap_or(DateTime::<Utc>::MAX_UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        serde_json::from_str(json).expect("an event")
    }

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().expect("a time")
    }

    #[test]
    fn an_endless_series_reaches_every_window() {
        let event = event(
            r#"{"id":"a","start":{"dateTime":"2026-01-05T10:00:00+01:00","timeZone":"Europe/Berlin"},"recurrence":["RRULE:FREQ=WEEKLY"]}"#,
        );
        assert!(reaches(&event, at("2199-01-01T00:00:00Z")));
    }

    #[test]
    fn a_series_with_count_ends_with_its_last_instance_in_its_zone() {
        // The third week is after the change to summer time.
        let event = event(
            r#"{"id":"a","start":{"dateTime":"2026-03-16T10:00:00+01:00","timeZone":"Europe/Berlin"},
                "end":{"dateTime":"2026-03-16T11:00:00+01:00","timeZone":"Europe/Berlin"},"recurrence":["RRULE:FREQ=WEEKLY;COUNT=3"]}"#,
        );
        assert_eq!(last_end(&event), Some(at("2026-03-30T09:00:00Z")));
        assert!(reaches(&event, at("2026-03-30T08:59:00Z")));
        assert!(!reaches(&event, at("2026-03-30T09:01:00Z")));
    }

    #[test]
    fn an_all_day_series_with_a_dated_until_is_read() {
        let event = event(
            r#"{"id":"a","start":{"date":"2026-01-01"},"end":{"date":"2026-01-02"},"recurrence":["RRULE:FREQ=DAILY;UNTIL=20260105"]}"#,
        );
        assert_eq!(last_end(&event), Some(at("2026-01-06T00:00:00Z")));
    }

    #[test]
    fn an_end_beyond_the_representable_range_counts_as_an_end() {
        let event = event(
            r#"{"id":"a","start":{"dateTime":"2026-03-16T10:00:00Z"},"end":{"dateTime":"+262142-12-31T00:00:00Z"},"recurrence":["RRULE:FREQ=DAILY;COUNT=3"]}"#,
        );
        assert!(reaches(&event, at("2199-01-01T00:00:00Z")));
    }

    #[test]
    fn a_list_of_dates_ends_with_its_last_date() {
        let event = event(
            r#"{"id":"a","start":{"dateTime":"2026-03-16T10:00:00Z"},"end":{"dateTime":"2026-03-16T11:00:00Z"},"recurrence":["RRULE:DATE:20260320T100000Z"]}"#,
        );
        assert!(reaches(&event, at("2026-03-20T10:59:00Z")));
        assert!(!reaches(&event, at("2026-03-20T11:01:00Z")));
    }

    #[test]
    fn an_unreadable_rule_proves_nothing() {
        let event = event(r#"{"id":"a","start":{"date":"2026-01-01"},"recurrence":["RRULE:FREQ=SOMETIMES;COUNT=3"]}"#);
        assert!(!reaches(&event, at("2026-01-01T00:00:00Z")));
    }
}
