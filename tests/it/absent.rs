//! Missing resources: Google's own 404, and an error page of a server in front of it.

use serde_json::json;

use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};

/// A world of one user in sync, then changed, and a fault that strikes every call of a method in one run.
fn after_a_run_with(service: &'static Service, fault: &str, method: &str) -> World {
    let mut world = World::of(service, 1, 5);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.sync_all().expect(0);
    world.churn(10, 3);
    if method == "messages.list" {
        world.expire();
    }
    world.sim.fault(json!({ "fault": fault, "method": method }));
    let run = world.sync_all();
    assert_ne!(run.code, 0, "{method}: {run:#?}");
    world.sim.clear_faults();
    world
}

#[test]
fn a_404_of_another_web_server_says_nothing_about_users_and_calendars() {
    let calls = [
        (&CALENDAR, "calendarList.list"),
        (&CALENDAR, "events.list"),
        (&GMAIL, "messages.list"),
        (&GMAIL, "messages.get"),
        (&DRIVE, "drives.list"),
        (&DRIVE, "changes.list"),
    ];
    for (service, method) in calls {
        let world = after_a_run_with(service, "not_found_page", method);
        assert_eq!(world.rows("streams WHERE state <> 'active'"), 0, "{method}");
        world.sync_all().expect(0);
        world.assert_in_step();
    }
}

#[test]
fn a_stream_that_every_user_has_is_tried_again_though_it_was_gone() {
    for (service, method) in [(&CALENDAR, "calendarList.list"), (&GMAIL, "messages.list"), (&DRIVE, "drives.list")] {
        let world = after_a_run_with(service, "not_found", method);
        assert_eq!(world.rows("streams WHERE failed_class = 'gone' AND state = 'active'"), 1, "{method}");
        world.sync_all().expect(0);
        world.assert_in_step();
        assert_eq!(world.failing_streams(), 0, "{method}");
    }
}

#[test]
fn a_calendar_that_was_called_gone_comes_back_with_a_complete_list() {
    let world = after_a_run_with(&CALENDAR, "not_found", "events.list");
    assert_eq!(world.streams_in("removed"), 0, "once may be a mistake");
    let earlier = ["failed_at", "failing_since", "due_at"].map(|column| format!("{column} = {column} - interval '1 hour'"));
    world.execute(&format!("UPDATE streams SET {} WHERE failures > 0", earlier.join(", ")));
    world.sim.fault(json!({ "fault": "not_found", "method": "events.list" }));
    assert_ne!(world.sync_all().code, 0);
    world.sim.clear_faults();
    assert_eq!(world.rows("streams WHERE kind = 'events' AND state = 'removed'"), 1);
    world.age_full_passes("calendar_list", "31 days");
    world.sync_all().expect(0);
    world.assert_in_step();
}
