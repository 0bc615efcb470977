//! `db migrate` on filled databases of an earlier version, and on those that operators have changed.

use crate::roles::{apply, as_role};
use crate::support::World;

impl World {
    /// The schema without migration 43 and later ones.
    fn downgrade(&self) {
        self.execute(
            "DROP TABLE pace_priors; DROP VIEW sync_completeness; DROP TABLE gmail_mailboxes; ALTER TABLE gmail_labels DROP COLUMN removed_to;
             DROP INDEX drive_file_access_unfilled; ALTER TABLE drive_files RENAME COLUMN deleted_at TO gone_at;
             ALTER TABLE drive_file_access RENAME COLUMN deleted_at TO lost_at; DELETE FROM schema_migrations WHERE version >= 43",
        );
    }

    fn upgrade(&self) {
        let run = self.syncctl(&["db", "migrate"]).expect(0);
        assert!(run.stdout.contains("0045_pace_priors"), "{run:?}");
    }
}

const FEEDS: &str = "streams WHERE service = 'drive' AND kind = 'changes'";

#[test]
fn full_passes_that_an_upgrade_makes_due_are_spread_over_days() {
    let world = World::with_files(5, 2);
    world.sync_drive().expect(0);
    world.sync_drive().expect(0);
    world.downgrade();
    // As migration 39 does.
    world.execute("UPDATE streams SET full_pass_at = 'epoch' WHERE service = 'drive' AND kind = 'changes'");
    world.upgrade();
    let waits = world.texts(&format!(
        "SELECT round(extract(epoch FROM full_pass_at - min(full_pass_at) OVER ()))::bigint::text FROM {FEEDS} ORDER BY id"
    ));
    let feeds = u64::try_from(waits.len()).expect("few feeds");
    assert_eq!(waits, (0..feeds).map(|nth| (20 * nth).to_string()).collect::<Vec<_>>());

    let passes = || {
        world.sim.reset_ledger();
        world.sync_drive().expect(0);
        world.sim.ledger()["by_method"]["files.list"].as_u64().unwrap_or(0)
    };
    let later = |interval: &str| {
        world.execute(&format!(
            "UPDATE streams SET full_pass_at = full_pass_at - interval '{interval}' WHERE full_pass_at < now() - interval '10 years'"
        ));
    };
    later("-1 day");
    assert_eq!(passes(), 0, "none is due yet");
    later("2 days");
    assert_eq!(passes(), feeds);
    assert_eq!(passes(), 0, "each makes one");
    world.assert_files_in_step();
}

#[test]
fn however_many_full_passes_there_are_they_are_due_within_a_week() {
    let world = World::with_users(1, 0);
    world.execute(
        "INSERT INTO streams (user_id, service, kind, resource, cursor, full_pass_at)
         SELECT u.id, 'drive', 'changes', 'd' || n, 'x', CASE WHEN n > 0 THEN 'epoch' END::timestamptz FROM users u, generate_series(0, 50000) AS n",
    );
    world.downgrade();
    world.upgrade();
    let wait = "round(extract(epoch FROM max(full_pass_at) - min(full_pass_at)) / 86400)::bigint";
    assert_eq!(world.count(&format!("SELECT {wait} FROM {FEEDS}")), 7);
    let first = "round(extract(epoch FROM now() - min(full_pass_at)) / 86400)::bigint";
    assert_eq!(world.count(&format!("SELECT {first} FROM {FEEDS}")), 20 * 365, "the first one is due now");
    assert_eq!(world.rows(&format!("{FEEDS} AND full_pass_at IS NULL")), 1, "a first pass stays one");
}

#[test]
fn views_that_were_dropped_or_replaced_by_hand_do_not_stop_a_migration() {
    for has_roles in [false, true] {
        let mut world = World::empty();
        if has_roles {
            apply(&world);
            world.url = as_role(&world, "syncctl_owner");
        }
        world.downgrade();
        world.execute(
            "DROP VIEW busy, my_agenda, meeting_attendees, gmail_threads; DROP FUNCTION changes_cursor(text);
             CREATE VIEW my_agenda AS SELECT NULL::uuid AS user_id, 1 AS more; CREATE MATERIALIZED VIEW meeting_attendees AS SELECT 1 AS email;
             CREATE TABLE gmail_threads (subject text); COMMENT ON TABLE runs IS 'as before'",
        );
        let run = world.syncctl(&["db", "migrate"]).expect(0);
        assert!(run.stdout.contains("0045_pace_priors"), "{run:?}");
        let names = "another role: changes_cursor, gmail_threads, meeting_attendees, my_agenda";
        assert!(run.stderr.contains(names), "{run:?}");
        let comment = "SELECT obj_description('runs'::regclass, 'pg_class')";
        assert!(world.text(comment).starts_with("Every run of every job"), "{}", world.text(comment));
        // Nothing is left to do, and nothing to say.
        let run = world.syncctl(&["db", "migrate"]).expect(0);
        assert!(run.stdout.contains("schema is current") && !run.stderr.contains("my_agenda"), "{run:?}");
    }
}
