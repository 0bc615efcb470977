//! Users who do not have a service, did not grant it, or for whom it is switched off: nothing to sync, no failure, no alarm.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};

fn first(world: &World) -> String {
    world.first_user()
}

/// The report of a scheduled run, whose exit code must be 0.
#[track_caller]
fn cron(world: &World) -> Value {
    let run = world.syncctl(&[world.service.name, "cron", "--json"]).expect(0);
    assert!(!run.stderr.contains("WARN") && !run.stderr.contains("ERROR"), "{}", run.stderr);
    run.json()
}

fn state(world: &World) -> Value {
    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    assert_eq!(status["failing"], json!([]), "{status}");
    let services = status["services"].as_array().cloned().unwrap_or_default();
    services.into_iter().find(|one| one["service"] == world.service.name).expect("the service")
}

fn calls_of(world: &World, user: &str) -> u64 {
    let ledger = world.sim.ledger();
    ledger["by_user"][user].as_object().map_or(0, |methods| methods.values().filter_map(Value::as_u64).sum())
}

#[track_caller]
fn a_user_without_the_service_is_no_failure(service: &'static Service, fault: &str) {
    let world = World::of(service, 3, 4);
    let user = first(&world);
    world.sim.fault(json!({ "fault": fault, "user": user }));
    let run = cron(&world);
    assert_eq!((&run["status"], &run["errors"]), (&json!("completed"), &json!({})), "{fault}: {run}");
    assert!(run["off"]["service_off"]["count"].as_u64() > Some(0), "{fault}: {run}");
    assert_eq!((run["total_users"].as_u64(), run["failed_users"].as_u64()), (Some(3), Some(0)), "{run}");
    let service_now = state(&world);
    assert!(service_now["off"].as_u64() > Some(0) && service_now["failing"] == 0, "{service_now}");
    assert_eq!(world.accounts_in("revoked"), 0, "{fault}");
    world.sim.reset_ledger();
    cron(&world);
    assert_eq!(calls_of(&world, &user), 0, "{fault}: asked again within the day");
    let mut calls = Vec::new();
    for _ in 0..20 {
        world.move_database_clock(24.0);
        world.sim.reset_ledger();
        cron(&world);
        calls.push(calls_of(&world, &user).min(1));
    }
    assert_eq!(calls[..7], [1; 7], "{fault}: {calls:?}");
    assert!((1..=3).contains(&calls[8..].iter().sum::<u64>()), "{fault}: {calls:?}");
    world.sim.clear_faults();
    world.move_database_clock(7.0 * 24.0);
    cron(&world);
    world.assert_in_step();
}

#[test]
fn a_user_without_calendar_is_no_failure() {
    a_user_without_the_service_is_no_failure(&CALENDAR, "not_a_calendar_user");
}

#[test]
fn a_user_without_a_mailbox_is_no_failure() {
    a_user_without_the_service_is_no_failure(&GMAIL, "mail_not_enabled");
}

#[test]
fn a_user_without_drive_is_no_failure_though_it_looks_like_a_stale_token() {
    a_user_without_the_service_is_no_failure(&DRIVE, "drive_session");
}

#[test]
fn a_user_whose_domain_forbids_drive_is_no_failure() {
    a_user_without_the_service_is_no_failure(&DRIVE, "domain_policy");
}

#[test]
fn a_service_that_is_switched_off_for_one_user_is_not_called_until_it_is_switched_on() {
    let world = World::of(&GMAIL, 2, 4);
    let user = first(&world);
    world.syncctl(&["accounts", "set", &user, "gmail=off"]).expect(0);
    let run = world.syncctl(&["gmail", "cron", "--force", "--json"]).expect(0).json();
    assert_eq!((calls_of(&world, &user), &run["total_users"]), (0, &json!(1)), "{run}");
    assert_eq!(state(&world)["off"], 1);
    let listed = world.syncctl(&["accounts", "list", "--json"]).expect(0).json();
    assert_eq!(listed[0]["switched_off"], json!(["gmail"]), "{listed}");
    let check = world.syncctl(&["accounts", "check", &user, "--json"]).expect(0).json();
    assert_eq!(check[0]["services"], json!({ "calendar": "ok", "drive": "ok", "gmail": "off" }), "{check}");
    // The other services continue.
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert!(calls_of(&world, &user) > 0);
    world.syncctl(&["accounts", "set", &user, "gmail=on"]).expect(0);
    cron(&world);
    world.assert_in_step();
    world.syncctl(&["accounts", "set", &user, "mail=off"]).expect(2);
}

#[test]
fn an_import_says_which_services_a_user_has() {
    let world = World::empty();
    world.sim.generate(1, 2);
    let line = |settings: Value| {
        let mut line: Value = serde_json::from_str(world.sim.text("accounts").trim()).expect("a line");
        line["settings"] = settings;
        line.to_string()
    };
    world.syncctl_with_input(&["accounts", "import", "-"], &line(json!({ "gmail": false, "drive": false }))).expect(0);
    assert_eq!(world.streams_in("off"), 2);
    world.syncctl(&["sync", "cron"]).expect(0);
    assert!(
        world.sim.ledger()["by_method"]
            .as_object()
            .is_some_and(|methods| methods.keys().all(|name| name.contains("alendar") || name.contains("events")))
    );
    world.syncctl_with_input(&["accounts", "import", "-"], &line(json!({ "gmail": true }))).expect(0);
    assert_eq!(world.streams_in("off"), 1);
    let wrong = world.syncctl_with_input(&["accounts", "import", "-"], &line(json!({ "gmail": "off" }))).expect(1);
    assert!(wrong.stderr.contains("settings.gmail: must be true or false"), "{}", wrong.stderr);
}

#[test]
fn a_service_that_was_not_granted_is_no_failure_and_is_synced_once_it_is_granted() {
    let world = World::empty();
    world.sim.generate(2, 2);
    let user = first(&world);
    let scope = |name: &str| format!("https://www.googleapis.com/auth/{name}.readonly");
    world.sim.admin("scopes", json!({ "user": user, "scopes": [scope("drive"), scope("gmail")] }));
    world.import();
    let run = cron(&world);
    assert_eq!((&run["status"], &run["off"]["not_granted"]["count"]), (&json!("completed"), &json!(1)), "{run}");
    assert_eq!(state(&world)["off"], 1);
    let doctor = world.syncctl(&["doctor", "--all-users", "--json"]);
    assert!(!doctor.stdout.contains("not_granted") && !doctor.stdout.contains("scope_missing"), "{}", doctor.stdout);
    let all = ["calendar", "drive", "gmail"].map(scope);
    world.sim.admin("scopes", json!({ "user": user, "scopes": all }));
    world.import();
    cron(&world);
    world.assert_in_step();
}
