//! Dry runs say what the run after them does.

use serde_json::Value;

use super::Desk;

/// What a dry run says, and what the run after it does: created, updated, deleted, unchanged.
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
    // Words that are less than a twentieth of what was said: kin and sender alone are looked at again.
    let other = desk.mail("m2", "t1", "eve@example.com", "b");
    for n in 0..20 {
        desk.mail(&format!("n{n}"), &format!("n{n}"), "zed@example.com", "c");
    }
    compared(&desk);
    desk.assign(&[(other, "Bridge")]);
    let changes = compared(&desk);
    assert_eq!(changes["created"], serde_json::json!(1), "{changes}");
    assert_eq!(desk.holds(open), super::by("kin", "Bridge"));
    // A word and a new document at once.
    desk.mail("m3", "t1", "bob@example.com", "c");
    desk.mail("m4", "t4", "bob@example.com", "d");
    desk.assign(&[(other, "Garden")]);
    compared(&desk);
    // A project that is opened again.
    let bridge = desk.world.query("SELECT id::text FROM projects WHERE name = 'Bridge'")[0].get::<_, String>(0);
    desk.world.syncctl(&["projects", "close", &bridge]).expect(0);
    compared(&desk);
}
