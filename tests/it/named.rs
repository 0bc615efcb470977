//! Polls of named users: each of their streams is polled, failed, or waited for; otherwise the run reports who holds it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::World;
use crate::support::waiting::until;

/// Two users in sync and due, and a run on another host that holds the streams of the first for an hour.
fn held() -> (World, [String; 2]) {
    let mut world = World::with_users(2, 3);
    world.sync_all().expect(0);
    // A run waits this long for streams held by another one.
    world.set("SYNCCTL_ENGINE_LEASE", "600ms");
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.execute(&format!(
        "INSERT INTO runs (id, service, job, host, pid, version, alive_until)
           VALUES ('00000000-0000-7000-8000-000000000001', 'calendar', 'calendar cron', 'elsewhere', 4711, '0', now() + interval '1 hour');
         UPDATE streams SET claimed_by = '00000000-0000-7000-8000-000000000001', claimed_until = now() + interval '1 hour'
           WHERE user_id = (SELECT id FROM users WHERE email = '{}')",
        users[0]
    ));
    (world, [users[0].clone(), users[1].clone()])
}

/// Why streams were not polled, from the run's report.
fn not_polled(report: &Value) -> String {
    report["skipped"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn streams_that_another_run_holds_are_waited_for_and_then_their_holder_is_named() {
    let (world, [user, other]) = held();
    for command in [
        &["calendar", "poll", &user, "--json"][..],
        &["calendar", "batch-poll", &user, "--json"],
        &["calendar", "smart-poll", "--force", &user, "--json"],
    ] {
        let began = Instant::now();
        let run = world.syncctl(command).expect(75);
        let report = run.json();
        assert!(began.elapsed() >= Duration::from_millis(600), "not waited for");
        assert_eq!(
            (&report["status"], &report["polls"], &run.stderr),
            (&json!("skipped"), &json!(0), &String::new()),
            "{report}"
        );
        let not_polled = not_polled(&report);
        for part in ["00000000-0000-7000-8000-000000000001", "`calendar cron`", "elsewhere", "pid 4711", "until"] {
            assert!(not_polled.matches(part).count() >= 2, "no {part} for each stream in {not_polled}");
        }
    }
    let run = world.syncctl(&["calendar", "batch-poll", &user, &other, "--json"]).expect(75).json();
    assert_eq!((&run["status"], &run["polls"]), (&json!("partial"), &json!(2)), "the other's are polled: {run}");
    let text = world.syncctl(&["sync", "user", &user]).expect(75).stdout;
    assert!(text.contains("elsewhere, pid 4711"), "{text}");
    assert_eq!(world.rows("runs WHERE job <> 'calendar cron' AND job LIKE 'calendar%' AND status = 'completed'"), 0);
}

#[test]
fn streams_that_are_given_back_while_a_run_waits_are_polled() {
    let (mut world, [user, _]) = held();
    world.set("SYNCCTL_ENGINE_LEASE", "60s");
    let run = world.spawn(&["calendar", "poll", &user, "--json"]);
    until("it begins", || world.runs_of("calendar poll", "running") > 0);
    world.execute("UPDATE streams SET claimed_by = NULL, claimed_until = NULL");
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["status"], &report["polls"]), (&json!("completed"), &json!(2)), "{report}");
}

#[test]
fn a_row_that_another_session_locks_is_reported() {
    let (world, [_, user]) = held();
    let mut session = world.database.connect();
    session.batch_execute("BEGIN; SELECT FROM streams FOR UPDATE").expect("all rows");
    let report = world.syncctl(&["calendar", "poll", &user, "--json"]).expect(75).json();
    assert!(not_polled(&report).contains("another PostgreSQL session"), "{report}");
}

#[test]
fn a_named_user_who_is_refused_fails_with_that_class() {
    let world = World::with_users(2, 3);
    world.sync_all().expect(0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.execute(&format!(
        "UPDATE accounts SET state = 'revoked', state_reason = 'invalid_grant' WHERE user_id = (SELECT id FROM users WHERE email = '{0}');
         UPDATE streams SET state = 'revoked' WHERE user_id = (SELECT id FROM users WHERE email = '{0}')",
        users[0]
    ));
    let run = world.syncctl(&["calendar", "batch-poll", &users[0], "--json"]).expect(77).json();
    assert_eq!(
        (&run["status"], &run["errors"]["auth_revoked"]["count"], &run["failed_users"]),
        (&json!("failed"), &json!(2), &json!(1)),
        "{run}"
    );
    let run = world.syncctl(&["calendar", "batch-poll", &users[0], &users[1], "--json"]).expect(1).json();
    assert_eq!((&run["status"], &run["total_users"], &run["failed_users"]), (&json!("partial"), &json!(2), &json!(1)), "{run}");
}

#[test]
fn a_named_user_whose_project_is_paused_waits_and_is_reported() {
    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    world.execute("INSERT INTO quota_pauses (service, project, until, reason) SELECT 'calendar', project, now() + interval '1 hour', 'x' FROM accounts");
    let user = world.first_user();
    let began = Instant::now();
    let run = world.syncctl(&["calendar", "poll", &user, "--json"]).expect(1);
    assert_eq!((&run.json()["status"], &run.json()["paused"][0]["streams"]), (&json!("paused"), &json!(2)), "{run:#?}");
    assert!(began.elapsed() < Duration::from_secs(1_800), "it waited for the pause");
}

#[test]
fn a_named_user_without_the_service_is_reported_and_is_no_failure() {
    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    let user = world.first_user();
    world.syncctl(&["accounts", "set", &user, "calendar=off"]).expect(0);
    let run = world.syncctl(&["calendar", "batch-poll", &user, "--json"]).expect(0).json();
    assert!(not_polled(&run).contains("switched off"), "{run}");
}

#[test]
fn a_named_user_who_was_ended_on_purpose_is_reported_and_is_no_failure() {
    let world = World::with_users(2, 3);
    world.sync_all().expect(0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.syncctl(&["accounts", "revoke", &users[0]]).expect(0);
    let run = world.syncctl(&["calendar", "batch-poll", &users[0], &users[1], "--json"]).expect(0).json();
    assert_eq!((&run["status"], &run["polls"], &run["failed_users"]), (&json!("completed"), &json!(2), &json!(0)), "{run}");
    assert_eq!(not_polled(&run).matches("ended with `syncctl accounts revoke`").count(), 2, "{run}");
    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["accounts"]["accounts"], &status["accounts"]["of"]), (&json!(0), &json!(1)), "{status}");
    assert_eq!((&status["services"][0]["streams"], &status["services"][0]["revoked"]), (&json!(2), &json!(0)), "{status}");
}
