//! Doctor and the database: unavailable, outdated, behind a pooler, open to others.

use super::{doctor, synced};
use crate::support::World;
use crate::support::waiting::until;
use crate::support::world::Way;

#[test]
fn without_a_database_the_rest_is_reported_anyway() {
    let mut world = synced(1);
    world.url = "postgres://nobody@127.0.0.1:1/none".into();
    let report = doctor(&world, &[]);
    assert_eq!(report.code, 1);
    report.has("fail", "cannot reach database none").has("ok", "within 1 s of Google's").has("ok", "push address: not set");
    report.has("warn", "were not checked: there is no usable database");
}

#[test]
fn a_schema_of_another_version_is_reported() {
    let world = synced(1);
    world.execute("UPDATE schema_migrations SET version = 999 WHERE version = (SELECT max(version) FROM schema_migrations)");
    doctor(&world, &[]).has("fail", "schema: the schema is at version 999, newer than").has("ok", "database: PostgreSQL");
    world.execute("DELETE FROM schema_migrations WHERE version = 999");
    doctor(&world, &[]).has("fail", "run `syncctl db migrate`");
    world.execute("DROP TABLE schema_migrations");
    doctor(&world, &[]).has("fail", "no syncctl schema yet");
}

#[test]
fn a_pooler_in_transaction_mode_is_recognized() {
    doctor(&World::by(Way::Direct), &["--offline"]).has("ok", "pooler: none");
    doctor(&World::by(Way::Pooler), &["--offline"]).has("ok", "pooler: a pooler in transaction mode");
}

#[test]
fn a_role_that_may_only_use_its_tables_is_recognized_over_tls() {
    let world = World::by(Way::Tls);
    doctor(&world, &["--offline"]).has("ok", "may create tables").has("ok", "tls: ");
    world.execute("ALTER SCHEMA syncctl OWNER TO CURRENT_USER; GRANT USAGE ON SCHEMA syncctl TO PUBLIC");
    doctor(&world, &["--offline"]).has("ok", "cannot create tables: migrations need another role");
    world.execute("DELETE FROM schema_migrations");
    doctor(&world, &["--offline"]).has("fail", "cannot create tables, and the schema is not current");
}

#[test]
fn tables_that_a_public_api_shows_are_reported() {
    let world = synced(1);
    world.execute("DO $$ BEGIN CREATE ROLE anon; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    assert_eq!(doctor(&world, &[]).lines("fail"), Vec::<String>::new());
    world.execute("CREATE TABLE theirs (x int); GRANT SELECT ON ALL TABLES IN SCHEMA syncctl TO anon");
    let report = doctor(&world, &[]);
    let count = world.rows("pg_class WHERE relkind = 'r' AND relnamespace = 'syncctl'::regnamespace");
    report.has("fail", &format!("privacy: anon has its own rights (SELECT) on {} tables", count - 1)).has("fail", "accounts");
    world.execute(
        "DO $$ DECLARE t regclass; BEGIN
           FOR t IN SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'syncctl'::regnamespace LOOP
             EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
           END LOOP;
         END $$",
    );
    // Row-level security hides the present rows, but the grant exists.
    doctor(&world, &[]).has("fail", "privacy: anon has its own rights");
    world.execute("REVOKE ALL ON ALL TABLES IN SCHEMA syncctl FROM anon");
    assert_eq!(doctor(&world, &[]).lines("fail"), Vec::<String>::new());
}

#[test]
fn a_transaction_that_is_open_for_longer_than_a_lease_is_reported_with_its_owner() {
    let mut world = synced(1);
    world.set("SYNCCTL_ENGINE_LEASE", "200ms");
    let url = format!("{} application_name='notebook of ann'", world.database.url());
    let mut other = postgres::Client::connect(&url, postgres::NoTls).expect("a connection");
    other.batch_execute("BEGIN; SELECT FROM streams FOR UPDATE").expect("all streams");
    let pid: i32 = other.query_one("SELECT pg_backend_pid() FROM pg_sleep(0.3)", &[]).expect("a pid").get(0);
    let report = doctor(&world, &["--offline"]);
    report.has(
        "warn",
        &format!("transactions: process {pid} (\"notebook of ann\" by the server's socket) has a transaction open for"),
    );
    // A transaction that blocks others is a failure.
    std::thread::scope(|threads| {
        threads.spawn(|| world.execute("UPDATE streams SET weight = weight"));
        while world.lock_waits() == 0 {
            std::thread::yield_now();
        }
        doctor(&world, &["--offline"]).has("fail", "1 statement waits for it");
        other.batch_execute("COMMIT").expect("its end");
    });
    // A busy server takes its time to end the sessions of clients that have gone.
    let is_fine =
        || doctor(&world, &["--offline"]).finds("ok", "transactions: no transaction has been open for longer than 200ms");
    until("no transaction is open", is_fine);
}
