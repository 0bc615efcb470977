//! Calendars that are unticked, removed or refused: their events, meetings and bots disappear and return with them.

use serde_json::{Value, json};

use crate::bots::ground::{ANN, ahead, bots, counts, event, schedule, world};
use crate::support::World;

const TEAM: &str = "team@group.calendar.google.com";

fn calendar(world: &World, more: Value) {
    let mut calendar = json!({ "user": ANN, "id": TEAM, "summary": "Team", "selected": true });
    calendar.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    world.sim.admin("calendars", calendar);
}

/// A meeting in an hour, in the team's calendar.
fn meeting(world: &World) {
    world.sim.admin("events", json!({ "user": ANN, "calendar": TEAM, "event": event("standup", ahead(60), json!({})) }));
}

fn poll(world: &World) {
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
}

/// A meeting of the team with its bot.
fn team() -> World {
    let world = world();
    calendar(&world, json!({}));
    meeting(&world);
    poll(&world);
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    world
}

fn live(world: &World) -> i64 {
    world.events()
}

#[track_caller]
fn assert_gone(world: &World) {
    assert_eq!(live(world), 0);
    assert_eq!(world.meeting().event_status, "cancelled", "a meeting with a bot is kept");
    assert_eq!(counts(&schedule(world)), [0, 0, 1, 0]);
    assert_eq!(bots(world)[0]["deleted"], true);
}

#[track_caller]
fn assert_back(world: &World) {
    assert_eq!(live(world), 1);
    assert_eq!(counts(&schedule(world)), [1, 0, 0, 0]);
    world.syncctl(&["verify", "calendar", "--all"]).expect(0);
}

#[test]
fn a_calendar_that_leaves_the_list_takes_its_events_and_bots_along_and_brings_them_back() {
    for removed in [false, true] {
        let world = team();
        if removed {
            let request = ureq::delete(format!("{}/admin/calendars", world.sim.url)).header("content-type", "application/json");
            request.force_send_body().send(json!({ "user": ANN, "id": TEAM }).to_string()).expect("removing a calendar");
        } else {
            calendar(&world, json!({ "selected": false }))
        }
        // Its events may be requested before the list shows it.
        world.syncctl(&["calendar", "cron", "--force"]);
        assert_gone(&world);
        world.syncctl(&["verify", "calendar", "--all"]).expect(0);
        calendar(&world, json!({}));
        if removed {
            meeting(&world);
        }
        poll(&world);
        poll(&world);
        assert_back(&world);
    }
}

#[test]
fn a_calendar_that_google_refuses_is_given_up_after_an_hour_and_asked_again_each_day() {
    for status in [403, 404] {
        let world = team();
        let later = |hours: u32| {
            let earlier =
                ["failed_at", "failing_since", "due_at"].map(|column| format!("{column} = {column} - interval '{hours} hours'"));
            world.execute(&format!("UPDATE streams SET {} WHERE failures > 0", earlier.join(", ")));
        };
        calendar(&world, json!({ "refuses": status }));
        world.syncctl(&["calendar", "cron", "--force"]).expect(1);
        // One or two refusals may be a mistake.
        world.syncctl(&["calendar", "cron", "--force"]).expect(1);
        assert_eq!((live(&world), counts(&schedule(&world))), (1, [0, 0, 0, 1]), "{status}");
        later(1);
        world.syncctl(&["calendar", "cron"]).expect(1);
        world.syncctl(&["calendar", "cron"]).expect(0);
        assert_gone(&world);
        calendar(&world, json!({ "refuses": 0 }));
        later(24);
        world.syncctl(&["calendar", "cron"]).expect(0);
        assert_back(&world);
        assert_eq!(world.failing_streams(), 0);
    }
}

#[test]
fn a_refused_calendar_of_a_user_whose_service_is_off_or_whose_account_is_revoked_is_left_alone() {
    for (on, off) in [("calendar=on", "calendar=off"), ("", "")] {
        let world = team();
        calendar(&world, json!({ "refuses": 403 }));
        world.syncctl(&["calendar", "cron", "--force"]).expect(1);
        world.execute("UPDATE streams SET failing_since = failing_since - interval '1 hour'");
        world.syncctl(&["calendar", "cron", "--force"]).expect(1);
        world.execute("UPDATE streams SET failed_at = failed_at - interval '25 hours'");
        match off {
            "" => world.execute("UPDATE accounts SET state = 'revoked', ask_at = NULL"),
            off => drop(world.syncctl(&["accounts", "set", ANN, off]).expect(0)),
        }
        world.sim.reset_ledger();
        world.syncctl(&["calendar", "cron"]);
        let state = format!("streams WHERE resource = '{TEAM}' AND state = 'removed'");
        assert_eq!(world.rows(&state), 1, "{off:?}");
        // It is polled again as soon as the setting is reset.
        match on {
            "" => world.execute("UPDATE accounts SET state = 'active'"),
            on => drop(world.syncctl(&["accounts", "set", ANN, on]).expect(0)),
        }
        calendar(&world, json!({ "refuses": 0 }));
        world.syncctl(&["calendar", "cron"]).expect(0);
        assert_eq!(world.rows(&state), 0, "{off:?}");
    }
}

#[test]
fn a_leftover_event_of_a_removed_calendar_is_found_and_repaired() {
    let world = team();
    calendar(&world, json!({ "selected": false }));
    poll(&world);
    world.execute("UPDATE calendar_events SET deleted_at = NULL, status = 'confirmed'");
    let report = world.syncctl(&["verify", "calendar", "--all", "--json"]).expect(1).json();
    let list = &report["runs"][0]["verify"]["kinds"]["calendar_list"];
    assert_eq!((&list["excess"], &list["examples"][0]["id"]), (&json!(1), &json!("events of <address>")), "{report}");
    world.syncctl(&["verify", "calendar", "--all", "--repair"]).expect(0);
    assert_eq!(live(&world), 0);
}

#[test]
fn a_failed_preparation_does_not_prevent_the_polls() {
    let world = team();
    world.execute(&format!("UPDATE streams SET state = 'removed' WHERE resource = '{TEAM}'"));
    world.execute(
        "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER no_space BEFORE UPDATE ON calendar_events FOR EACH ROW WHEN (NEW.status = 'cancelled') EXECUTE FUNCTION no_space()",
    );
    let run = world.syncctl(&["calendar", "cron", "--json"]).expect(1).json();
    assert_eq!(run["status"], "partial", "{run}");
    assert!(run["unprepared"].to_string().contains("No space left"), "{run}");
    let message = world.last_result("calendar").error;
    assert!(message.contains("the polls ran without it"), "{message}");
    world.execute("DROP TRIGGER no_space ON calendar_events; UPDATE streams SET due_at = now()");
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(live(&world), 0);
}
