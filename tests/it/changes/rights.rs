//! Who may read changes: readers with the rights of `sql/roles.sql`, and users of a platform only their own rows.

use postgres::NoTls;

use crate::roles::{apply, as_role, refused};
use crate::support::World;
use crate::support::reader::Copy;

#[test]
fn the_reading_role_reads_changes_and_strangers_do_not() {
    let world = World::with_users(2, 5);
    world.execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'anon') THEN CREATE ROLE anon; END IF; END $$",
    );
    apply(&world);
    world.sync_all().expect(0);
    for role in ["syncctl_readonly", "syncctl_runtime"] {
        let copy = Copy::of(&as_role(&world, role));
        assert!(copy.read().rows > 0, "{role}");
        assert_eq!(copy.read().rows, 0, "{role}");
    }
    world.execute("GRANT USAGE ON SCHEMA syncctl TO anon");
    refused(&world, "anon", "SELECT changes_cursor(NULL)");
    refused(&world, "anon", "SELECT changes_since(1, '1.1.1.1/1:1:')");
    refused(&world, "syncctl_readonly", "DELETE FROM deleted_meetings");
}

#[test]
fn row_level_security_holds_for_changes_and_the_index_is_used() {
    let world = World::with_users(20, 60);
    let user = world.text("SELECT id::text FROM users ORDER BY id LIMIT 1");
    let role = format!("person_of_{}", world.database.name());
    world.execute(&format!("CREATE ROLE {role}"));
    apply(&world);
    // After roles.sql, as it says.
    world.execute(&format!(
        "GRANT USAGE ON SCHEMA syncctl TO {role}; GRANT SELECT ON calendar_events TO {role};
         GRANT EXECUTE ON FUNCTION changes_since(bigint, text) TO {role};
         CREATE POLICY own ON calendar_events FOR SELECT TO {role} USING (user_id = '{user}')"
    ));
    let cursor = world.text("SELECT changes_cursor(NULL)");
    world.sync_all().expect(0);
    let own = world.rows(&format!("calendar_events WHERE user_id = '{user}'"));
    let mut person = postgres::Client::connect(&as_role(&world, &role), NoTls).expect("a connection");
    let changed = format!("SELECT count(*) FROM calendar_events WHERE changes_since(changed_xid, '{cursor}')");
    let seen: i64 = person.query_one(&changed, &[]).expect("own rows").get(0);
    assert_eq!((seen, own > 0), (own, true));
    let plan = person.query(&format!("EXPLAIN {changed}"), &[]).expect("a plan");
    let plan: String = plan.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    assert!(plan.contains("calendar_events_changed"), "{plan}");
    drop(person);
    world.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
