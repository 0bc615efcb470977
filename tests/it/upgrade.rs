//! `db migrate` on filled databases of an earlier version, and on those that operators have changed.

use crate::roles::{apply, as_role};
use crate::support::World;

impl World {
    /// The schema without migration 43.
    fn revert_completeness(&self) {
        self.execute(
            "DROP VIEW sync_completeness; DROP TABLE gmail_mailboxes; ALTER TABLE gmail_labels DROP COLUMN removed_to;
             DROP INDEX drive_file_access_unfilled; DELETE FROM schema_migrations WHERE version = 43",
        );
    }
}

#[test]
fn views_that_were_dropped_or_replaced_by_hand_do_not_stop_a_migration() {
    for has_roles in [false, true] {
        let mut world = World::empty();
        if has_roles {
            apply(&world);
            world.url = as_role(&world, "syncctl_owner");
        }
        world.revert_completeness();
        world.execute(
            "DROP VIEW busy, my_agenda, meeting_attendees, gmail_threads; DROP FUNCTION changes_cursor(text);
             CREATE VIEW my_agenda AS SELECT NULL::uuid AS user_id, 1 AS more; CREATE MATERIALIZED VIEW meeting_attendees AS SELECT 1 AS email;
             CREATE TABLE gmail_threads (subject text); COMMENT ON TABLE runs IS 'as before'",
        );
        let run = world.syncctl(&["db", "migrate"]).expect(0);
        assert!(run.stdout.contains("applied 0043_completeness"), "{run:?}");
        let names = "another role: busy, changes_cursor, gmail_threads, meeting_attendees, my_agenda";
        assert!(run.stderr.contains(names), "{run:?}");
        let comment = "SELECT obj_description('runs'::regclass, 'pg_class')";
        assert!(world.text(comment).starts_with("Every run of every job"), "{}", world.text(comment));
        // Nothing is left to do, and nothing to say.
        let run = world.syncctl(&["db", "migrate"]).expect(0);
        assert!(run.stdout.contains("schema is current") && !run.stderr.contains("busy"), "{run:?}");
    }
}
