//! `sql/roles.sql`: jobs run without the right to change the schema, dashboards read no secrets, strangers see nothing.

use std::process::Command;

use crate::support::World;

/// Runs the file as an administrator would. Returns its output.
pub fn apply(world: &World) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/roles.sql");
    let ran = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, "-d", &world.database.url()])
        .output()
        .expect("psql");
    let printed = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{printed}");
    printed
}

/// The same database as another role.
pub fn as_role(world: &World, role: &str) -> String {
    format!("{} options='-c role={role}'", world.database.url())
}

#[track_caller]
pub fn refused(world: &World, role: &str, statement: &str) {
    let mut client = postgres::Client::connect(&as_role(world, role), postgres::NoTls).expect("a connection");
    let error = client.batch_execute(statement).expect_err(&format!("{role} may: {statement}"));
    assert_eq!(error.code().map(postgres::error::SqlState::code), Some("42501"), "{role}: {statement}: {error:?}");
}

fn count(world: &World, role: &str, statement: &str) -> i64 {
    let mut client = postgres::Client::connect(&as_role(world, role), postgres::NoTls).expect("a connection");
    client.query_one(statement, &[]).unwrap_or_else(|error| panic!("{role}: {statement}: {error:?}")).get(0)
}

#[test]
fn jobs_run_without_rights_to_the_schema_and_others_see_what_is_theirs_to_see() {
    let mut world = World::with_users(3, 5);
    // Like a platform's default grants to a role that anyone on the internet has.
    world.execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'anon') THEN CREATE ROLE anon; END IF; END $$;
         GRANT USAGE ON SCHEMA syncctl TO anon; GRANT ALL ON ALL TABLES IN SCHEMA syncctl TO anon",
    );
    assert!(count(&world, "anon", "SELECT count(*) FROM accounts") > 0, "what is to be prevented");
    apply(&world);
    // A foreign table is unchanged.
    world.execute("CREATE TABLE gmail_labels_of_somebody (id int); GRANT SELECT ON gmail_labels_of_somebody TO anon; INSERT INTO gmail_labels_of_somebody VALUES (1)");
    apply(&world);
    assert_eq!(count(&world, "anon", "SELECT count(*) FROM gmail_labels_of_somebody"), 1);

    // All our tables are covered.
    let open = world.query("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'syncctl'::regnamespace AND NOT relrowsecurity AND relname <> 'gmail_labels_of_somebody'");
    assert_eq!(open.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), Vec::<String>::new());

    // A lost host's connection is dropped, whatever it was about to send.
    let bounded = "pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
      WHERE d.datname = current_database() AND s.setrole = 'syncctl_runtime'::regrole AND 'idle_in_transaction_session_timeout=1min' = ANY (s.setconfig)";
    assert_eq!(world.rows(bounded), 1);

    world.url = as_role(&world, "syncctl_runtime");
    for job in
        [["calendar", "cron"], ["drive", "cron"], ["gmail", "cron"], ["attendee", "cron"], ["sync", "cron"], ["db", "prune"]]
    {
        world.syncctl(&job).expect(0);
    }
    world.assert_in_step();
    assert!(world.syncctl(&["db", "migrate"]).expect(0).stdout.contains("schema is current"));
    world.url = as_role(&world, "syncctl_readonly");
    let may_not = world.syncctl(&["calendar", "cron"]).expect(78);
    assert!(may_not.stderr.contains("the role in db.url lacks a privilege"), "{}", may_not.stderr);
    refused(&world, "syncctl_runtime", "CREATE TABLE mine (id int)");
    refused(&world, "syncctl_runtime", "DROP TABLE runs");
    refused(&world, "syncctl_runtime", "ALTER TABLE runs ADD COLUMN x int");
    refused(&world, "syncctl_runtime", "DELETE FROM schema_migrations");

    assert_eq!(count(&world, "syncctl_readonly", "SELECT count(*) FROM users"), 3);
    assert!(count(&world, "syncctl_readonly", "SELECT count(*) FROM calendar_cron_results") > 0);
    assert_eq!(count(&world, "syncctl_readonly", "SELECT count(*) FROM accounts WHERE state = 'active'"), 3);
    for secret in [
        "SELECT credentials FROM accounts",
        "SELECT access_token FROM accounts",
        "SELECT * FROM accounts",
        "SELECT api_key FROM attendee_projects",
    ] {
        refused(&world, "syncctl_readonly", secret);
    }
    refused(&world, "syncctl_readonly", "DELETE FROM users");
    refused(&world, "syncctl_readonly", "UPDATE streams SET due_at = now()");

    for table in ["users", "accounts", "calendar_events", "documents", "runs", "schema_migrations"] {
        refused(&world, "anon", &format!("SELECT count(*) FROM {table}"));
    }
    refused(&world, "anon", "INSERT INTO users (email) VALUES ('x@example.com')");

    // A later migration, by the owner: jobs can use its table immediately, and the schema version is still the binary's.
    world.url = as_role(&world, "syncctl_owner");
    world.syncctl(&["db", "migrate"]).expect(0);
    let mut owner = postgres::Client::connect(&world.url, postgres::NoTls).expect("a connection");
    owner
        .batch_execute(
            "ALTER TABLE streams ADD COLUMN later int; CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY, x int)",
        )
        .expect("the owner's right");
    let mut runtime = postgres::Client::connect(&as_role(&world, "syncctl_runtime"), postgres::NoTls).expect("a connection");
    runtime
        .batch_execute("INSERT INTO later (x) VALUES (1); UPDATE streams SET later = 1; DELETE FROM later")
        .expect("the runtime's rights");
}

/// From scratch: first the roles, then the schema by its owner, in a separate schema.
#[test]
fn another_schema_is_made_and_secured_by_its_owner() {
    let mut world = World::with_users(1, 2);
    let name = world.database.name().to_owned();
    world.execute(&format!("CREATE SCHEMA apart; ALTER DATABASE {name} SET search_path = apart"));
    apply(&world);
    world.url = as_role(&world, "syncctl_owner");
    world.syncctl(&["db", "migrate"]).expect(0);
    apply(&world);
    assert_eq!(world.rows("pg_tables WHERE schemaname = 'apart' AND NOT rowsecurity"), 0);
    world.url = as_role(&world, "syncctl_runtime");
    world.import();
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
    refused(&world, "syncctl_runtime", "CREATE TABLE mine (id int)");
}
