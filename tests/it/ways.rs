//! The main job over the other connections to PostgreSQL: a pooler in transaction mode, and TLS with verification.

use serde_json::json;

use crate::support::world::Way;
use crate::support::{World, pgbouncer, postgres};

/// First sync, changes, an expired cursor, faults, an idle run: as with the direct connection.
fn main_job(world: &World) {
    world.populate(20, 20);
    world.sync_all().expect(0);
    world.assert_in_step();
    world.sim.churn(40, 1);
    world.sim.admin("expire", json!({ "what": "sync_tokens" }));
    world.sim.fault(json!({ "fault": "server_500", "probability": 0.2, "times": 20 }));
    world.sync_all();
    world.sim.clear_faults();
    world.sync_all().expect(0);
    world.assert_in_step();
    let idle = world.sync_all().expect(0).json();
    assert_eq!(idle["idle_streams"], idle["streams"]);
    world.assert_no_leftovers();
}

#[test]
fn the_main_job_passes_through_a_pooler_in_transaction_mode() {
    let world = World::by(Way::Pooler);
    main_job(&world);
    // Several concurrent processes interleave their statements on the same server connections.
    world.make_all_due();
    let runs: Vec<_> = (0..3).map(|_| world.spawn(&["calendar", "cron", "--parallel"])).collect();
    for run in runs {
        let output = run.wait_with_output().expect("the run ends");
        assert!(output.status.success(), "{output:?}");
    }
    world.syncctl(&["db", "status"]).expect(0);
    world.assert_in_step();
}

#[test]
fn the_main_job_passes_over_tls_that_checks_the_server() {
    main_job(&World::by(Way::Tls));
}

#[test]
fn migrations_pass_through_a_pooler_from_two_hosts_at_once() {
    let mut world = World::empty();
    let fresh = postgres::shared().database();
    world.url = pgbouncer::shared().url(fresh.name());
    let runs: Vec<_> = (0..3).map(|_| world.spawn(&["db", "migrate"])).collect();
    for run in runs {
        let output = run.wait_with_output().expect("the migration ends");
        assert!(output.status.success(), "{output:?}");
    }
    world.syncctl(&["calendar", "cron"]).expect(0);
}

#[test]
fn made_by_hand_run_tables_are_adopted_with_their_rows() {
    let mut world = World::empty();
    let fresh = postgres::shared().database();
    world.url = fresh.url();
    fresh
        .connect()
        .batch_execute(
            "CREATE TABLE calendar_cron_results (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), execution_id text NOT NULL, start_time timestamptz,
               end_time timestamptz, total_users int, successful_syncs int, failed_syncs int, total_processing_time_ms int, status text,
               error_message text, timestamp timestamptz DEFAULT now());
             INSERT INTO calendar_cron_results (execution_id, status) VALUES ('old-1', 'completed'), ('old-2', 'running');
             CREATE TABLE drive_cron_summaries (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), summary_data jsonb);
             INSERT INTO drive_cron_summaries (summary_data) VALUES ('{\"files\": 3}')",
        )
        .expect("tables made by hand");
    // Otherwise the tables would get a schema of their own.
    world.set("SYNCCTL_DB_SCHEMA", "public");
    world.syncctl(&["db", "migrate"]).expect(0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.syncctl(&["calendar", "metrics"]).expect(0);
    let mut client = fresh.connect();
    let rows =
        client.query("SELECT status FROM calendar_cron_results WHERE execution_id LIKE 'old-%' ORDER BY 1", &[]).expect("rows");
    assert_eq!(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["completed", "running"]);
    assert_eq!(
        client.query("SELECT 1 FROM drive_cron_summaries WHERE summary_data = '{\"files\": 3}'", &[]).expect("rows").len(),
        1
    );
}
