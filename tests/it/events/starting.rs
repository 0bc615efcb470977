//! `calendar.meeting.starting`: announced once for each start.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{ask_for, assert_has, take};
use crate::support::World;

const ANN: &str = "ann@example.com";
const LINK: &str = "https://meet.google.com/abc-defg-hij";

/// A user whose meetings are announced an hour before, so that no test depends on how fast it runs.
fn world() -> World {
    let mut world = World::empty();
    world.sim.admin("users", json!({ "email": ANN }));
    world.set("SYNCCTL_CALENDAR_MEETING_NOTICE", "1h");
    ask_for(&mut world, &["calendar.meeting.starting"]);
    world.import();
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world
}

fn ahead(minutes: i64) -> DateTime<Utc> {
    Utc::now() + TimeDelta::minutes(minutes)
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Puts a meeting of half an hour into one of the user's calendars.
fn put(world: &World, calendar: &str, id: &str, start: DateTime<Utc>, more: Value) {
    let mut event = json!({
        "id": id, "summary": "Standup", "hangoutLink": LINK,
        "start": { "dateTime": text(start), "timeZone": "Europe/Berlin" }, "end": { "dateTime": text(start + TimeDelta::minutes(30)) },
    });
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    world.sim.admin("events", json!({ "user": ANN, "calendar": calendar, "event": event }));
}

/// Syncs, announces twice, and returns the events. The target is not called, because its address is refused.
fn announced(world: &World) -> Vec<Value> {
    world.sync_all().expect(0);
    for _ in 0..2 {
        world.syncctl(&[
            "deliver",
            "--set",
            "outbox.targets=[{ name = \"n8n\", url = \"http://127.0.0.1:9\", events = [\"calendar.*\"] }]",
        ]);
    }
    take_new(world)
}

/// The payloads that no earlier call returned; the events stay, because they are what prevents others.
fn take_new(world: &World) -> Vec<Value> {
    let rows = world.query("SELECT payload FROM outbox_events WHERE NOT payload ? 'seen' ORDER BY seq");
    world.execute("UPDATE outbox_events SET payload = payload || '{\"seen\": true}'");
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_meeting_is_announced_once_for_each_start() {
    let world = world();
    let (first, second) = (ahead(40), ahead(50));
    put(&world, "primary", "standup", first, json!({}));
    let [starting] = &announced(&world)[..] else { panic!("one event") };
    assert_has(
        starting,
        &[
            ("/type", json!("calendar.meeting.starting")),
            ("/event_id", json!("standup")),
            ("/calendar_id", json!(ANN)),
            ("/event/title", json!("Standup")),
            ("/event/start", json!({ "date_time": text(first), "time_zone": "Europe/Berlin" })),
            ("/event/end/date_time", json!(text(first + TimeDelta::minutes(30)))),
            ("/event/meeting_link", json!(LINK)),
        ],
    );
    put(&world, "primary", "standup", second, json!({}));
    let [again] = &announced(&world)[..] else { panic!("one event") };
    assert_has(again, &[("/event/start/date_time", json!(text(second)))]);
    // Back to its first time, and with another title.
    put(&world, "primary", "standup", first, json!({ "summary": "Daily" }));
    assert_eq!(announced(&world), Vec::<Value>::new());
    take(&world);
}

#[test]
fn only_meetings_of_the_user_that_begin_within_the_notice_are_announced() {
    let world = world();
    let team = "team@group.calendar.google.com";
    for (id, role) in [(team, "owner"), ("boss@example.com", "owner"), ("holidays@group.calendar.google.com", "reader")] {
        world.sim.admin("calendars", json!({ "user": ANN, "id": id, "selected": true, "access_role": role }));
    }
    world.sync_all().expect(0);
    let me = |response: &str| json!({ "attendees": [{ "email": ANN, "self": true, "responseStatus": response }, { "email": "bob@example.com" }] });
    put(&world, "primary", "late", ahead(90), json!({}));
    put(&world, "primary", "begun", ahead(-10), json!({}));
    put(&world, "primary", "declined", ahead(30), me("declined"));
    put(&world, "primary", "lunch", ahead(30), json!({ "hangoutLink": null, "summary": "Lunch" }));
    put(&world, "boss@example.com", "boss", ahead(30), json!({}));
    put(&world, "holidays@group.calendar.google.com", "holiday", ahead(30), json!({}));
    let start = ahead(35);
    put(&world, "primary", "accepted", start, me("accepted"));
    // The same meeting in another calendar of the user.
    put(&world, team, "copy", start, json!({ "iCalUID": "accepted@example.com" }));
    // In UTC, where no day is an hour longer.
    let yesterday = json!({ "dateTime": text(ahead(-24 * 60 + 45)), "timeZone": "UTC" });
    put(&world, team, "daily", ahead(0), json!({ "recurrence": ["RRULE:FREQ=DAILY"], "start": yesterday, "end": yesterday }));
    world.sync_all().expect(0);
    let announced = announced(&world);
    let mut shown: Vec<(&str, &str)> = announced
        .iter()
        .map(|event| (event["event"]["ical_uid"].as_str().expect("a uid"), event["series_id"].as_str().unwrap_or_default()))
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, [("accepted@example.com", ""), ("daily@example.com", "daily")], "{announced:?}");
    let occurrence = announced.iter().find(|event| event["series_id"] == "daily").expect("an occurrence");
    assert!(occurrence["event_id"].as_str().is_some_and(|id| id.starts_with("daily_")), "{occurrence}");
    assert_has(occurrence, &[("/event/is_series", json!(false))]);
    take(&world);
}

#[test]
fn nothing_is_written_unless_a_target_asks_for_it() {
    let world = world();
    put(&world, "primary", "standup", ahead(40), json!({}));
    world.sync_all().expect(0);
    world.syncctl(&["deliver", "--set", "outbox.targets=[{ name = \"n8n\", url = \"http://127.0.0.1:9\" }]"]).expect(0);
    assert_eq!(world.outbox_events(), 0);
}
