//! Long runs: streams that become due meanwhile are polled, and first syncs take turns.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::GMAIL;
use crate::support::waiting::until;

fn arrives(world: &World, user: &str, subject: &str) {
    let raw = format!("Subject: {subject}\r\n\r\nx");
    world.sim.admin("mail/messages", json!({ "user": user, "raw": raw }));
}

/// Waits until the condition holds in the database; fails the test after a timeout.
#[track_caller]
fn wait_until(world: &World, condition: &str) {
    until(condition, || world.count(&format!("SELECT count(*) WHERE {condition}")) > 0);
}

fn stored(subject: &str) -> String {
    format!("EXISTS (SELECT 1 FROM gmail_messages WHERE subject = '{subject}')")
}

fn due(world: &World, user: &str) {
    world.execute(&format!("UPDATE streams SET due_at = now() FROM users u WHERE u.id = user_id AND u.email = '{user}'"));
}

/// Two mailboxes in sync; then the first one starts again, and its listing stalls in the returned run.
fn stalled() -> (World, String, String, std::process::Child) {
    let mut world = World::of(&GMAIL, 2, 5);
    world.set("SYNCCTL_ENGINE_LOOK_EVERY", "1s");
    world.sync_all().expect(0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let (big, other) = (users[0].clone(), users[1].clone());
    world.execute(&format!(
        "UPDATE streams SET cursor = NULL, full_pass_at = NULL, due_at = now() FROM users u WHERE u.id = user_id AND u.email = '{big}'"
    ));
    world.sim.fault(json!({ "fault": "stall", "method": "messages.list", "user": big, "times": 1 }));
    let run = world.spawn(&["gmail", "cron", "--json"]);
    world.wait_for_stall();
    (world, big, other, run)
}

fn report(run: std::process::Child) -> Value {
    let output = run.wait_with_output().expect("the run ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a report")
}

#[test]
fn users_who_fall_due_during_a_first_sync_are_polled_each_time() {
    let (world, _, other, run) = stalled();
    for subject in ["first", "second"] {
        arrives(&world, &other, subject);
        due(&world, &other);
        wait_until(&world, &stored(subject));
    }
    // No idle stream stays claimed until the first sync ends.
    due(&world, &other);
    let open = "SELECT count(*) FROM streams WHERE service = 'gmail' AND (claimed_by IS NOT NULL OR due_at <= now())";
    wait_until(&world, &format!("({open}) = 1"));
    world.sim.admin("release", json!({}));
    let report = report(run);
    assert_eq!(
        (&report["streams"], &report["total_users"], &report["successful_users"]),
        (&json!(2), &json!(2), &json!(2)),
        "{report}"
    );
    assert!(report["polls"].as_u64() >= Some(3), "{report}");
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn status_and_explain_say_what_a_run_is_at() {
    let (world, big, _, run) = stalled();
    let explained = world.syncctl(&["sync", "explain", &big]).expect(0).stdout;
    assert!(explained.contains("a run is polling it now"), "{explained}");
    world.sim.admin("release", json!({}));
    report(run);
    // An interrupted pass of several pages reports its progress.
    world.execute(&format!(
        "UPDATE streams SET pass_items = 250, pass_expected = 1000, pass_began_at = now() - interval '10 minutes'
         FROM users u WHERE u.id = user_id AND u.email = '{big}'"
    ));
    let explained = world.syncctl(&["sync", "explain", &big]).expect(0).stdout;
    assert!(explained.contains("250 of about 1000 items so far, done in about 30 min"), "{explained}");
}

#[test]
fn a_first_sync_of_many_pages_counts_what_it_has_and_forgets_it_at_its_end() {
    let mut world = World::of(&GMAIL, 1, 250);
    world.set("SYNCCTL_GMAIL_WINDOW", "all");
    world.set("SYNCCTL_GMAIL_PAGE_SIZE", "50");
    world.sim.fault(json!({ "fault": "stall", "method": "messages.list", "at_call": 4, "times": 1 }));
    let run = world.spawn(&["gmail", "cron", "--json"]);
    world.wait_for_stall();
    wait_until(
        &world,
        "EXISTS (SELECT 1 FROM streams WHERE pass_items >= 100 AND pass_expected = 250 AND pass_began_at IS NOT NULL)",
    );
    world.sim.admin("release", json!({}));
    report(run);
    world.assert_in_step();
    assert_eq!(world.rows("streams WHERE pass_items IS NOT NULL OR pass_began_at IS NOT NULL"), 0);
}

/// More mailboxes than a run with this little memory holds.
#[test]
fn every_user_has_a_first_page_before_any_user_has_all() {
    let mut world = World::of(&GMAIL, 320, 6);
    world.set("SYNCCTL_ENGINE_PAGE_MEMORY", "1048576");
    world.set("SYNCCTL_GMAIL_PAGE_SIZE", "2");
    world.execute("ALTER TABLE gmail_messages ADD COLUMN came_at timestamptz DEFAULT clock_timestamp()");
    let report = world.sync_all().expect(0).json();
    assert_eq!(world.rows("gmail_messages"), 320 * 6);
    let early = "SELECT count(*) FROM (SELECT max(came_at) AS done FROM gmail_messages GROUP BY user_id) m
       WHERE done < (SELECT max(began) FROM (SELECT min(came_at) AS began FROM gmail_messages GROUP BY user_id) b)";
    assert_eq!(world.count(early), 0, "mailboxes that were complete before every mailbox had a page");
    assert_eq!(report["streams"], 320);
    assert_eq!(report["total_users"], 320);
    assert_eq!(report["interrupted_streams"], 0);
}
