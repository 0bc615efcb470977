//! Series, zones and fields as calendar programs write them and Google stores them: each of `tests/cases/cal-*.json` with the real binary.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, Duration, Months, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Europe::Warsaw;
use regex::Regex;
use serde_json::{Value, json};

use crate::bots::ground::{ANN, bots, counts, schedule, world};
use crate::support::World;

/// The first day of the week before the cases.
fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 28).expect("a date")
}

/// A number of whole weeks that puts the cases' first day in the future, still on a Monday.
fn shift() -> Duration {
    let ahead = (Utc::now().date_naive() + Duration::days(1) - first_day()).num_days();
    Duration::days((ahead.div_euclid(7) + 1) * 7)
}

fn case(name: &str) -> Value {
    let path = format!("{}/tests/cases/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).expect("JSON")
}

/// A local time in Warsaw, as an instant.
fn warsaw(local: NaiveDateTime) -> DateTime<chrono_tz::Tz> {
    Warsaw.from_local_datetime(&local).earliest().expect("a time that Warsaw's clocks show")
}

/// A case, shifted to the present.
fn shifted(name: &str) -> Value {
    let mut event = case(name);
    for field in ["start", "end"] {
        let local =
            event[field]["dateTime"].as_str().map(|time| time[..19].parse::<NaiveDateTime>()).expect("a time").expect("a time");
        event[field]["dateTime"] = json!(warsaw(local + shift()).to_rfc3339());
    }
    let dates = Regex::new(r"\b\d{8}").expect("a pattern");
    for line in event["recurrence"].as_array_mut().expect("a series") {
        let moved = dates.replace_all(line.as_str().expect("a line"), |captures: &regex::Captures<'_>| {
            let date = NaiveDate::parse_from_str(&captures[0], "%Y%m%d").expect("a date");
            (date + shift()).format("%Y%m%d").to_string()
        });
        *line = json!(moved);
    }
    event
}

/// Puts an event unchanged into Ann's calendar and schedules her bots for two weeks of the cases.
fn bots_of(event: &Value) -> (World, BTreeSet<DateTime<Utc>>) {
    let mut world = world();
    let until = warsaw((first_day() + shift() + Duration::days(15)).and_hms_opt(0, 0, 0).expect("midnight"));
    world.set("SYNCCTL_ATTENDEE_WINDOW", format!("{}s", (until.to_utc() - Utc::now()).num_seconds()));
    serve(&world, event);
    schedule(&world);
    let times = bots(&world).into_iter().map(|bot| {
        bot["join_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok()).expect("a time") + Duration::minutes(2)
    });
    let times = times.collect();
    (world, times)
}

fn serve(world: &World, event: &Value) {
    world.sim.admin("events", json!({ "user": ANN, "calendar": "primary", "raw": event.to_string() }));
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
}

#[test]
fn a_series_is_read_as_google_shows_it_however_it_is_written() {
    let table: [(&str, &[&str]); 8] = [
        ("cal-until-date", &["2026-11-30", "2026-12-07"]),
        ("cal-until-local", &["2026-11-30", "2026-12-07"]),
        ("cal-x-evolution", &["2026-11-28", "2026-11-29", "2026-11-30", "2026-12-01", "2026-12-02"]),
        ("cal-rrule-date", &["2026-12-02", "2026-12-04"]),
        ("cal-exdate-windows-tzid", &["2026-12-07"]),
        ("cal-windows-timezone-series", &["2026-11-30", "2026-12-07"]),
        ("cal-weekly-1mo", &["2026-11-30", "2026-12-07"]),
        // Like the first, in a zone of which only the offset is known.
        ("cal-until-date", &["2026-11-30", "2026-12-07"]),
    ];
    for (index, (name, days)) in table.iter().enumerate() {
        let mut event = shifted(name);
        let mut at: Box<dyn Fn(NaiveDateTime) -> DateTime<Utc>> = Box::new(|local| warsaw(local).to_utc());
        if index == table.len() - 1 {
            event["start"]["timeZone"] = json!("Customized Time Zone");
            let start = DateTime::parse_from_rfc3339(event["start"]["dateTime"].as_str().expect("a time")).expect("a time");
            let offset = *start.offset();
            at = Box::new(move |local| offset.from_local_datetime(&local).earliest().expect("a time").to_utc());
        }
        let expected: BTreeSet<DateTime<Utc>> = days
            .iter()
            .map(|day| at((day.parse::<NaiveDate>().expect("a date") + shift()).and_hms_opt(9, 0, 0).expect("nine o'clock")))
            .collect();
        let (world, mut times) = bots_of(&event);
        // Earlier days belong to no case.
        times.retain(|time| *time >= warsaw((first_day() + shift()).and_hms_opt(0, 0, 0).expect("midnight")));
        assert_eq!(times, expected, "{name}: {event}");
        assert_eq!(world.rows("calendar_events WHERE unread IS NOT NULL"), 0, "{name}");
    }
}

#[test]
fn a_yearly_series_by_the_day_of_a_month_takes_place_once_a_year() {
    let today = Utc::now().date_naive();
    let due = (3..).map(|days| today + Duration::days(days)).find(|day| day.day() <= 28).expect("a day");
    for (month_before, expected) in [(0, 1), (1, 0)] {
        let begun = due - Months::new(12 + month_before);
        let mut event = case("cal-yearly-bymonthday");
        for (field, minutes) in [("start", 0), ("end", 30)] {
            event[field]["dateTime"] = json!(warsaw(begun.and_hms_opt(9, minutes, 0).expect("a time")).to_rfc3339());
        }
        event["recurrence"] = json!([format!("RRULE:FREQ=YEARLY;BYMONTHDAY={}", due.day())]);
        let (_, times) = bots_of(&event);
        assert_eq!(times.len(), expected, "{event}: {times:?}");
    }
}

#[test]
fn an_unreadable_rule_is_counted_and_named_until_it_can_be_read() {
    let world = world();
    let mut event = shifted("cal-until-date");
    event["recurrence"] = json!(["RRULE:FREQ=SOMETIMES"]);
    serve(&world, &event);
    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    assert_eq!(status["unread"], json!({ "events": 1, "series": 1, "users": 1, "first": [ANN] }));
    let shown = world.syncctl(&["status"]).expect(0).stdout;
    assert!(shown.contains("1 are recurring meetings whose rule cannot be parsed") && shown.contains(ANN), "{shown}");
    let doctor = world.syncctl(&["doctor"]).stdout;
    assert!(doctor.contains("1 are recurring meetings whose rule cannot be parsed"), "{doctor}");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 0]);
    event["recurrence"] = json!(["RRULE:FREQ=DAILY"]);
    event["etag"] = json!("\"2\"");
    serve(&world, &event);
    assert_eq!(world.syncctl(&["status", "--json"]).expect(0).json()["unread"]["events"], 0);
}

#[test]
fn a_character_that_no_table_takes_is_replaced_and_the_meeting_gets_its_bot() {
    let mut event = case("cal-nul-icaluid");
    for (field, minutes) in [("start", 60), ("end", 90)] {
        event[field] = json!({ "dateTime": (Utc::now() + Duration::minutes(minutes)).to_rfc3339(), "timeZone": "Europe/Warsaw" });
    }
    event["summary"] = json!("Plan\u{0}ning");
    event["extendedProperties"] = json!({ "private": { "a\u{0}b": ["\u{0}"] } });
    let (world, times) = bots_of(&event);
    assert_eq!(times.len(), 1);
    assert_eq!(world.text("SELECT ical_uid FROM calendar_events"), "\u{fffd}\u{fffd}4\u{b}\u{4}@x");
    assert_eq!(world.text("SELECT title FROM meetings"), "Plan\u{fffd}ning");
    assert_eq!(world.quarantined(), 0);
    // A calendar's entry is text like any other.
    world.sim.admin("calendars", json!({ "user": ANN, "id": "odd@group.calendar.google.com", "summary": "x\u{0}y", "selected": true, "time_zone": "W. Europe Standard Time" }));
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert_eq!(
        world.text("SELECT summary || ' ' || time_zone FROM calendars WHERE NOT is_primary"),
        "x\u{fffd}y W. Europe Standard Time"
    );
}

#[test]
fn errors_in_events_are_described_and_events_with_harmless_ones_are_kept() {
    let world = world();
    let tomorrow = (Utc::now() + Duration::days(1)).to_rfc3339();
    let event = |id: &str, field: &str, value: Value| {
        let mut event = json!({ "id": id, "etag": "\"1\"", "status": "confirmed", "updated": "2026-01-01T00:00:00Z",
            "summary": "Planning", "start": { "dateTime": tomorrow }, "end": { "dateTime": tomorrow } });
        event[field] = value;
        event
    };
    let wrong = [
        ("a", "start", json!({ "dateTime": "2026-13-40T09:00:00Z" }), r#"start.dateTime: "2026-13-40T09:00:00Z" is not a time"#),
        ("b", "start", json!({ "date": "2026-02-30" }), r#"start.date: "2026-02-30" is not a date"#),
        ("c", "originalStartTime", json!({ "dateTime": 5 }), "originalStartTime.dateTime: 5 is not a time"),
        ("d", "recurrence", json!("RRULE:FREQ=DAILY"), r#"recurrence: "RRULE:FREQ=DAILY" is not a list"#),
    ];
    let kept = [
        ("k", "updated", json!("2026-13-40T09:00:00Z"), "updated"),
        ("l", "end", json!({ "dateTime": "soon" }), "end.dateTime"),
        ("m", "attendees", json!(5), "attendees"),
    ];
    for (id, field, value, _) in wrong.iter().chain(&kept) {
        world
            .sim
            .admin("events", json!({ "user": ANN, "calendar": "primary", "raw": event(id, field, value.clone()).to_string() }));
    }
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    let rows = |statement: &str| -> Vec<(String, String)> {
        world.query(statement).iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let expected: Vec<(String, String)> = wrong.iter().map(|(id, _, _, expected)| ((*id).into(), (*expected).into())).collect();
    assert_eq!(rows("SELECT item_id, error FROM quarantined_items ORDER BY item_id"), expected);
    let named: Vec<(String, String)> = kept.iter().map(|(id, _, _, name)| ((*id).into(), (*name).into())).collect();
    assert_eq!(rows("SELECT event_id, array_to_string(unread, ',') FROM calendar_events ORDER BY event_id"), named);
    let listed = world.syncctl(&["items", "list"]).expect(0).stdout;
    assert!(listed.contains("is not a time"), "{listed}");
}
