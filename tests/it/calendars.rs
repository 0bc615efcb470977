//! Which calendars are followed, real calendar files, and Google's own limits.

use chrono::{TimeDelta, Utc};
use serde_json::json;

use crate::support::World;

fn followed(world: &World) -> Vec<String> {
    world.texts("SELECT resource FROM streams WHERE kind = 'events' AND state <> 'removed' ORDER BY resource")
}

#[test]
fn calendars_come_and_go_with_their_selection() {
    let world = World::empty();
    let (ann, holidays) = ("ann@example.com", "en.usa#holiday@group.v.calendar.google.com");
    world.sim.admin("users", json!({ "email": ann }));
    let select = |selected: bool| {
        world.sim.admin("calendars", json!({ "user": ann, "id": holidays, "summary": "Holidays", "selected": selected }))
    };
    select(false);
    let (start, end) = (Utc::now().date_naive(), Utc::now().date_naive() + TimeDelta::days(1));
    let event = json!({ "id": "thanksgiving", "start": { "date": start }, "end": { "date": end } });
    world.sim.admin("events", json!({ "user": ann, "calendar": holidays, "event": event }));
    world.import();
    world.sync_all().expect(0);
    assert_eq!(followed(&world), [ann]);
    select(true);
    world.sync_all().expect(0);
    assert_eq!(followed(&world), [ann, holidays]);
    // An ID with a # in it reaches the right calendar, and an all-day event keeps its dates.
    let row = &world.query("SELECT calendar_id, start_date::text, end_date::text, start_at IS NULL FROM calendar_events")[0];
    let row: (String, String, String, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(row, (holidays.into(), start.to_string(), end.to_string(), true));
    select(false);
    world.sync_all().expect(0);
    assert_eq!(followed(&world), [ann]);
    select(true);
    world.sync_all().expect(0);
    assert_eq!(followed(&world), [ann, holidays]);
}

#[test]
fn a_configured_list_of_calendars_is_followed_and_no_other() {
    let mut world = World::empty();
    world.sim.admin("users", json!({ "email": "ann@example.com" }));
    for id in ["team@group.calendar.google.com", "other@group.calendar.google.com"] {
        world.sim.admin("calendars", json!({ "user": "ann@example.com", "id": id, "selected": true }));
    }
    world.set("SYNCCTL_CALENDAR_CALENDARS", "primary, team@group.calendar.google.com");
    world.import();
    world.sync_all().expect(0);
    assert_eq!(followed(&world), ["ann@example.com", "team@group.calendar.google.com"]);
}

#[test]
fn a_takeout_folder_is_synced_with_its_series_zones_and_exceptions() {
    let mut world = World::empty();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/google-sim/data/takeout");
    let loaded = world.sim.admin("load", json!({ "path": folder }));
    assert_eq!((&loaded["events"], &loaded["skipped"]["no DTSTART"]), (&json!(7), &json!(1)), "{loaded}");
    // The samples have fixed dates: the first pass looks back far enough.
    world.set("SYNCCTL_CALENDAR_WINDOW_PAST", "36500days");
    world.import();
    world.sync_all().expect(0);
    let one = |columns: &str, summary: &str| -> String {
        let rows = world
            .query(&format!("SELECT ({columns})::text FROM calendar_events WHERE summary = '{summary}' AND deleted_at IS NULL"));
        rows.first().unwrap_or_else(|| panic!("no {summary}")).get(0)
    };
    assert_eq!(
        one("raw ->> 'recurrence'", "Standup"),
        r#"["RRULE:FREQ=WEEKLY;BYDAY=MO", "EXDATE;TZID=Europe/Berlin:20260406T093000"]"#
    );
    assert_eq!(one("original_start_at AT TIME ZONE 'UTC'", "Standup (late)"), "2026-11-30 08:30:00");
    assert_eq!(one("start_at AT TIME ZONE 'UTC'", "Standup (late)"), "2026-11-30 10:00:00");
    assert_eq!(one("end_date - start_date", "Weihnachten – geschlossen"), "3");
    assert_eq!(one("end_at - start_at", "Design review"), "01:30:00");
    // Outlook's name of a zone is unknown elsewhere: the calendar's own zone counts.
    assert_eq!(one("start_at AT TIME ZONE 'UTC'", "Dinner"), "2026-12-02 23:00:00");
    assert_eq!(world.rows("calendar_events WHERE status = 'cancelled' AND recurring_event_id IS NOT NULL"), 1);
    let rules = world.query("SELECT m.title, m.detected_by, m.link_kind FROM meetings m ORDER BY m.title");
    let rules: Vec<(String, String, Option<String>)> = rules.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(
        rules,
        [
            ("Design review".into(), "location".into(), Some("zoom".into())),
            ("Standup".into(), "description".into(), Some("google_meet".into())),
            ("Standup (late)".into(), "title".into(), None),
        ]
    );
}

#[test]
fn empty_pages_that_carry_a_token_are_followed_to_the_end() {
    let mut world = World::with_users(3, 20);
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "7");
    world.sim.admin("empty_pages", json!({ "probability": 1.0 }));
    world.sync_all().expect(0);
    world.assert_in_step();
    world.sim.churn(20, 2);
    world.sync_all().expect(0);
    world.assert_in_step();
    let idle = world.sync_all().expect(0).json();
    assert_eq!(idle["failed_streams"], 0);
}

#[test]
fn a_limit_of_google_is_waited_out_and_never_blamed_on_an_item() {
    let mut world = World::with_users(4, 10);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.sim.admin("quota", json!({ "project_per_minute": 5 }));
    let run = world.sync_all();
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.json()["errors"]["rate_limited"]["count"].as_u64() > Some(0));
    world.sim.admin("quota", json!({}));
    world.sync_all().expect(0);
    world.assert_in_step();
    assert_eq!(world.quarantined(), 0);
}

#[test]
fn tokens_that_google_forgot_are_refreshed_once_each() {
    let world = World::with_users(6, 3);
    world.sync_all().expect(0);
    world.sim.admin("clock", json!({ "advance": 7200 }));
    world.sim.reset_ledger();
    let report = world.sync_all().expect(0).json();
    assert_eq!(report["failed_streams"], 0);
    assert_eq!(world.sim.ledger()["oauth"]["refreshes"], 6, "{}", world.sim.ledger()["oauth"]);
}

/// Serves an event unchanged to the first user.
fn serve(world: &World, event: &serde_json::Value) {
    let user = world.first_user();
    world.sim.admin("events", json!({ "user": user, "calendar": "primary", "raw": event.to_string() }));
}

/// The time this many hours from now.
fn hours(hours: i64) -> String {
    (Utc::now() + TimeDelta::hours(hours)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The live events and their titles.
fn titles(world: &World) -> Vec<(String, Option<String>)> {
    let rows = world.query("SELECT event_id, summary FROM calendar_events WHERE deleted_at IS NULL ORDER BY event_id");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn an_invitation_to_one_instance_outlives_the_series_it_is_of() {
    for page_size in ["1", "100"] {
        let mut world = World::with_users(1, 0);
        world.set("SYNCCTL_CALENDAR_PAGE_SIZE", page_size);
        let series = |status: &str, updated: &str| {
            json!({ "id": "series", "status": status, "etag": updated, "updated": updated, "start": { "dateTime": hours(24), "timeZone": "UTC" },
                "end": { "dateTime": hours(25), "timeZone": "UTC" }, "recurrence": ["RRULE:FREQ=DAILY"] })
        };
        let instance = |id: &str, updated: &str| {
            json!({ "id": id, "status": "confirmed", "etag": updated, "updated": updated, "recurringEventId": "series",
                "start": { "dateTime": hours(50) }, "end": { "dateTime": hours(51) }, "originalStartTime": { "dateTime": hours(48) } })
        };
        serve(&world, &series("confirmed", "2026-01-01T00:00:00Z"));
        serve(&world, &instance("series_old", "2026-01-01T00:00:00Z"));
        world.sync_all().expect(0);
        // Its deletion may arrive before the invitation, or after it.
        serve(&world, &instance("series_before", "2026-01-03T00:00:00Z"));
        serve(&world, &series("cancelled", "2026-01-02T00:00:00Z"));
        serve(&world, &instance("series_behind", "2026-01-03T00:00:00Z"));
        world.sync_all().expect(0);
        let live: Vec<String> = titles(&world).into_iter().map(|(id, _)| id).collect();
        assert_eq!(live, ["series_before", "series_behind"], "with {page_size} events a page");
    }
}

#[test]
fn a_change_is_taken_though_its_etag_is_the_same_or_its_time_is_older() {
    let world = World::with_users(1, 0);
    let event = |title: &str, updated: &str, etag: &str| {
        json!({ "id": "e", "status": "confirmed", "etag": etag, "summary": title, "updated": updated,
            "start": { "dateTime": hours(24) }, "end": { "dateTime": hours(25) } })
    };
    let is = |title: &str| vec![("e".to_owned(), Some(title.to_owned()))];
    serve(&world, &event("one", "2026-01-02T00:00:00Z", "1"));
    world.sync_all().expect(0);
    serve(&world, &event("a meeting", "2026-01-02T00:00:00Z", "1"));
    world.sync_all().expect(0);
    assert_eq!(titles(&world), is("a meeting"));
    assert_eq!(world.rows("meetings"), 1, "it is a meeting by its title now");
    // A full pass names everything, changed or not: there the etag decides, since some of Google's fields differ each time.
    let mut signed = event("a meeting", "2026-01-02T00:00:00Z", "1");
    signed["conferenceData"] = json!({ "signature": "another each time" });
    serve(&world, &signed);
    world.expire();
    let events = &world.sync_all().expect(0).json()["changes"]["events"];
    assert_eq!((&events["updated"], &events["unchanged"]), (&json!(0), &json!(1)), "{events}");
    // As for a calendar fed from a restored file: in a complete pass, and in one that follows a token.
    serve(&world, &event("three", "2026-01-01T00:00:00Z", "2"));
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(titles(&world), is("three"));
    serve(&world, &event("four", "2025-12-01T00:00:00Z", "3"));
    world.sync_all().expect(0);
    assert_eq!(titles(&world), is("four"));
}
