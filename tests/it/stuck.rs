//! Rows that another session holds and does not release: a host that vanished, a person with an open transaction, another statement.

use std::process::{Child, Output};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::gate::Gate;
use crate::support::service::DRIVE;
use crate::support::waiting::{terminate, until_within};
use crate::support::{World, postgres};

const MINUTE: Duration = Duration::from_secs(60);

/// Waits for the end of a run; kills one that has not ended by then, and fails the test.
#[track_caller]
fn ended_by(mut run: Child, by: Instant) -> Output {
    while run.try_wait().expect("a child").is_none() {
        if Instant::now() >= by {
            run.kill().expect("killing the run");
            panic!("still at work: {:?}", run.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    run.wait_with_output().expect("it has ended")
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    until_within(MINUTE, what, holds);
}

/// The network loses a host in the middle of a page: its locks must not outlive it for long.
#[test]
fn a_host_that_vanishes_inside_a_page_holds_others_up_for_less_than_a_minute() {
    let mut world = World::of(&DRIVE, 3, 8);
    world.set("SYNCCTL_ENGINE_LEASE", "3s");
    world.sync_all().expect(0);
    let server = postgres::shared();
    let gate = Gate::before(&server.socket_dir(), server.port());
    let direct = std::mem::replace(&mut world.url, gate.url(world.database.name(), server.port()));
    world.churn(40, 1);
    gate.freeze_at("COMMIT");
    let mut lost = world.spawn(&["drive", "cron", "--force"]);
    world.url = direct;
    assert!(gate.stands_still_before_the_end_of(&mut lost), "no page reached its commit: {:?}", lost.wait_with_output());
    lost.kill().expect("killing the run");
    lost.wait().expect("it ends");
    // Sessions with rows or a snapshot. A connection that was lost after its BEGIN, before the limits of that transaction, has neither.
    let open = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
      AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)";
    assert!(world.rows(open) > 0, "it holds nothing");
    world.wait_until_leases_lapse();
    // Another host runs into these locks, and gets the rows in the end.
    let other = world.spawn(&["drive", "cron", "--force"]);
    until("what the lost host held is free", || world.rows(open) == 0);
    let output = ended_by(other, Instant::now() + MINUTE);
    assert!(output.status.success(), "{output:?}");
    // The stream of that page is free by now.
    world.wait_until_leases_lapse();
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

/// Six users with one changed event each, four of which another session holds.
fn held(world: &World) -> ::postgres::Client {
    world.sim.generate(6, 2);
    world.import();
    let put = |title: &str| {
        for user in world.sim.users() {
            let time = |hours: i64| json!({ "dateTime": (world.sim_now() + chrono::Duration::hours(hours)).to_rfc3339() });
            let event = json!({ "id": "talk", "summary": title, "start": time(30), "end": time(31) });
            world.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }));
        }
    };
    put("before");
    world.sync_all().expect(0);
    put("after");
    let mut other = world.database.connect();
    let four = "BEGIN; SELECT FROM calendar_events WHERE event_id = 'talk' AND user_id IN (SELECT id FROM users ORDER BY id LIMIT 4) FOR UPDATE";
    other.batch_execute(four).expect("four rows");
    other
}

const AFTER: &str = "calendar_events WHERE event_id = 'talk' AND raw ->> 'summary' = 'after'";

#[test]
fn a_page_whose_rows_are_locked_waits_and_the_others_go_on() {
    let mut world = World::empty();
    let mut other = held(&world);
    world.set("SYNCCTL_DB_POOL_SIZE", "2");
    let run = world.spawn(&["calendar", "cron", "--force", "--json"]);
    until("the events that are not held", || world.rows(AFTER) == 2);
    other.batch_execute("COMMIT").expect("its end");
    let output = ended_by(run, Instant::now() + MINUTE);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.rows(AFTER), 6);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_page_that_never_gets_its_rows_is_a_failure_with_a_name_and_the_run_ends() {
    let world = World::empty();
    let mut other = held(&world);
    let run = world.spawn(&["calendar", "cron", "--force", "--json"]);
    let output = ended_by(run, Instant::now() + 3 * MINUTE);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("4 of ") && said.contains("streams failed") && said.contains("`syncctl doctor` shows which one"),
        "{said}"
    );
    other.batch_execute("COMMIT").expect("its end");
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_run_ends_in_its_time_although_its_pages_wait_for_rows() {
    for arguments in [&["--max-duration", "5s"][..], &[]] {
        let world = World::empty();
        let mut other = held(&world);
        let run = world.spawn(&[&["calendar", "cron", "--force", "--json"], arguments].concat());
        if arguments.is_empty() {
            until("the events that are not held", || world.rows(AFTER) == 2);
            terminate(&run);
        }
        let output = ended_by(run, Instant::now() + MINUTE);
        assert!(output.status.success(), "{output:?}");
        other.batch_execute("COMMIT").expect("its end");
        world.assert_no_leftovers();
        world.sync_all().expect(0);
        world.assert_in_step();
    }
}

/// A table that is altered, or rewritten by VACUUM FULL: no statement gets through, not even those at the end of a run.
#[test]
fn a_run_ends_in_its_time_although_every_statement_waits() {
    for arguments in [&["--max-duration", "1s"][..], &[]] {
        let mut world = World::with_users(2, 3);
        world.set("SYNCCTL_ENGINE_LEASE", "1s");
        world.sync_all().expect(0);
        world.churn(4, 1);
        world.sim.fault(json!({ "fault": "stall", "method": "events.list" }));
        let run = world.spawn(&[&["calendar", "cron", "--force", "--json"], arguments].concat());
        world.wait_for_stall();
        let mut other = world.database.connect();
        other.batch_execute("BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE").expect("the table");
        world.sim.clear_faults();
        world.sim.admin("release", json!({}));
        until("a statement waits", || world.lock_waits() > 0);
        if arguments.is_empty() {
            terminate(&run);
        }
        let output = ended_by(run, Instant::now() + MINUTE);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(69) && said.contains("the database held it up"), "{said}");
        until("its statements have ended too", || world.lock_waits() == 0);
        other.batch_execute("COMMIT").expect("its end");
        world.wait_until_leases_lapse();
        world.sync_all().expect(0);
        world.assert_in_step();
    }
}

#[test]
fn no_transaction_is_open_while_a_provider_is_asked() {
    let world = World::with_users(1, 3);
    world.sim.fault(json!({ "fault": "stall", "method": "events.list" }));
    let run = world.spawn(&["calendar", "cron"]);
    world.wait_for_stall();
    // Older statements may still end. One that belonged to the page would stay.
    let open = "pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL";
    until("no transaction is open while Google is asked", || world.rows(open) == 0);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    assert!(run.wait_with_output().expect("it ends").status.success());
    assert_eq!(world.rows("calendar_events"), 3);
}
