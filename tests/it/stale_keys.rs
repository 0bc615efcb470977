//! A host whose seal key file is outdated: it leaves everything to hosts that have the key.

use std::fs;

use serde_json::json;

use crate::support::World;
use crate::support::waiting::until;

/// What its runs must not change: due times and failures.
fn state(world: &World) -> Vec<String> {
    let rows = world.query(
        "SELECT (s.id, s.due_at, s.failures, s.failed_class, s.state, s.claimed_by)::text FROM streams s
         UNION ALL SELECT (a.user_id, a.state, a.access_token, a.credentials)::text FROM accounts a ORDER BY 1",
    );
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_host_with_stale_keys_ends_with_78_and_touches_nothing() {
    let mut world = World::with_users(3, 4);
    world.sync_all().expect(0);
    let good = world.folder.path().join("seal.keys");
    let stale = world.folder.path().join("stale.keys");
    fs::copy(&good, &stale).expect("a copy");
    world.syncctl(&["accounts", "rekey", "--new-key"]).expect(0);
    world.make_all_due();
    world.churn(6, 1);
    let before = state(&world);
    let calls = world.sim.get("ledger").to_string();
    world.set("SYNCCTL_SEAL_KEY_FILE", stale.to_str().expect("a path"));
    for command in [&["calendar", "cron"][..], &["calendar", "poll", "user00000@example.com"], &["sync", "cron"]] {
        let ran = world.syncctl(command).expect(78);
        assert!(ran.stderr.contains("3 accounts are sealed with key") && ran.stderr.contains("stale.keys"), "{ran:#?}");
        assert_eq!(state(&world), before, "{command:?}");
        assert_eq!(world.sim.get("ledger").to_string(), calls, "{command:?} asked Google");
        assert_eq!(world.job_locks(), 0, "{command:?} holds a job that others could do");
    }
    assert!(world.results_in("calendar", "failed") >= 2);
    world.set("SYNCCTL_SEAL_KEY_FILE", good.to_str().expect("a path"));
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_host_whose_keys_become_stale_while_it_polls_delays_no_user() {
    let mut world = World::with_users(3, 4);
    world.sync_all().expect(0);
    let good = world.folder.path().join("seal.keys");
    let stale = world.folder.path().join("stale.keys");
    fs::copy(&good, &stale).expect("a copy");
    world.set("SYNCCTL_ENGINE_LOOK_EVERY", "1s");
    // Each user needs a token, for which the credentials are opened; at first only one of them is due.
    let others = "user_id <> (SELECT id FROM users ORDER BY id LIMIT 1)";
    world.execute(&format!(
        "UPDATE accounts SET access_token = NULL, token_expires_at = NULL;
         UPDATE streams SET due_at = now() + CASE WHEN {others} THEN interval '1 hour' ELSE '0' END"
    ));
    world.sim.fault(json!({ "fault": "stall", "method": "token", "times": 1 }));
    world.set("SYNCCTL_SEAL_KEY_FILE", stale.to_str().expect("a path"));
    let run = world.spawn(&["calendar", "cron"]);
    world.wait_for_stall();
    world.set("SYNCCTL_SEAL_KEY_FILE", good.to_str().expect("a path"));
    world.syncctl(&["accounts", "rekey", "--new-key"]).expect(0);
    world.execute(&format!("UPDATE streams SET due_at = now() WHERE {others}"));
    let unclaimed = format!("streams WHERE claimed_by IS NULL AND {others} AND service = 'calendar'");
    until("it looks for what has fallen due", || world.rows(&unclaimed) == 0);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    let output = run.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("settings") && said.contains("which is not among the seal keys"),
        "{said}"
    );
    assert_eq!(world.rows("streams WHERE failures > 0 OR claimed_by IS NOT NULL"), 0, "put off");
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}
