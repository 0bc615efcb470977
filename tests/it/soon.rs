//! Short failures of a provider or of the database: every stream is retried within the minute, and at growing intervals only if the failure
//! persists.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::attendee::PROJECT;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};

/// The longest wait of the postponed streams, in seconds.
fn wait(world: &World) -> f64 {
    let longest =
        "SELECT coalesce(max(extract(epoch FROM due_at - failed_at)), 0)::float8 FROM streams WHERE failed_class IS NOT NULL";
    world.query(longest)[0].get(0)
}

/// As if this many seconds had passed.
fn pass(world: &World, seconds: f64) {
    world.move_database_clock(seconds / 3600.0);
}

/// One run during the fault, and one like the next cron run, after it is over.
#[track_caller]
fn is_over_soon(service: &'static Service, fault: &Value) {
    let mut world = World::of(service, 2, 5);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.sync_all().expect(0);
    world.churn(10, 3);
    world.sim.fault(fault.clone());
    let run = world.sync_all();
    assert_ne!(run.code, 0, "{fault}: {run:#?}");
    let wait = wait(&world);
    assert!((10.0..=30.0).contains(&wait), "{fault}: {wait} s, {run:#?}");
    world.sim.clear_faults();
    pass(&world, 60.0);
    world.syncctl(&[service.name, "cron"]).expect(0);
    world.assert_in_step();
    assert_eq!(world.rows("streams WHERE failures > 0 OR state NOT IN ('active', 'off')"), 0, "{fault}");
}

#[test]
fn a_short_refusal_by_the_apis_is_over_within_the_minute() {
    for fault in ["auth_error", "access_not_configured", "insufficient_permissions", "bad_request_400", "unavailable_503"] {
        is_over_soon(&CALENDAR, &json!({ "fault": fault, "method": "calendarList.list" }));
    }
    for (service, method) in [(&GMAIL, "history.list"), (&DRIVE, "drives.list")] {
        for fault in ["auth_error", "access_not_configured"] {
            is_over_soon(service, &json!({ "fault": fault, "method": method }));
        }
    }
}

#[test]
fn a_single_404_and_a_single_quota_error_are_over_within_the_minute() {
    for fault in ["not_found", "gone_deleted", "quota_exceeded"] {
        is_over_soon(&CALENDAR, &json!({ "fault": fault, "method": "events.list", "times": 1 }));
    }
}

#[test]
fn trouble_of_the_database_puts_no_stream_off_for_longer_than_it_lasts() {
    let world = World::with_users(2, 10);
    world.sync_all().expect(0);
    world.execute(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON calendar_events FOR EACH ROW EXECUTE FUNCTION no_room()",
    );
    world.sim.churn(20, 1);
    world.syncctl(&["calendar", "cron", "--force"]).expect(1);
    for minutes in 1..=5 {
        pass(&world, 60.0);
        let run = world.syncctl(&["calendar", "cron"]);
        let wait = wait(&world);
        assert!(wait <= 60.0 * f64::from(minutes) && wait <= 90.0, "{wait} s after {minutes} minutes: {run:#?}");
    }
    assert!(world.count("SELECT max(failures)::int8 FROM streams") >= 5, "it was tried in each of these minutes");
    world.execute("DROP TRIGGER no_room ON calendar_events");
    pass(&world, 90.0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
}

#[test]
fn a_key_that_attendee_refuses_three_times_is_asked_with_again_within_two_minutes() {
    let world = World::with_attendee(1);
    world.meet("user00000@example.com", "standup", 60);
    world.schedule().expect(0);
    let refused = json!({ "detail": "Invalid or disabled API key" });
    world.sim.fault(json!({ "fault": "answer", "status": 401, "body": refused, "user": PROJECT, "method": "bots.list" }));
    for _ in 0..3 {
        pass(&world, 60.0);
        assert_eq!(world.poll_bots().code, 77);
    }
    let wait = wait(&world);
    assert!(wait <= 60.0, "{wait} s");
}

#[test]
fn a_call_that_never_works_is_made_ever_more_rarely() {
    let world = World::with_users(1, 2);
    world.sync_all().expect(0);
    world.sim.fault(json!({ "fault": "access_not_configured", "method": "calendarList.list" }));
    world.sync_all().expect(1);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let wait = wait(&world);
        waits.push(wait);
        pass(&world, (wait + 1.0).max(60.0));
        world.syncctl(&["calendar", "cron"]).expect(1);
    }
    assert!(waits[19] > 100.0 && waits[19] > 2.0 * waits[5], "{waits:?}");
    pass(&world, 86_400.0);
    world.syncctl(&["calendar", "cron"]).expect(1);
    let wait = wait(&world);
    assert!(wait > 2.0 * 3600.0, "{wait} s after a day");
}
