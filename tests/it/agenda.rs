//! `calendar agenda` and `calendar freebusy` say what Google would, in the reader's time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, NaiveDate, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::instances::{Client, accounts};
use crate::support::World;
use crate::support::sim::field;

pub const ZONE: Tz = Tz::Europe__Berlin;

/// The first moment of a day.
pub fn begins(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    zone.from_local_datetime(&day.and_hms_opt(0, 0, 0).expect("midnight")).earliest().expect("a time").to_utc()
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("a time, not {value}")).parse().expect("a time")
}

/// Start and end of an event that a client reads; days begin in the zone of the calendar.
pub fn times(calendar: &Value, event: &Value) -> (DateTime<Utc>, DateTime<Utc>) {
    let zone: Tz = calendar["timeZone"].as_str().map_or(Tz::UTC, |name| name.parse().expect("a zone"));
    let time = |when: &Value| match when["date"].as_str() {
        Some(day) => begins(day.parse().expect("a date"), zone),
        None => instant(&when["dateTime"]),
    };
    (time(&event["start"]), time(&event["end"]))
}

/// Eight weeks from today, in the zone of the reader.
fn weeks() -> (NaiveDate, NaiveDate) {
    let today = Utc::now().with_timezone(&ZONE).date_naive();
    (today, today + Duration::days(55))
}

#[test]
fn an_agenda_has_the_events_that_google_shows_for_these_days() {
    let world = World::with_users(3, 80);
    world.sync_all().expect(0);
    let (first, last) = weeks();
    let (from, until) = (begins(first, ZONE), begins(last + Duration::days(1), ZONE));
    let mut compared = 0;
    for account in accounts(&world) {
        let email = field(&account, "email");
        let shown = Client { world: &world, from, until }.events(&account);
        let shown: BTreeMap<String, _> =
            shown.iter().map(|(calendar, event)| (field(event, "id"), times(calendar, event))).collect();
        compared += shown.len();
        let (from, to) = (first.to_string(), last.to_string());
        let arguments = ["calendar", "agenda", &email, "--from", &from, "--to", &to, "--zone", ZONE.name()];
        let agenda = world.syncctl(&[&arguments[..], &["--json"]].concat()).expect(0).json();
        let events = agenda["events"].as_array().expect("events").iter();
        let events: BTreeMap<String, _> =
            events.map(|event| (field(event, "instance_id"), (instant(&event["start"]), instant(&event["end"])))).collect();
        assert_eq!(events, shown);
        let text = world.syncctl(&arguments).expect(0).stdout;
        assert!(
            text.contains(&format!("{} to {}, times in Europe/Berlin", first.format("%a %F"), last.format("%a %F"))),
            "{text}"
        );
        assert_eq!(text.lines().count(), shown.len() + 3, "{text}");
    }
    assert!(compared > 30, "{compared} events are too few to compare");
}

/// The minutes in which someone is busy, of a span.
fn minutes(from: DateTime<Utc>, (start, end): (DateTime<Utc>, DateTime<Utc>), until: DateTime<Utc>) -> Vec<i64> {
    ((start.max(from) - from).num_minutes()..(end.min(until) - from).num_minutes()).collect()
}

#[test]
fn busy_times_are_those_of_the_primary_calendar_without_what_is_free_or_declined() {
    let world = World::with_users(4, 80);
    world.sync_all().expect(0);
    let (first, last) = weeks();
    let (from, until) = (begins(first, ZONE), begins(last + Duration::days(1), ZONE));
    let accounts = accounts(&world);
    let mut all = BTreeSet::new();
    let mut known = BTreeMap::new();
    for account in &accounts {
        let mut busy = BTreeSet::new();
        let client = Client { world: &world, from, until };
        for (calendar, event) in client.events(account) {
            let mut guests = event["attendees"].as_array().into_iter().flatten();
            let declined = guests.any(|guest| guest["self"] == true && guest["responseStatus"] == "declined");
            if calendar["primary"] == true && event["transparency"] != "transparent" && !declined {
                busy.extend(minutes(from, times(&calendar, &event), until));
            }
        }
        all.extend(busy.iter().copied());
        known.insert(field(account, "email"), busy);
    }
    assert!(known.values().all(|busy| !busy.is_empty()) && all.len() > 1_000, "too little to compare");
    let mut arguments = vec!["calendar", "freebusy"];
    arguments.extend(known.keys().map(String::as_str));
    let (day, to) = (first.to_string(), last.to_string());
    arguments.extend(["--from", &day, "--to", &to, "--zone", ZONE.name()]);
    let told = world.syncctl(&[&arguments[..], &["--json"]].concat()).expect(0).json();
    let spans = |list: &Value| -> Vec<i64> {
        let spans = list.as_array().expect("spans").iter();
        spans.flat_map(|span| minutes(from, (instant(&span["start"]), instant(&span["end"])), until)).collect()
    };
    for user in told["users"].as_array().expect("users") {
        let found = spans(&user["busy"]);
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "spans overlap: {user}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), known[&field(user, "name")], "{user}");
    }
    let free: BTreeSet<i64> = spans(&told["free"]).into_iter().collect();
    assert_eq!(free, (0..(until - from).num_minutes()).filter(|minute| !all.contains(minute)).collect());
    let text = world.syncctl(&arguments).expect(0).stdout;
    assert!(text.contains("all are free") && text.contains("is busy"), "{text}");
}

#[test]
fn what_may_be_missing_is_named_and_no_time_is_called_free() {
    let world = World::with_users(2, 20);
    let email = world.sim.users().into_iter().next().expect("a user");
    let ask = |arguments: &[&str]| world.syncctl(&[&["calendar", "freebusy", &email, "--json"], arguments].concat());
    let told = ask(&[]).expect(1);
    assert!(told.stderr.contains("no calendar has been synced yet") && told.json()["free"].is_null(), "{told:?}");
    world.sync_all().expect(0);
    assert!(ask(&[]).expect(0).json()["free"].is_array());
    // Beyond the window.
    let told = ask(&["--from", "2026-01-01", "--to", "2026-01-02"]).expect(1);
    assert!(told.stderr.contains("its events are known from"), "{told:?}");
    // As after an upgrade.
    world.execute("DELETE FROM calendar_instances; DELETE FROM calendar_windows");
    let told = ask(&[]).expect(1);
    assert!(told.stderr.contains("its first full pass is not complete"), "{told:?}");
    world.syncctl(&["resync", "--all", "--service", "calendar"]).expect(0);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    let told = ask(&[]).expect(1);
    assert!(told.stderr.contains("run `syncctl calendar roll-instances`"), "{told:?}");
    world.syncctl(&["calendar", "roll-instances"]).expect(0);
    assert!(ask(&[]).expect(0).json()["free"].is_array());
    for (trouble, reason, over) in [
        ("UPDATE streams SET failures = 1 WHERE kind = 'events'", "its last poll failed", "UPDATE streams SET failures = 0"),
        (
            "INSERT INTO quarantined_items (stream_id, item_id, raw, error) SELECT id, 'x', '{}', 'x' FROM streams WHERE kind = 'events'",
            "items of it could not be read",
            "DELETE FROM quarantined_items",
        ),
        (
            "UPDATE calendar_events SET unread = '{recurrence}' WHERE deleted_at IS NULL",
            "items of it could not be read",
            "UPDATE calendar_events SET unread = NULL",
        ),
    ] {
        world.execute(trouble);
        let told = ask(&[]).expect(1);
        assert!(told.stderr.contains(reason) && told.json()["free"].is_null(), "{told:?}");
        world.execute(over);
    }
    // Calendars could be missing altogether.
    world.execute("UPDATE streams SET failures = 1 WHERE kind = 'calendar_list'");
    let told = world.syncctl(&["calendar", "agenda", &email]).expect(1);
    assert!(
        told.stderr.contains("\"the list of calendars\" of user ") && told.stderr.contains("its last poll failed"),
        "{told:?}"
    );
    assert!(ask(&[]).expect(0).json()["free"].is_array(), "the primary calendar is known");
    world.execute("UPDATE streams SET failures = 0");
    world.syncctl(&["accounts", "revoke", &email]).expect(0);
    let told = world.syncctl(&["calendar", "agenda", &email]).expect(1);
    assert!(told.stderr.contains("it is not synced (revoked)"), "{told:?}");
}

#[test]
fn days_that_make_no_sense_are_refused() {
    let world = World::with_users(2, 1);
    let refused = |arguments: &[&str]| world.syncctl(&[&["calendar", "agenda"], arguments].concat()).expect(2).stderr;
    assert!(refused(&[]).contains("there is more than one user: name one of user00000@example.com, user00001@example.com"));
    for (arguments, why) in [
        (["--from", "2026-12-02", "--to", "2026-12-01"], "the last day, 2026-12-01, is before the first, 2026-12-02"),
        (["--from", "2026-12-02", "--to", "2036-12-01"], "more than 1000 days"),
        (["--from", "+262142-12-31", "--to", "+262142-12-31"], "beyond the dates"),
        (["--zone", "Europe/Bärlin", "--from", "2026-12-02"], "give a name such as Europe/Berlin"),
        (["--from", "tomorrow", "--to", "2026-12-02"], "tomorrow"),
    ] {
        let told = refused(&arguments);
        assert!(told.contains(why), "{told}");
    }
}
