//! A run with nothing to do: one each minute.

use super::{Desk, by};
use crate::support::waiting::until;

/// The schema check; the opening of the run, which takes the lock and looks for due streams; the closing.
const STATEMENTS: i64 = 3;

#[test]
fn a_run_with_nothing_to_do_makes_three_statements_and_is_recorded() {
    let desk = Desk::new();
    let (said, open) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t2", "eve@example.com", "b"));
    desk.assign(&[(said, "Bridge")]);
    desk.cron();
    assert_eq!((desk.queued(), desk.holds(open)), (0, None));
    desk.world.reset_statements();
    let report = desk.cron();
    assert_eq!(desk.world.statements(), STATEMENTS);
    assert_eq!((&report["status"], &report["polls"]), (&"completed".into(), &0.into()), "{report}");
    let run = report["execution_id"].as_str().expect("an id");
    let rows = desk.world.rows(&format!(
        "runs r JOIN classify_cron_results c ON c.execution_id = r.id::text JOIN classify_cron_metrics m USING (execution_id)
         JOIN classify_cron_summaries s ON s.summary_data ->> 'execution_id' = c.execution_id
         WHERE r.id = '{run}' AND r.status = 'completed' AND c.status = 'completed' AND r.ended_at IS NOT NULL AND c.end_time IS NOT NULL"
    ));
    assert_eq!((rows, desk.world.job_locks()), (1, 0));
}

#[test]
fn a_run_without_any_user_makes_no_more() {
    let world = crate::support::World::empty();
    world.reset_statements();
    world.syncctl(&["classify", "cron"]).expect(0);
    assert_eq!(world.statements(), STATEMENTS);
}

#[test]
fn what_comes_while_nothing_was_to_do_is_judged_by_the_next_run() {
    let desk = Desk::new();
    desk.assign(&[(desk.mail("m1", "t1", "bob@example.com", "a"), "Bridge")]);
    desk.cron();
    desk.cron();
    let later = desk.mail("m2", "t1", "eve@example.com", "b");
    // Woken by the statement that opens the run, and found by the look after it.
    desk.cron();
    assert_eq!((desk.holds(later), desk.queued()), (by("kin", "Bridge"), 0));
}

#[test]
fn a_run_beside_another_one_is_skipped_and_judges_nothing() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "a");
    let second = desk.mail("m2", "t1", "eve@example.com", "b");
    desk.assign(&[(first, "Bridge")]);
    let lock = "INSERT INTO job_locks (job, run_id, held_until) VALUES ('classify cron', gen_random_uuid(), now() + interval '1 minute')";
    desk.world.execute(lock);
    let skipped = desk.world.syncctl(&["classify", "cron", "--json"]).expect(75).json();
    assert_eq!((&skipped["status"], desk.holds(second)), (&"skipped".into(), None), "{skipped}");
    desk.world.unlock_jobs();
    desk.cron();
    assert_eq!(desk.holds(second), by("kin", "Bridge"));
}

#[test]
fn a_stream_that_another_session_locks_delays_neither_the_run_nor_other_users() {
    let desk = Desk::new();
    let eve = desk.world.user("eve@example.com");
    desk.world.syncctl(&["projects", "add", "eve@example.com", "Hers"]).expect(0);
    desk.cron();
    desk.mail("m1", "t1", "bob@example.com", "a");
    super::mail_of(&desk.world, eve, "e1", "t1", "bob@example.com", "a");
    let mut other = desk.world.database.connect();
    let held = format!("BEGIN; SELECT FROM streams WHERE service = 'classify' AND user_id = '{}' FOR UPDATE", desk.user);
    other.batch_execute(&held).expect("a stream");
    let mut run = desk.world.spawn(&["classify", "cron"]);
    until("it ends without the held stream", || run.try_wait().expect("its state").is_some());
    assert_eq!(desk.world.runs_of("classify cron", "completed"), 2);
    assert_eq!(desk.queued(), 1, "hers is judged");
    other.batch_execute("COMMIT").expect("its end");
    desk.cron();
    assert_eq!(desk.queued(), 0);
}
