//! Projects that are added, closed and reopened: undecided documents are classified again, and decided ones stay.

use uuid::Uuid;

use super::{Desk, by};

#[test]
fn a_project_that_is_opened_again_gets_what_came_while_it_was_closed() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "a");
    desk.assign(&[(first, "Bridge")]);
    desk.cron();
    let bridge = desk.world.project_id("Bridge");
    desk.world.syncctl(&["projects", "close", &bridge]).expect(0);
    let second = desk.mail("m2", "t1", "bob@example.com", "b");
    desk.cron();
    assert_eq!((desk.holds(second), desk.holds(first)), (None, by("human", "Bridge")));
    // Adding it again explains what to do.
    let refused = desk.world.syncctl(&["projects", "add", "ann@example.com", "Bridge"]).expect(2).stderr;
    assert!(refused.contains(&format!("syncctl projects reopen {bridge}")), "{refused}");
    let printed = desk.world.syncctl(&["projects", "reopen", &bridge]).expect(0).stdout;
    assert!(printed.contains("is open"), "{printed}");
    desk.cron();
    assert_eq!((desk.holds(second), desk.events(second).len(), desk.queued()), (by("kin", "Bridge"), 1, 0));
    // A second time, there is nothing to do.
    desk.world.syncctl(&["projects", "reopen", &bridge]).expect(0);
    assert_eq!(desk.cron()["polls"], serde_json::json!(0));
    desk.world.syncctl(&["projects", "reopen", &Uuid::new_v4().to_string()]).expect(2);
}

#[test]
fn an_import_that_opens_a_project_again_does_the_same() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "a");
    desk.assign(&[(first, "Bridge")]);
    desk.cron();
    desk.world.syncctl(&["projects", "close", &desk.world.project_id("Bridge")]).expect(0);
    let second = desk.mail("m2", "t1", "bob@example.com", "b");
    desk.cron();
    let line = "{\"user\": \"ann@example.com\", \"name\": \"Bridge\"}\n";
    desk.world.syncctl_with_input(&["projects", "import", "-"], line).expect(0);
    desk.cron();
    assert_eq!(desk.holds(second), by("kin", "Bridge"));
    // An import that changes nothing about open projects queues no work.
    desk.world.syncctl_with_input(&["projects", "import", "-"], line).expect(0);
    assert_eq!(desk.cron()["polls"], serde_json::json!(0));
}

#[test]
fn a_decision_of_a_closed_project_stays_whatever_is_learnt_and_however_the_text_changes() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "a");
    desk.assign(&[(first, "Bridge")]);
    let second = desk.mail("m2", "t1", "bob@example.com", "b");
    desk.cron();
    assert_eq!(desk.holds(second), by("kin", "Bridge"));
    desk.world.syncctl(&["projects", "close", &desk.world.project_id("Bridge")]).expect(0);
    desk.mail("m2", "t1", "bob@example.com", "another text");
    desk.assign(&[(desk.mail("m3", "t3", "eve@example.com", "c"), "Garden")]);
    desk.cron();
    assert_eq!((desk.holds(second), desk.events(second).len()), (by("kin", "Bridge"), 1), "a closed project keeps its documents");
    desk.world.syncctl(&["classify", "poll", &second.to_string()]).expect(0);
    assert_eq!(desk.holds(second), by("kin", "Bridge"));
    // A decision that the same steps would now make for another project is moved.
    desk.assign(&[(first, "Garden")]);
    desk.cron();
    assert_eq!(desk.holds(second), by("kin", "Garden"));
}
