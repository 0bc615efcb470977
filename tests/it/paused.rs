//! Projects paused by a provider for the day: no run polls them or reports completed, and a probe or a person lifts the pause.

use serde_json::json;

use crate::support::World;
use crate::support::world::runs::LastResult;

/// This many users in sync and due, whose project's daily quota is used up; one request at a time, with one call in it.
fn used_up(users: u32) -> World {
    let mut world = World::with_users(users, 3);
    world.sync_all().expect(0);
    for name in ["SYNCCTL_ENGINE_CONCURRENCY", "SYNCCTL_ENGINE_THREADS", "SYNCCTL_GOOGLE_BATCH_SIZE"] {
        world.set(name, "1");
    }
    world.churn(20, 1);
    world.make_all_due();
    world.sim.fault(json!({ "fault": "daily_quota_403", "probability": 1.0 }));
    world.sim.reset_ledger();
    world
}

fn calls(world: &World) -> u64 {
    world.sim.ledger()["total"].as_u64().expect("a number")
}

fn project(world: &World) -> String {
    world.query("SELECT min(project) FROM accounts")[0].get(0)
}

fn completed(world: &World) -> i64 {
    world.runs_of("calendar cron", "completed")
}

#[test]
fn the_run_that_uses_the_day_up_stops_calling_and_later_ones_say_who_waits() {
    let world = used_up(20);
    let (before, project) = (completed(&world), project(&world));
    for number in 1..=3 {
        let run = world.syncctl(&["calendar", "cron", "--json"]).expect(1);
        let report = run.json();
        assert_eq!(report["status"], "paused", "run {number}: {report}");
        assert_eq!((&report["paused"][0]["project"], &report["paused"][0]["streams"]), (&json!(project), &json!(40)), "{report}");
        assert!(run.stderr.contains(&format!("project {project} is paused until")), "run {number}: {run:#?}");
        assert!(run.stderr.contains("40 streams wait") && run.stderr.lines().count() <= 3, "run {number}: {run:#?}");
    }
    assert_eq!((calls(&world), completed(&world)), (1, before), "calls, and runs that called themselves completed");
    let LastResult { status, error } = world.last_result("calendar");
    assert!(status == "paused" && error.contains("daily_quota") && !error.contains('@'), "{status}: {error}");
    world.assert_no_leftovers();
}

#[test]
fn a_pause_is_reported_everywhere_and_can_be_lifted() {
    let world = used_up(3);
    world.syncctl(&["calendar", "cron"]).expect(1);
    let (project, user) = (project(&world), world.first_user());
    let output_of = |command: &[&str]| world.syncctl(command).stdout;
    let text = output_of(&["calendar", "cron"]);
    assert!(text.starts_with("calendar cron: paused") && text.contains(&format!("project {project} is paused until")), "{text}");
    for command in [&["status"][..], &["sync", "explain", &user], &["doctor", "--offline"], &["quota", "list"]] {
        let text = output_of(command);
        assert!(text.contains("paused until") && text.contains(&project), "{command:?}: {text}");
    }
    let metrics = output_of(&["metrics", "--prometheus"]);
    let labels = format!("{{service=\"calendar\",project=\"{project}\"}}");
    assert!(metrics.contains(&format!("syncctl_quota_paused_streams{labels} 6.0\n")), "{metrics}");
    assert!(metrics.contains(&format!("syncctl_quota_paused_until_timestamp_seconds{labels}")), "{metrics}");
    assert_eq!(world.syncctl(&["quota", "list", "--json"]).expect(0).json()[0]["streams"], 6);

    let unknown = world.syncctl(&["quota", "resume", "nobodys"]).expect(2);
    assert!(unknown.stderr.contains("quota list"), "{unknown:#?}");
    world.sim.clear_faults();
    world.syncctl(&["quota", "resume", &project]).expect(0);
    assert_eq!(world.quota_pauses(), 0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
    assert!(output_of(&["quota", "list"]).contains("no project is paused"));
}

#[test]
fn a_run_that_polled_others_is_partial() {
    let world = used_up(3);
    world.sim.clear_faults();
    world.execute(
        "INSERT INTO quota_pauses (service, project, until, reason) SELECT 'calendar', min(project), now() + interval '1 hour', 'x' FROM accounts;
         UPDATE accounts SET project = 'other' WHERE user_id = (SELECT min(user_id::text)::uuid FROM accounts)",
    );
    let run = world.syncctl(&["calendar", "cron", "--json"]).expect(1).json();
    assert_eq!(
        (&run["status"], &run["streams"], &run["paused"][0]["streams"]),
        (&json!("partial"), &json!(2), &json!(4)),
        "{run}"
    );
}

#[test]
fn one_careful_call_finds_out_whether_a_pause_is_over() {
    let world = used_up(4);
    world.syncctl(&["calendar", "cron"]).expect(1);
    world.sim.reset_ledger();
    let is_time = || world.execute("UPDATE quota_pauses SET began_at = now() - interval '20 minutes', probe_at = now()");
    is_time();
    for _ in 0..2 {
        world.syncctl(&["calendar", "cron"]).expect(1);
    }
    assert_eq!((calls(&world), world.quota_pauses()), (1, 1), "one call, and none before the next probe");
    assert_eq!(world.rows("quota_pauses WHERE probe_at > now() + interval '15 minutes'"), 1);
    world.sim.clear_faults();
    is_time();
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(world.quota_pauses(), 0);
    world.assert_in_step();
}

/// If no stream has a cursor yet, the probe is the first page of a first sync.
#[test]
fn a_first_sync_is_a_probe_too() {
    let mut world = World::with_users(3, 30);
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "5");
    world.execute(
        "INSERT INTO quota_pauses (service, project, until, reason, began_at, probe_at)
         SELECT 'calendar', min(project), now() + interval '1 hour', 'x', now() - interval '1 hour', now() FROM accounts",
    );
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(world.quota_pauses(), 0);
    world.assert_in_step();
}

#[test]
fn a_cap_of_our_own_is_a_pause_too() {
    let mut world = World::with_users(10, 2);
    world.set("SYNCCTL_QUOTA_CALENDAR_PER_DAY", "12");
    world.sync_all().expect(1);
    let run = world.syncctl(&["calendar", "cron"]).expect(1);
    assert!(run.stdout.starts_with("calendar cron: paused") && run.stdout.contains("allowed by the settings"), "{run:#?}");
    world.set("SYNCCTL_QUOTA_CALENDAR_PER_DAY", "1000");
    world.execute("UPDATE quota_pauses SET probe_at = now()");
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
}

/// Including jobs without a feed.
#[test]
fn jobs_that_claim_no_stream_do_not_call_a_paused_project() {
    let mut world = used_up(2);
    world.syncctl(&["calendar", "cron"]).expect(1);
    world.set("SYNCCTL_PUSH_ADDRESS", "https://push.example.com");
    world.sim.reset_ledger();
    world.syncctl(&["calendar", "renew-watches"]).expect(1);
    world.syncctl(&["verify", "calendar"]).expect(1);
    assert_eq!(calls(&world), 0);
}
