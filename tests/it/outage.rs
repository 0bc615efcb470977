//! The database becomes unavailable during a run.

use serde_json::json;

use crate::support::World;
use crate::support::gate::Gate;
use crate::support::postgres::{self, Postgres};

#[test]
fn a_database_that_goes_away_ends_the_run_with_69_and_loses_nothing() {
    let server: &'static Postgres = Box::leak(Box::new(Postgres::new(None, &[])));
    let start = || server.cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
    start();
    let database = server.database();
    let url = database.url();
    let mut world = World::on(database, url);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.populate(4, 10);
    world.sync_all().expect(0);
    world.sim.churn(20, 1);
    world.sim.fault(json!({ "fault": "stall", "at_call": 3, "times": 1 }));
    let run = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    server.cluster.stop().expect("stopped");
    world.sim.admin("release", json!({}));
    let output = run.wait_with_output().expect("the run ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("cannot reach database") || said.contains("the database went away"), "{said}");
    start();
    world.wait_until_leases_lapse();
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
    assert_eq!(world.results_in("calendar", "abandoned"), 1);
}

/// Runs a command repeatedly, with the database failing after its first message, its second, and so on, until one run completes.
fn at_each_moment(world: &mut World, command: &[&str], ahead: impl Fn(&World)) -> usize {
    let server = postgres::shared();
    let gate = Gate::before(&server.socket_dir(), server.port());
    let direct = std::mem::replace(&mut world.url, gate.url(world.database.name(), server.port()));
    let through = world.url.clone();
    for pieces in 1.. {
        world.url.clone_from(&direct);
        ahead(world);
        world.wait_until_leases_lapse();
        world.url.clone_from(&through);
        gate.close_after(pieces);
        let ran = world.syncctl(command);
        if !gate.is_closed() {
            world.url = direct;
            ran.expect(0);
            return pieces;
        }
        assert_eq!(ran.code, 69, "gone after {pieces} pieces: {ran:#?}");
        assert!(
            ["went away", "cannot reach", "cannot connect"].iter().any(|words| ran.stderr.contains(words)),
            "gone after {pieces} pieces: {ran:#?}"
        );
    }
    unreachable!("a command ends")
}

#[test]
fn a_sync_ends_with_69_whenever_the_database_goes_away() {
    let mut world = World::with_users(2, 5);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.sync_all().expect(0);
    let moments = at_each_moment(&mut world, &["calendar", "cron", "--force"], |world| {
        world.churn(4, 1);
        // Streams of runs that died twice are polled in separate processes, which other tests cover.
        world.execute("UPDATE streams SET lapses = 0");
    });
    assert!(moments > 10, "{moments}");
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_command_ends_with_69_whenever_the_database_goes_away() {
    let mut world = World::with_users(2, 5);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.sync_all().expect(0);
    for command in
        ["status", "calendar metrics", "accounts list", "accounts check", "verify", "db prune", "deliver", "channels list"]
    {
        let words: Vec<&str> = command.split(' ').collect();
        // A check that died holds the token refresh lock for half a minute.
        let ahead = |world: &World| world.execute("UPDATE accounts SET refreshing_until = NULL");
        assert!(at_each_moment(&mut world, &words, ahead) > 1, "{command} asks the database nothing");
    }
}

#[test]
fn connections_that_a_server_drops_are_replaced() {
    let mut world = World::with_users(4, 10);
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "1");
    world.sync_all().expect(0);
    world.sim.churn(20, 1);
    world.sim.fault(json!({ "fault": "stall", "at_call": 3, "times": 1 }));
    let run = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    // The only poll waits for its answer; the dispatcher's own statements end.
    let others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while world.count(&format!("SELECT count(*) {others} AND state <> 'idle'")) > 0 {
        std::thread::yield_now();
    }
    let dropped = world.count(&format!("SELECT count(pg_terminate_backend(pid, 10000)) {others}"));
    assert!(dropped > 0, "the run had no connection");
    world.sim.admin("release", json!({}));
    let output = run.wait_with_output().expect("the run ends");
    assert!(output.status.success(), "{output:?}");
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_command_whose_connection_is_cut_ends_with_69_too() {
    let world = World::with_users(1, 1);
    let mut database = world.database.connect();
    let mut tx = database.transaction().expect("a transaction");
    tx.batch_execute("LOCK TABLE streams IN ACCESS EXCLUSIVE MODE").expect("a lock");
    let command = world.spawn(&["status"]);
    let cut = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while world.count(cut) == 0 {
        std::thread::yield_now();
    }
    let output = command.wait_with_output().expect("the command ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("the database went away"), "{said}");
    tx.rollback().expect("the end of the lock");
}

/// As after a failover, when the old primary is reachable but read-only.
#[test]
fn a_read_only_database_ends_with_69_and_a_message() {
    let world = World::with_users(1, 1);
    world.sync_all().expect(0);
    world.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", world.database.name()));
    for command in ["calendar cron", "sync cron", "webhook drain"] {
        let words: Vec<&str> = command.split(' ').collect();
        let ran = world.syncctl(&words);
        assert!(ran.code == 69 && ran.stderr.contains("read-only"), "{command}: {ran:#?}");
    }
}

#[test]
fn a_database_whose_disk_is_full_ends_with_69_and_nothing_is_lost() {
    let mut world = World::with_users(2, 5);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.sync_all().expect(0);
    world.execute(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$",
    );
    for table in ["runs", "streams", "calendar_events", "calendar_cron_summaries"] {
        world.churn(4, 1);
        world.execute(&format!("CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION no_room()"));
        let ran = world.sync_all();
        // A failure that can be recorded is a run with failed streams.
        let code = if table == "calendar_events" { 1 } else { 69 };
        assert!(ran.code == code && ran.stderr.contains("No space left on device"), "{table}: {ran:#?}");
        world.execute(&format!("DROP TRIGGER no_room ON {table}"));
        assert_eq!(world.quarantined(), 0, "{table}: no fault of any item");
        world.wait_until_leases_lapse();
        world.sync_all().expect(0);
        world.assert_in_step();
    }
}
