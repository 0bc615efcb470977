//! A database that others may write to: objects they put into a schema run only with their own rights, and they cannot touch ours.

use postgres::NoTls;

use crate::roles::{apply, as_role, refused};
use crate::support::postgres::Database;
use crate::support::{World, pgbouncer, postgres as cluster};

/// A role for this test, without any rights: roles belong to the whole cluster.
fn stranger(database: &Database) -> String {
    let role = format!("stranger_of_{}", database.name());
    let made = format!("CREATE ROLE {role}; CREATE SCHEMA IF NOT EXISTS syncctl; GRANT USAGE ON SCHEMA syncctl TO {role}");
    database.connect().batch_execute(&made).expect("a role");
    role
}

fn does(world: &World, role: &str, statement: &str) {
    let mut client = ::postgres::Client::connect(&as_role(world, role), NoTls).expect("a connection");
    client.batch_execute(statement).unwrap_or_else(|error| panic!("{role}: {statement}: {error:?}"));
}

/// The privilege problems that `doctor` reports.
fn wrong(world: &World) -> String {
    let run = world.syncctl(&["doctor", "--offline"]);
    run.stdout.lines().filter(|line| line.starts_with("FAIL  privacy")).collect::<Vec<_>>().join("\n")
}

/// Functions that match better than PostgreSQL's own, and behave like them after they have tried to escalate.
fn shadows(role: &str) -> String {
    let take = format!(
        "IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN EXECUTE 'ALTER ROLE {role} SUPERUSER'; END IF;"
    );
    let of = |arguments: &str, given: &str| {
        format!(
            "CREATE FUNCTION syncctl.format({arguments}) RETURNS text LANGUAGE plpgsql AS
               $$ BEGIN {take} RETURN pg_catalog.format({given}); END $$;"
        )
    };
    let formats: String = [
        ("text, text", "$1, $2"),
        ("text, name", "$1, $2"),
        ("text, regclass", "$1, $2"),
        ("text, text, regclass", "$1, $2, $3"),
    ]
    .map(|(arguments, given)| of(arguments, given))
    .concat();
    format!(
        "{formats} CREATE FUNCTION syncctl.quote_ident(name) RETURNS text LANGUAGE plpgsql AS
           $$ BEGIN {take} RETURN pg_catalog.quote_ident($1::text); END $$;"
    )
}

#[test]
fn a_role_that_may_create_in_the_schema_gets_no_rights_of_the_administrator_and_is_named() {
    let world = World::with_users(1, 2);
    let role = stranger(&world.database);
    // The default in PostgreSQL 14.
    world.execute(&format!("GRANT CREATE ON SCHEMA syncctl TO {role}"));
    does(&world, &role, &shadows(&role));
    let printed = apply(&world);
    let is_superuser: bool = world.query(&format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{role}'"))[0].get(0);
    assert!(!is_superuser, "the stranger became superuser");
    assert!(printed.contains(&format!("{role} may still create in schema syncctl")), "{printed}");

    let warned = world.syncctl(&["db", "migrate"]).expect(0).stderr;
    assert!(warned.contains(&format!("{role} may create functions in the schema of the tables")), "{warned}");
    let problems = wrong(&world);
    assert!(problems.contains(&format!("{role} may create objects in schema \"syncctl\"")), "{problems}");
    assert!(problems.contains(&format!("function quote_ident of {role}")), "{problems}");
    // The remedies, as printed.
    world.execute(&format!("REVOKE CREATE ON SCHEMA syncctl FROM {role}; DROP OWNED BY {role}"));
    assert_eq!((wrong(&world), apply(&world)), (String::new(), String::new()));
    assert_eq!(world.syncctl(&["db", "migrate"]).expect(0).stderr, "");
}

#[test]
fn jobs_look_up_names_in_our_schema_and_nowhere_else() {
    for pooled in [false, true] {
        let database = cluster::shared().database();
        let name = database.name().to_owned();
        let url = if pooled { pgbouncer::shared().url(&name) } else { database.url() };
        // A schema shared with others, in the default search path. Functions called there raise an error.
        let shadow = |of: &str| {
            format!(
                "CREATE FUNCTION elsewhere.unnest({of}[]) RETURNS SETOF {of} LANGUAGE plpgsql AS $$ BEGIN
                   INSERT INTO elsewhere.ran VALUES (current_setting('application_name')); RETURN QUERY SELECT pg_catalog.unnest($1); END $$;"
            )
        };
        let shadows = ["text", "bigint", "uuid", "integer", "jsonb"].map(shadow).concat();
        database
            .connect()
            .batch_execute(&format!(
                "CREATE SCHEMA syncctl; CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.ran (by text); {shadows}
                 ALTER DATABASE {name} SET search_path = syncctl, elsewhere"
            ))
            .expect("a schema of others");
        let world = World::on(database, url);
        world.populate(3, 4);
        for _ in 0..2 {
            world.syncctl(&["sync", "cron"]).expect(0);
            world.sim.churn(6, 1);
        }
        world.sync_all().expect(0);
        world.assert_in_step();
        for command in [&["status"][..], &["doctor", "--offline"], &["quota", "list"], &["db", "size"], &["metrics"]] {
            world.syncctl(command);
        }
        let rows_seen = world.query("SELECT DISTINCT by FROM elsewhere.ran WHERE by LIKE 'syncctl%'");
        assert_eq!(rows_seen.len(), 0, "pooled: {pooled}");
        world.assert_no_leftovers();
    }
}

#[test]
fn what_a_platform_grants_by_default_is_taken_and_nothing_is_given_by_later_migrations() {
    let world = World::with_users(1, 2);
    let role = stranger(&world.database);
    let everything = format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA syncctl TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA syncctl TO {role};
         GRANT ALL ON ALL FUNCTIONS IN SCHEMA syncctl TO {role}; GRANT SELECT (credentials) ON accounts TO PUBLIC"
    );
    world.execute(&everything);
    let problems = wrong(&world);
    assert!(problems.contains(&format!("{role} has its own rights (")) && problems.contains("TRUNCATE"), "{problems}");
    assert!(
        problems.contains("PUBLIC has its own rights (EXECUTE, SELECT) on 4") && problems.contains("accounts.credentials"),
        "{problems}"
    );
    let printed = apply(&world);
    assert!(printed.contains(&format!("rights of {role} to")) && printed.contains("syncctl_readonly"), "{printed}");
    does(
        &world,
        "syncctl_owner",
        &format!(
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}; ALTER DEFAULT PRIVILEGES IN SCHEMA syncctl GRANT ALL ON FUNCTIONS TO {role}"
        ),
    );
    assert_eq!(apply(&world), "", "the second time nothing is printed");

    let attacks = [
        "TRUNCATE gmail_messages",
        "SELECT setval('streams_id_seq', 1)",
        "CREATE TRIGGER mine BEFORE INSERT ON runs EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "SELECT credentials FROM accounts",
        "SELECT count(*) FROM users",
        "SELECT nextval('outbox_events_seq_seq')",
        "SELECT syncctl_forget_calendar()",
        "ALTER TABLE runs ADD COLUMN x int REFERENCES streams (id)",
    ];
    for attack in attacks {
        refused(&world, &role, attack);
    }
    does(
        &world,
        "syncctl_owner",
        "CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY); CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    for attack in ["SELECT FROM later", "TRUNCATE later", "SELECT later()", "SELECT nextval('later_id_seq')"] {
        refused(&world, &role, attack);
    }
    assert_eq!(wrong(&world), "");

    // Users' own rows, as in the head of the file.
    world.execute(&format!(
        "GRANT SELECT ON documents TO {role}; CREATE POLICY own ON documents FOR SELECT TO {role} USING (false)"
    ));
    assert_eq!(wrong(&world), "");
    world.execute(&format!("GRANT SELECT, DELETE ON documents, runs TO {role}; ALTER TABLE streams DISABLE ROW LEVEL SECURITY"));
    let problems = wrong(&world);
    assert!(problems.contains("(DELETE, SELECT) on 2 tables, columns, sequences or functions: documents, runs"), "{problems}");
    assert!(problems.contains("1 tables have no row-level security, unlike the others: streams"), "{problems}");
}

#[test]
fn a_trigger_of_another_role_on_a_table_is_named() {
    let world = World::with_users(1, 2);
    let role = stranger(&world.database);
    world.execute(&format!("GRANT CREATE ON SCHEMA syncctl TO {role}; GRANT TRIGGER ON runs TO {role}"));
    does(
        &world,
        &role,
        "CREATE FUNCTION listen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; CREATE TRIGGER listening BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION listen()",
    );
    apply(&world);
    let problems = wrong(&world);
    assert!(problems.contains(&format!("trigger listening on runs of {role}")), "{problems}");
}

#[test]
fn an_installation_whose_role_owned_the_tables_learns_how_to_go_on() {
    let database = cluster::shared().database();
    let role = stranger(&database);
    database.connect().batch_execute(&format!("GRANT CREATE ON SCHEMA syncctl TO {role}")).expect("as in PostgreSQL 14");
    let url = format!("{} options='-c role={role}'", database.url());
    let world = World::on(database, url);
    world.populate(1, 2);
    world.syncctl(&["calendar", "cron"]).expect(0);
    let printed = apply(&world);
    assert!(printed.contains(&format!("role {role} owned tables of syncctl until now")), "{printed}");
    world.syncctl(&["calendar", "cron", "--force"]).expect(78);
    let statement =
        printed.split_once("To let its jobs go on: ").and_then(|(_, statement)| statement.split_once(';')).expect("the way").0;
    world.execute(statement);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.assert_in_step();
    assert!(!apply(&world).contains("owned tables"));
}
