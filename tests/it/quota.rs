//! Quotas between processes that follow one another.

use serde_json::Value;

use crate::support::World;

/// Users in step whose project may spend 40 units a minute, which is fewer than they have streams, at the fiftieth second of a minute.
fn late_in_a_minute() -> World {
    let mut world = World::with_users(30, 1);
    world.sync_all().expect(0);
    seconds_go_by(&world, 120.0);
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "40");
    let second: f64 = world.query("SELECT extract(second FROM now())::float8")[0].get(0);
    seconds_go_by(&world, (110.0 - second) % 60.0);
    world
}

fn seconds_go_by(world: &World, seconds: f64) {
    world.move_database_clock(seconds / 3600.0);
}

/// The calls of a run that has no time to wait for quota.
fn calls_of_a_run(world: &World) -> u64 {
    world.sim.reset_ledger();
    world.syncctl(&["calendar", "cron", "--force", "--max-duration", "2s"]).expect(0);
    world.sim.ledger()["total"].as_u64().expect("a number")
}

#[test]
fn a_minute_that_begins_does_not_give_anew_what_was_spent_seconds_ago() {
    let world = late_in_a_minute();
    let first = calls_of_a_run(&world);
    assert!((30..=40).contains(&first), "{first} calls where 40 are allowed");
    // Into the next minute of the clock.
    seconds_go_by(&world, 12.0);
    let second = calls_of_a_run(&world);
    assert!(first + second <= 40, "{first} and {second} calls within twenty seconds where 40 are allowed");
    seconds_go_by(&world, 62.0);
    let third = calls_of_a_run(&world);
    assert!(third >= 30, "{third} calls after a minute in which nothing was spent");
}

#[test]
fn doctor_tells_what_was_spent_in_the_last_minute() {
    let world = late_in_a_minute();
    calls_of_a_run(&world);
    seconds_go_by(&world, 12.0);
    let told = |world: &World| -> Value {
        let found = world.syncctl(&["doctor", "--json"]).json();
        let checks = found["checks"].as_array().expect("checks").clone();
        checks
            .into_iter()
            .find(|check| check["check"] == "quota" && check["message"].to_string().contains("minute"))
            .unwrap_or_default()
    };
    let found = told(&world);
    assert_eq!(found["level"], "warn", "{found}");
    seconds_go_by(&world, 62.0);
    assert_eq!(told(&world), Value::Null);
}
