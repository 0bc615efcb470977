//! Streams that another session holds or writes at the same time: a run skips them, and continues.

use serde_json::json;

use crate::support::World;
use crate::support::waiting::until;

#[test]
fn a_run_closes_idle_streams_once_their_locks_end_and_skips_those_locked_for_longer() {
    let world = World::with_users(3, 3);
    world.sync_all().expect(0);
    let held = "SELECT FROM streams WHERE id IN (SELECT id FROM streams WHERE kind = 'events' ORDER BY id LIMIT 2) FOR UPDATE";
    world.sim.fault(json!({ "fault": "stall", "method": "events.list" }));
    let run = world.spawn(&["calendar", "cron", "--force", "-v", "--json"]);
    // A stream that is locked before it is claimed is not claimed at all.
    world.wait_for_stall();
    let mut other = world.database.connect();
    other.batch_execute(&format!("BEGIN; {held}")).expect("two streams");
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    // It does not wait.
    let output = run.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("closing idle streams again") && stderr.contains("another transaction holds the stream"), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!((&report["interrupted_streams"], &report["failed_streams"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(world.leased_streams(), 2, "the others are closed");
    other.batch_execute("COMMIT").expect("its end");
    // Their leases lapse.
    world.execute("UPDATE streams SET claimed_until = now() - interval '1 second' WHERE claimed_by IS NOT NULL");
    world.sync_all().expect(0);
    world.assert_no_leftovers();
}

#[test]
fn a_locked_stream_does_not_delay_the_heartbeat() {
    let mut world = World::with_users(2, 3);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_LEASE", "500ms");
    world.sim.fault(json!({ "fault": "stall", "method": "events.list" }));
    let run = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    let mut other = world.database.connect();
    other.batch_execute("BEGIN; SELECT FROM streams FOR UPDATE").expect("all streams");
    let alive = || world.query("SELECT alive_until FROM runs WHERE status = 'running'")[0].get::<_, std::time::SystemTime>(0);
    let (before, heard) = (alive(), std::cell::Cell::new(0));
    until("two heartbeats", || {
        heard.set(alive().duration_since(before).map_or(0, |later| later.as_millis()));
        heard.get() > 250
    });
    other.batch_execute("COMMIT").expect("its end");
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    assert!(run.wait_with_output().expect("it ends").status.success());
    world.assert_no_leftovers();
}

/// Like a laptop that was closed, or a virtual machine that was moved.
#[test]
fn a_run_that_was_suspended_for_longer_than_its_lease_is_recorded_once() {
    let mut world = World::with_users(2, 3);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "times": 1 }));
    let run = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    let pid = i32::try_from(run.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("a signal");
    world.wait_until_leases_lapse();
    world.churn(4, 1);
    world.sync_all().expect(0);
    assert_eq!(world.results_in("calendar", "abandoned"), 1);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("a signal");
    world.sim.admin("release", json!({}));
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "its streams are another's: {output:?}");
    world.assert_in_step();
    world.assert_no_leftovers();
    assert_eq!(world.rows("calendar_cron_metrics"), 3);
    assert_eq!(world.rows("calendar_cron_summaries WHERE summary_data ->> 'status' = 'abandoned'"), 0);
    assert_eq!(world.syncctl(&["calendar", "metrics", "--json"]).expect(0).json()["window"]["runs"], 3);
}

#[test]
fn a_run_that_is_taken_for_dead_at_the_moment_it_ends_is_recorded_once() {
    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    world.sim.fault(json!({ "fault": "stall", "method": "events.list" }));
    let run = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    // What another run does when it finds the lease lapsed, up to its commit.
    let mut other = world.database.connect();
    let died = "BEGIN; UPDATE runs SET status = 'abandoned' WHERE status = 'running';
        UPDATE calendar_cron_results SET status = 'abandoned' WHERE status = 'running';
        INSERT INTO calendar_cron_metrics (execution_id, successful_syncs, failed_syncs, total_processing_time_ms)
          SELECT id::text, 0, 0, 0 FROM runs WHERE status = 'abandoned'";
    other.batch_execute(died).expect("its rows");
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    let ending = "pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM job_locks WHERE run_id%'";
    until("the run waits to write its end", || world.rows(ending) == 1);
    other.batch_execute("COMMIT").expect("its end");
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let doubled = "SELECT count(*) FROM (SELECT FROM calendar_cron_metrics GROUP BY execution_id HAVING count(*) > 1) d";
    assert_eq!(world.count(doubled), 0);
    assert_eq!(world.runs_not_completed(), 0);
}
