//! Events that leave the window of a sync token. Whether the token reports that is undocumented: the simulator supports both.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use crate::bots::ground::{ANN, ahead, bots, counts, event, put, schedule, stamp, world};
use crate::support::World;

/// Changes an event at Google without a notification.
fn change(world: &World, event: Value) {
    world.sim.admin("events", json!({ "user": ANN, "calendar": "primary", "event": event }));
}

/// Outside the window of every pass.
fn far() -> DateTime<Utc> {
    ahead(500 * 24 * 60)
}

fn event_gets(world: &World) -> u64 {
    world.sim.ledger()["by_method"]["events.get"].as_u64().unwrap_or(0)
}

/// A poll of due streams.
fn cron(world: &World) {
    world.syncctl(&["calendar", "cron"]).expect(0);
}

/// As if the last polls had been an hour ago.
fn an_hour_later(world: &World) {
    world.execute("UPDATE streams SET polled_at = polled_at - interval '1 hour'");
}

fn standing_near(world: &World) -> i64 {
    world.rows("calendar_events WHERE deleted_at IS NULL AND start_at < now() + interval '400 days'")
}

#[test]
fn a_meeting_that_leaves_the_window_takes_its_bot_along_whatever_the_sync_token_reports() {
    for outside in ["silent", "told", "cancelled"] {
        let world = world();
        world.sim.admin("window", json!({ "outside": outside }));
        put(&world, ANN, event("standup", ahead(50), json!({})));
        assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
        change(&world, event("standup", far(), json!({})));
        an_hour_later(&world);
        cron(&world);
        assert_eq!(standing_near(&world), 0, "{outside}");
        assert_eq!(counts(&schedule(&world)), [0, 0, 1, 0], "{outside}");
        assert_eq!(bots(&world)[0]["deleted"], true, "{outside}");
        // It moves back into the window, and gets a bot again.
        put(&world, ANN, event("standup", ahead(40), json!({})));
        assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0], "{outside}");
    }
}

#[test]
fn an_instance_that_leaves_the_window_takes_its_bot_along_and_its_series_keeps_the_others() {
    let mut world = world();
    world.set("SYNCCTL_ATTENDEE_WINDOW", "2days");
    let start = ahead(50);
    put(&world, ANN, event("daily", start, json!({ "recurrence": ["RRULE:FREQ=DAILY"] })));
    assert_eq!(counts(&schedule(&world)), [2, 0, 0, 0]);
    // Unchanged: it is requested and stays the same.
    an_hour_later(&world);
    cron(&world);
    assert_eq!((event_gets(&world), counts(&schedule(&world))), (2, [0, 0, 0, 2]));
    world.execute("UPDATE meetings SET confirmed_at = NULL");
    let id = format!("daily_{}", start.format("%Y%m%dT%H%M%SZ"));
    let original = json!({ "dateTime": stamp(start), "timeZone": "UTC" });
    change(&world, event(&id, far(), json!({ "recurringEventId": "daily", "originalStartTime": original })));
    an_hour_later(&world);
    cron(&world);
    assert_eq!(counts(&schedule(&world)), [0, 0, 1, 1]);
    world.syncctl(&["verify", "calendar", "--all"]).expect(0);
}

#[test]
fn a_meeting_is_asked_for_once_and_a_refusal_leaves_it_as_it_is() {
    let mut world = world();
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    put(&world, ANN, event("standup", ahead(50), json!({})));
    put(&world, ANN, event("later", ahead(90), json!({ "hangoutLink": "https://meet.google.com/xyz-wxyz-xyz" })));
    schedule(&world);
    for fault in ["server_500", "bad_request_400"] {
        world.sim.fault(json!({ "fault": fault, "method": "events.get" }));
        an_hour_later(&world);
        cron(&world);
        world.sim.clear_faults();
        assert_eq!(world.rows("meetings WHERE confirmed_at IS NOT NULL"), 0, "{fault}");
        assert_eq!(counts(&schedule(&world)), [0, 0, 0, 2], "{fault}");
    }
    world.sim.reset_ledger();
    for _ in 0..2 {
        an_hour_later(&world);
        cron(&world);
    }
    assert_eq!(event_gets(&world), 1, "only what begins soon, and once");
    assert_eq!(world.rows("meetings WHERE confirmed_at IS NOT NULL"), 1);
    // Shortly before it begins, once more. That does not prove that a channel has missed changes.
    world.execute(
        "UPDATE streams SET push_until = now() + interval '1 day', pushed_at = now(), push_missed = 5 WHERE kind = 'events'",
    );
    world.execute("UPDATE meetings SET start_at = now() + interval '10 minutes', confirmed_at = now() - interval '30 minutes' WHERE event_id = 'standup'");
    an_hour_later(&world);
    cron(&world);
    assert_eq!(event_gets(&world), 2);
    assert_eq!(world.count("SELECT push_missed::bigint FROM streams WHERE kind = 'events'"), 5);
}

#[test]
fn a_short_window_is_renewed_before_half_of_it_has_passed() {
    let mut world = world();
    world.set("SYNCCTL_CALENDAR_WINDOW_FUTURE", "4days");
    put(&world, ANN, event("moved", ahead(60), json!({})));
    // It is not reported that one has left the window, and that another has entered it over time.
    change(&world, event("moved", far(), json!({})));
    put(&world, ANN, event("far", Utc::now() + Duration::days(5), json!({})));
    let live = "SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM calendar_events WHERE deleted_at IS NULL";
    let live = |world: &World| world.query(live)[0].get::<_, Option<String>>(0).unwrap_or_default();
    assert_eq!(live(&world), "moved", "the sync token is silent");
    world.age_full_passes("events", "47 hours");
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert_eq!(live(&world), "moved");
    world.set("SYNCCTL_CALENDAR_WINDOW_FUTURE", "5days 6h");
    world.age_full_passes("events", "64 hours");
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert_eq!(live(&world), "far");
}
