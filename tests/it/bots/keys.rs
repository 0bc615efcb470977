//! Keys of projects: sealed, refused, replaced.

use serde_json::json;

use super::ground::{ANN, ahead, bots, counts, event, put, schedule, world};

#[test]
fn a_refused_key_is_named_with_its_remedy_and_a_new_one_replaces_it() {
    let world = world();
    world.sim.admin("attendee/projects", json!({ "name": "main", "key": "another" }));
    put(&world, ANN, event("standup", ahead(20), json!({})));
    let refused = world.syncctl(&["attendee", "schedule"]).expect(77);
    assert!(refused.stderr.contains("syncctl attendee project add"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("key-of-main"), "a key in a message");
    world.syncctl_with_input(&["attendee", "project", "add", "main"], "another").expect(0);
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(bots(&world).len(), 1);
}

#[test]
fn keys_are_sealed_and_sealed_again() {
    let world = world();
    assert_eq!(world.rows("attendee_projects WHERE position('key-of-main'::bytea IN api_key) > 0"), 0);
    let before = world.sealed_api_key();
    let report = world.syncctl(&["accounts", "rekey", "--new-key", "--json"]).expect(0).json();
    assert_eq!(
        (&report["resealed"], &report["resealed_projects"], &report["failed"]),
        (&json!(2), &json!(1), &json!(0)),
        "{report}"
    );
    let after = world.sealed_api_key();
    assert_ne!(before, after);
    put(&world, ANN, event("standup", ahead(20), json!({})));
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
}
