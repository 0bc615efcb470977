//! Backups of private clusters whose tables are in another schema than `syncctl`.

use std::process::Output;

use super::{private, start, syncctl};
use crate::support::postgres::Postgres;

/// Replaces all users.
fn name_users(server: &Postgres, name: &str) {
    let users = format!(
        "DELETE FROM own.users; INSERT INTO own.users (email) SELECT '{name}' || n || '@example.com' FROM generate_series(1, 5) n"
    );
    server.connect("syncctl").batch_execute(&users).expect("users");
}

/// The users that people find in a database, who do not qualify names.
fn users(server: &Postgres, database: &str) -> String {
    let first = "SELECT min(email) || ' of ' || count(*) FROM users";
    server.connect(database).query_one(first, &[]).expect("a row").get(0)
}

#[track_caller]
fn done(run: &Output) -> String {
    assert!(run.status.success(), "{run:?}");
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn a_backup_of_a_schema_with_a_name_of_its_own_comes_back_and_users_are_not_replaced_unasked() {
    let server = private();
    let run = |arguments: &[&str]| syncctl(&server, arguments).env("SYNCCTL_DB_SCHEMA", "own").output().expect("syncctl");
    start(&server.cluster);
    done(&run(&["db", "migrate"]));
    let schemas = "SELECT string_agg(schemaname, ' ') FROM pg_tables WHERE tablename = 'users'";
    let schemas = || server.connect("syncctl").query_one(schemas, &[]).expect("a row").get::<_, String>(0);
    assert_eq!(schemas(), "own");
    name_users(&server, "ann");
    let backup = server.folder.join("backup");
    let path = backup.to_str().expect("a path");
    done(&run(&["db", "dump", path]));

    name_users(&server, "bob");
    let refused = run(&["db", "restore", path]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the database has users: use --replace"), "{refused:?}");
    done(&run(&["db", "restore", "--replace", path]));
    assert_eq!((users(&server, "syncctl").as_str(), schemas().as_str()), ("ann1@example.com of 5", "own"));
    let before: String =
        server.connect("syncctl_before").query_one("SELECT min(email) FROM own.users", &[]).expect("a row").get(0);
    assert_eq!(before, "bob1@example.com");
    assert!(done(&run(&["db", "migrate"])).contains("schema is current"));

    // Without users, the answer needs no option.
    server.connect("syncctl").batch_execute("DELETE FROM own.users").expect("no users");
    done(&run(&["db", "restore", path]));
    assert_eq!(users(&server, "syncctl"), "ann1@example.com of 5");
}

#[test]
fn tables_that_were_moved_are_found_after_a_restore() {
    let server = private();
    let run = |arguments: &[&str]| syncctl(&server, arguments).output().expect("syncctl");
    start(&server.cluster);
    done(&run(&["db", "migrate"]));
    // The search path of the database leads to them.
    done(&run(&["db", "move-schema", "own"]));
    name_users(&server, "ann");
    let backup = server.folder.join("backup");
    let path = backup.to_str().expect("a path");
    done(&run(&["db", "dump", path]));
    done(&run(&["db", "restore", "--replace", path]));
    assert!(done(&run(&["db", "migrate"])).contains("schema is current"));
    assert_eq!(users(&server, "syncctl"), "ann1@example.com of 5");
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'users'";
    assert_eq!(server.connect("syncctl").query_one(tables, &[]).expect("a row").get::<_, i64>(0), 1, "no new tables");
}
