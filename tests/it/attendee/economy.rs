//! Number of calls: a list for 25 bots, one call for each bot that no list names, none when no bot is open.

use serde_json::{Value, json};

use crate::support::World;

const USER: &str = "user00000@example.com";

#[test]
fn sixty_bots_at_work_are_three_calls() {
    let world = World::with_attendee(1);
    for nth in 0..60 {
        let link = world.meet(USER, &format!("talk{nth}"), 30);
        // Nothing is recorded: this test counts the list calls.
        world.sim.admin("attendee/script", json!({ "of": link, "course": { "recorded": false } }));
    }
    world.schedule().expect(0);
    world.pass(35);
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    let ledger = world.sim.ledger();
    assert_eq!((&ledger["by_method"]["bots.list"], &ledger["by_method"]["bots.get"]), (&json!(3), &Value::Null), "{ledger}");
    world.assert_in_step();
}

#[test]
fn a_project_without_an_open_bot_is_not_asked() {
    let world = World::with_attendee(1);
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    assert_eq!(world.sim.ledger()["total"], 0);
}

#[test]
fn a_dry_run_makes_no_bot_and_says_which_meetings_and_why() {
    let world = World::with_attendee(1);
    world.meet(USER, "standup", 60);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    let run = world.syncctl(&["attendee", "schedule", "--dry-run"]).expect(0);
    assert!(run.stdout.contains("Talk standup"), "{run:#?}");
    assert!(world.bots().is_empty());
    assert_eq!(world.rows("attendee_bots"), 0);
}
