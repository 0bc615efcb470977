//! Dry runs report what the next real run does.

use serde_json::Value;

use super::Desk;

/// Results of a dry run and of the run after it: created, updated, deleted, unchanged.
fn compared(desk: &Desk) -> Value {
    let would = desk.world.syncctl(&["classify", "cron", "--dry-run", "--json"]).expect(0).json();
    let does = desk.cron();
    assert_eq!(would["changes"], does["changes"], "{would}\n{does}");
    assert_eq!(would["items"], does["items"], "{would}\n{does}");
    does["changes"]["documents"].clone()
}

#[test]
fn a_dry_run_counts_what_the_run_after_it_does() {
    let desk = Desk::new();
    desk.teach(30);
    let open = desk.mail("m1", "t1", "bob@example.com", "a");
    compared(&desk);
    // Decisions that are less than a twentieth of all: only kin and sender are checked again.
    let other = desk.mail("m2", "t1", "eve@example.com", "b");
    for n in 0..20 {
        desk.mail(&format!("n{n}"), &format!("n{n}"), "zed@example.com", "c");
    }
    compared(&desk);
    desk.assign(&[(other, "Bridge")]);
    let changes = compared(&desk);
    assert_eq!(changes["created"], serde_json::json!(1), "{changes}");
    assert_eq!(desk.holds(open), super::by("kin", "Bridge"));
    // A decision and a new document together.
    desk.mail("m3", "t1", "bob@example.com", "c");
    desk.mail("m4", "t4", "bob@example.com", "d");
    desk.assign(&[(other, "Garden")]);
    compared(&desk);
    // A reopened project.
    let bridge = desk.world.project_id("Bridge");
    desk.world.syncctl(&["projects", "close", &bridge]).expect(0);
    compared(&desk);
}
