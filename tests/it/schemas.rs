//! The schema of the tables: beside those of other programs, moved, and found again.

use crate::roles::{apply, as_role};
use crate::support::{World, postgres};

/// A web application's tables in `public`, with the names of ours and of a migration tool's.
const APPLICATION: &str =
    "CREATE TABLE public.users (id int PRIMARY KEY, email text); INSERT INTO public.users VALUES (1, 'eve@example.net');
  CREATE TABLE public.documents (id int); CREATE TABLE public.schema_migrations (version varchar PRIMARY KEY)";

/// A fresh database with this default search path, after `statements`. `None`: PostgreSQL's default.
fn database(path: Option<&str>, statements: &str) -> postgres::Database {
    let database = postgres::shared().database();
    let name = database.name();
    let path = path.map_or("RESET search_path".into(), |path| format!("SET search_path = {path}"));
    database.connect().batch_execute(&format!("ALTER DATABASE {name} {path}; {statements}")).expect("a database");
    database
}

/// The binary as a role that owns only the database, whose search path is PostgreSQL's default: `public`.
fn as_owner(database: &postgres::Database) -> String {
    let role = format!("owner_of_{}", database.name());
    let made = format!("CREATE ROLE {role}; ALTER DATABASE {} OWNER TO {role}", database.name());
    database.connect().batch_execute(&made).expect("a role");
    format!("{} options='-c role={role}'", database.url())
}

/// Schema and number of our tables.
fn schemas(world: &World) -> Vec<(String, i64)> {
    let rows = world.query(
        "SELECT n.nspname::text, count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' GROUP BY 1 ORDER BY 1",
    );
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A hash of all rows of each table, wherever it is.
fn contents(world: &World) -> Vec<(String, String)> {
    let tables =
        world.texts("SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1");
    let hash = |table: &String| {
        world.text(&format!("SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {table} t"))
    };
    tables.iter().map(|table| (table.clone(), hash(table))).collect()
}

#[test]
fn a_database_of_another_application_gets_a_schema_beside_its_tables() {
    let database = database(None, APPLICATION);
    let url = as_owner(&database);
    let world = World::on(database, url);
    world.populate(3, 4);
    world.sync_all().expect(0);
    world.assert_in_step();
    assert_eq!(world.text("SELECT string_agg(email, ' ') FROM public.users"), "eve@example.net");
    let [(public, theirs), (syncctl, _)] = <[_; 2]>::try_from(schemas(&world)).expect("two schemas");
    assert_eq!((public.as_str(), theirs, syncctl.as_str()), ("public", 3, "syncctl"));
    assert_eq!(world.rows("public.schema_migrations"), 0);
    for command in [&["status"][..], &["db", "status"], &["db", "size"], &["metrics"], &["verify", "--all"]] {
        world.syncctl(command).expect(0);
    }
    assert!(world.syncctl(&["db", "migrate"]).expect(0).stdout.contains("schema is current"));
}

#[test]
fn tables_of_other_programs_are_never_adopted() {
    let mut world = World::unmigrated(database(None, APPLICATION), String::new());
    world.url = world.database.url();
    world.set("SYNCCTL_DB_SCHEMA", "public");
    let refused = world.syncctl(&["db", "migrate"]).expect(78);
    assert!(refused.stderr.contains("the schema public has another program's table documents: choose a schema"), "{refused:?}");
    world.execute("DROP TABLE public.users, public.documents");
    let refused = world.syncctl(&["db", "migrate"]).expect(78);
    assert!(refused.stderr.contains("another program's table schema_migrations"), "{refused:?}");
    world.set("SYNCCTL_DB_SCHEMA", "pg_mine");
    assert!(world.syncctl(&["db", "migrate"]).expect(78).stderr.contains("db.schema"));
}

#[test]
fn a_role_without_the_right_to_create_the_schema_learns_what_to_do() {
    let database = database(None, "");
    let role = format!("guest_of_{}", database.name());
    database.connect().batch_execute(&format!("CREATE ROLE {role}")).expect("a role");
    let url = format!("{} options='-c role={role}'", database.url());
    let mut world = World::unmigrated(database, url);
    let refused = world.syncctl(&["db", "migrate"]).expect(78);
    assert!(refused.stderr.contains("may not create the schema syncctl: have an administrator run CREATE SCHEMA"), "{refused:?}");
    // The remedies: a schema that is the role's, by its default name or another.
    for (name, setting) in [("syncctl", ""), ("its own", "its own")] {
        world.execute(&format!("CREATE SCHEMA \"{name}\" AUTHORIZATION {role}"));
        world.set("SYNCCTL_DB_SCHEMA", setting);
        assert!(world.syncctl(&["db", "migrate"]).expect(0).stdout.contains("applied 0001_run_tables"));
        world.syncctl(&["calendar", "metrics"]).expect(0);
    }
    let schemas: Vec<String> = schemas(&world).into_iter().map(|(name, _)| name).collect();
    assert_eq!(schemas, ["its own", "syncctl"]);
}

#[test]
fn tables_in_public_stay_there_until_they_are_moved_with_all_their_rows() {
    let mut world = World::unmigrated(database(Some("public"), ""), String::new());
    world.url = world.database.url();
    // Like an installation that was made before there was a schema of its own.
    world.set("SYNCCTL_DB_SCHEMA", "public");
    world.syncctl(&["accounts", "rekey", "--new-key", "--set", "db.auto_migrate=on"]).expect(0);
    world.settings.pop();
    world.populate(3, 4);
    world.sync_all().expect(0);
    world.assert_in_step();
    assert_eq!(schemas(&world).len(), 1, "found without the setting");

    world.execute(
        "UPDATE runs SET status = 'running', alive_until = now() + interval '1 minute' WHERE id = (SELECT id FROM runs LIMIT 1)",
    );
    let busy = world.syncctl(&["db", "move-schema"]).expect(75);
    assert!(busy.stderr.contains("is running: stop the schedules"), "{busy:?}");
    world.execute("UPDATE runs SET status = 'completed' WHERE status = 'running'");
    let before = contents(&world);
    let moved = world.syncctl(&["db", "move-schema"]).expect(0);
    assert!(moved.stdout.contains("from public to syncctl") && moved.stdout.contains("set db.schema = \"syncctl\""), "{moved:?}");
    assert!(schemas(&world).iter().all(|(name, _)| name == "syncctl"), "{:?}", schemas(&world));
    assert_eq!(world.rows("pg_proc WHERE pronamespace = 'public'::regnamespace"), 0);
    world.execute(&format!("ALTER DATABASE {} SET search_path = syncctl", world.database.name()));
    assert_eq!(contents(&world).iter().filter(|row| !before.contains(row)).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    assert_eq!(contents(&world).len(), before.len());
    assert!(world.syncctl(&["db", "move-schema"]).expect(0).stdout.contains("in the schema syncctl already"));

    world.churn(9, 1);
    world.sync_all().expect(0);
    world.assert_in_step();
    world.syncctl(&["db", "prune"]).expect(0);
    let users = world.texts("SELECT email FROM users ORDER BY 1");
    world.syncctl(&["accounts", "remove", &users[0], "--yes"]).expect(0);
}

#[test]
fn roles_work_in_a_schema_of_any_name_and_before_the_first_migration() {
    for prepared in [false, true] {
        let mut world = World::unmigrated(database(None, ""), String::new());
        world.url = world.database.url();
        if prepared {
            apply(&world);
            world.url = as_role(&world, "syncctl_owner");
        }
        world.syncctl(&["accounts", "rekey", "--new-key", "--set", "db.auto_migrate=on"]).expect(0);
        world.url = world.database.url();
        apply(&world);
        world.url = as_role(&world, "syncctl_runtime");
        world.populate(2, 3);
        world.sync_all().expect(0);
        world.execute(&format!("ALTER DATABASE {} SET search_path = syncctl", world.database.name()));
        world.assert_in_step();
        assert!(!world.syncctl(&["doctor", "--offline"]).stdout.contains("FAIL  privacy"));
    }
}

/// A role that may create tables in `public`, as everyone may in PostgreSQL 14, must not be able to lead the jobs to tables of its own.
#[test]
fn tables_that_a_stranger_puts_into_public_are_not_taken_for_ours() {
    let database = database(None, "");
    let url = as_owner(&database);
    let world = World::on(database, url);
    world.populate(2, 3);
    world.execute("CREATE TABLE public.schema_migrations (version int, checksum text); INSERT INTO public.schema_migrations VALUES (99, 'x');
      CREATE TABLE public.accounts (LIKE syncctl.accounts)");
    world.sync_all().expect(0);
    world.assert_in_step();
    assert_eq!(world.rows("public.accounts"), 0);
}
