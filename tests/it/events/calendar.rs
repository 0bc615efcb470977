//! Events of calendars: created, updated, moved, cancelled.

use serde_json::{Value, json};

use super::{ask_for, assert_has, kind, take, take_types};
use crate::support::World;

const ANN: &str = "ann@example.com";

/// A user with an empty calendar that was synced, and a target that asks for all events of calendars.
fn world() -> World {
    let mut world = World::empty();
    world.sim.admin("users", json!({ "email": ANN }));
    // Dates are fixed: the first pass looks back far enough.
    world.set("SYNCCTL_CALENDAR_WINDOW_PAST", "36500days");
    ask_for(&mut world, &["calendar.*"]);
    world.import();
    sync(&world);
    world
}

fn sync(world: &World) {
    world.sync_all().expect(0);
    world.sync_all().expect(0);
}

fn put(world: &World, event: Value) {
    world.sim.admin("events", json!({ "user": ANN, "calendar": "primary", "event": event }));
}

fn at(time: &str) -> Value {
    json!({ "dateTime": format!("2026-03-{time}:00Z"), "timeZone": "Europe/Berlin" })
}

fn timed(id: &str, start: &str, end: &str, more: Value) -> Value {
    let mut event = json!({ "id": id, "summary": "Design review", "start": at(start), "end": at(end) });
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

#[test]
fn each_change_of_an_event_is_one_event_of_its_type() {
    let world = world();
    put(&world, timed("review", "16T09:00", "16T10:00", json!({ "hangoutLink": "https://meet.google.com/abc-defg-hij" })));
    sync(&world);
    let [created] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        created,
        &[
            ("/type", json!("calendar.event.created")),
            ("/user_id", json!(world.text("SELECT id::text FROM users"))),
            ("/calendar_id", json!(ANN)),
            ("/event_id", json!("review")),
            ("/series_id", Value::Null),
            ("/event/ical_uid", json!("review@example.com")),
            ("/event/title", json!("Design review")),
            ("/event/start", json!({ "date_time": "2026-03-16T09:00:00Z", "time_zone": "Europe/Berlin" })),
            ("/event/all_day", json!(false)),
            ("/event/status", json!("confirmed")),
            ("/event/meeting_link", json!("https://meet.google.com/abc-defg-hij")),
        ],
    );
    assert!(created.get("document_id").is_none() && created.get("previous").is_none(), "{created}");
    put(&world, timed("review", "16T09:00", "16T10:00", json!({ "location": "Room 7" })));
    sync(&world);
    assert_eq!(take_types(&world), ["event.updated"]);
    put(&world, timed("review", "17T11:00", "17T12:00", json!({ "location": "Room 8" })));
    sync(&world);
    let [moved] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        moved,
        &[
            ("/type", json!("calendar.event.moved")),
            ("/event/start/date_time", json!("2026-03-17T11:00:00Z")),
            ("/previous/start", json!({ "date_time": "2026-03-16T09:00:00Z", "time_zone": "Europe/Berlin" })),
            ("/previous/end/date_time", json!("2026-03-16T10:00:00Z")),
        ],
    );
    // From an hour to a day: it has moved, too.
    put(
        &world,
        json!({ "id": "review", "summary": "Design review", "start": { "date": "2026-03-17" }, "end": { "date": "2026-03-18" } }),
    );
    sync(&world);
    let [moved] = &take(&world)[..] else { panic!("one event") };
    assert_has(moved, &[("/event/start", json!({ "date": "2026-03-17" })), ("/event/all_day", json!(true))]);
    world.sim.delete_event(ANN, "review");
    sync(&world);
    let [cancelled] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        cancelled,
        &[
            ("/type", json!("calendar.event.cancelled")),
            ("/event/title", json!("Design review")),
            ("/event/start", json!({ "date": "2026-03-17" })),
            ("/event/status", json!("cancelled")),
        ],
    );
    // It is restored.
    put(&world, timed("review", "17T11:00", "17T12:00", json!({ "status": "confirmed" })));
    sync(&world);
    assert_eq!(take_types(&world), ["event.created"]);
    sync(&world);
    assert_eq!(take_types(&world), Vec::<String>::new());
}

#[test]
fn a_changed_occurrence_is_no_new_event() {
    let world = world();
    put(&world, timed("weekly", "16T09:00", "16T10:00", json!({ "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=5"] })));
    sync(&world);
    let [created] = &take(&world)[..] else { panic!("one event") };
    assert_has(created, &[("/event/is_series", json!(true)), ("/series_id", Value::Null)]);
    let occurrence = |original: &str, start: &str, end: &str, more: Value| {
        let id = format!("weekly_202603{}00Z", original.replace(':', ""));
        let mut event = timed(&id, start, end, json!({ "recurringEventId": "weekly", "originalStartTime": at(original) }));
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event
    };
    put(&world, occurrence("23T09:00", "24T09:00", "24T10:00", json!({})));
    put(&world, occurrence("30T09:00", "30T09:00", "30T10:00", json!({ "location": "Room 9" })));
    sync(&world);
    let events = take(&world);
    let mut kinds: Vec<String> = events.iter().map(kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["event.moved", "event.updated"]);
    let moved = events.iter().find(|event| kind(event) == "event.moved").expect("a moved one");
    assert_has(
        moved,
        &[
            ("/event_id", json!("weekly_20260323T090000Z")),
            ("/series_id", json!("weekly")),
            ("/event/start/date_time", json!("2026-03-24T09:00:00Z")),
            ("/previous/start/date_time", json!("2026-03-23T09:00:00Z")),
            ("/previous/end", Value::Null),
        ],
    );
    // Google sends no more than the original start of a cancelled occurrence.
    put(&world, occurrence("16T09:00", "16T09:00", "16T10:00", json!({ "status": "cancelled" })));
    sync(&world);
    let [cancelled] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        cancelled,
        &[
            ("/type", json!("calendar.event.cancelled")),
            ("/event/title", json!("Design review")),
            ("/event/start/date_time", json!("2026-03-16T09:00:00Z")),
            ("/series_id", json!("weekly")),
        ],
    );
    world.sim.delete_event(ANN, "weekly");
    sync(&world);
    let cancelled = take(&world);
    let mut ids: Vec<&str> = cancelled.iter().filter_map(|event| event["event_id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["weekly", "weekly_20260323T090000Z", "weekly_20260330T090000Z"]);
    assert!(cancelled.iter().all(|event| kind(event) == "event.cancelled"));
}

#[test]
fn a_first_pass_writes_no_event_and_a_later_one_what_has_changed_meanwhile() {
    let mut world = world();
    for day in 10..20 {
        put(&world, timed(&format!("d{day}"), &format!("{day}T09:00"), &format!("{day}T10:00"), json!({})));
    }
    world.sim.admin("users", json!({ "email": "bob@example.com" }));
    let far = json!({ "date": (chrono::Utc::now() + chrono::TimeDelta::days(500)).date_naive().to_string() });
    put(&world, json!({ "id": "far", "start": far.clone(), "end": far.clone() }));
    world.sim.admin(
        "events",
        json!({ "user": "bob@example.com", "calendar": "primary", "event": { "id": "bobs", "start": far, "end": far } }),
    );
    world.import();
    sync(&world);
    assert_eq!(take(&world).len(), 10, "the events in the window of the calendar that was synced before");
    put(&world, timed("new", "25T09:00", "25T10:00", json!({})));
    put(&world, timed("d11", "26T09:00", "26T10:00", json!({})));
    put(&world, timed("d12", "12T09:00", "12T10:00", json!({ "location": "Room 7" })));
    world.sim.delete_event(ANN, "d13");
    world.expire();
    sync(&world);
    let mut changes: Vec<String> =
        take(&world).iter().map(|event| format!("{} {}", kind(event), event["event_id"].as_str().expect("an id"))).collect();
    changes.sort();
    assert_eq!(changes, ["event.cancelled d13", "event.created new", "event.moved d11", "event.updated d12"]);
    // A pass that rewrites every event, and a window in which more events come into view.
    world.set("SYNCCTL_CALENDAR_MEETING_WORDS", "review");
    world.set("SYNCCTL_CALENDAR_WINDOW_FUTURE", "600days");
    world.syncctl(&["resync", "--all"]).expect(0);
    sync(&world);
    assert_eq!(world.rows("calendar_events WHERE event_id IN ('far', 'bobs')"), 2);
    assert_eq!(take_types(&world), Vec::<String>::new());
}

/// Each change since the first sync is one event, however often runs were killed: the last event of an item shows its current state, and none shows the
/// same state again.
#[track_caller]
pub fn assert_each_change_once(world: &World) {
    let twice = "SELECT count(*) FROM (SELECT 1 FROM outbox_events WHERE type LIKE 'calendar.event.%' AND type <> 'calendar.event.cancelled'
         GROUP BY subject, payload -> 'event' ->> 'updated' HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(twice), 0, "events about the same change");
    let lost = "SELECT count(*) FROM calendar_events e
         LEFT JOIN LATERAL (SELECT o.type, o.payload FROM outbox_events o WHERE o.user_id = e.user_id AND o.payload ->> 'event_id' = e.event_id
           AND o.payload ->> 'calendar_id' = e.calendar_id ORDER BY o.seq DESC LIMIT 1) AS last ON true
         WHERE e.updated > (SELECT min(ended_at) FROM runs) AND e.deleted_at IS NULL
           AND (last.payload -> 'event' ->> 'updated')::timestamptz IS DISTINCT FROM e.updated";
    assert_eq!(world.count(lost), 0, "changes without an event");
    let wrong = "SELECT count(*) FROM (SELECT DISTINCT ON (o.subject) o.user_id, o.type, o.payload FROM outbox_events o
         WHERE o.type LIKE 'calendar.event.%' ORDER BY o.subject, o.seq DESC) AS last
         JOIN calendar_events e ON e.user_id = last.user_id AND e.event_id = last.payload ->> 'event_id' AND e.calendar_id = last.payload ->> 'calendar_id'
         WHERE (e.deleted_at IS NULL) = (last.type = 'calendar.event.cancelled')";
    assert_eq!(world.count(wrong), 0, "events whose last state is not the current one");
    assert!(world.rows("outbox_events WHERE type LIKE 'calendar.event.%'") > 0);
}
