//! Documents whose source names a project.

use serde_json::json;
use syncctl::db::documents::Document;
use uuid::Uuid;

use super::{Desk, by};
use crate::support::library::email;

/// A document of a thread whose source names a project.
fn named(desk: &Desk, id: &str, project: Uuid, body: &str) -> Uuid {
    let details = json!({ "thread_id": "t1" });
    desk.world.document(&Document { project: Some(project), details, ..email(desk.user, id, "", body) })
}

fn project(desk: &Desk, name: &str) -> Uuid {
    desk.world.query(&format!("SELECT id FROM projects WHERE name = '{name}'"))[0].get(0)
}

fn current(desk: &Desk, document: Uuid) -> Option<Uuid> {
    desk.world.query(&format!("SELECT project_id FROM documents WHERE id = '{document}'"))[0].get(0)
}

#[test]
fn a_project_that_a_source_names_does_not_come_back_once_a_person_took_it_away() {
    let desk = Desk::new();
    let (bridge, garden) = (project(&desk, "Bridge"), project(&desk, "Garden"));
    let document = named(&desk, "m1", bridge, "a");
    desk.cron();
    assert_eq!((current(&desk, document), desk.holds(document)), (Some(bridge), None));
    desk.world.syncctl(&["projects", "unassign", &document.to_string()]).expect(0);
    assert_eq!(named(&desk, "m1", bridge, "another text"), document);
    assert_eq!(current(&desk, document), None, "the person's decision wins");
    desk.cron();
    assert_eq!((current(&desk, document), desk.holds(document)), (None, None));
    let report = desk.world.syncctl(&["classify", "explain", &document.to_string(), "--json"]).expect(0).json();
    assert_eq!((&report["holds"], &report["refused"][0]["name"]), (&json!(null), &json!("Bridge")), "{report}");
    assert_eq!(desk.events(document), [(json!(null), json!(null))]);
    // Other steps may assign any other project; the event is sent.
    desk.assign(&[(desk.mail("m2", "t1", "bob@example.com", "b"), "Garden")]);
    desk.cron();
    assert_eq!((current(&desk, document), desk.holds(document)), (Some(garden), by("kin", "Garden")));
    // The same if a person had assigned it in between.
    desk.assign(&[(document, "Bridge")]);
    desk.world.syncctl(&["projects", "unassign", &document.to_string()]).expect(0);
    named(&desk, "m1", bridge, "a third text");
    assert_eq!(current(&desk, document), None);
}

#[test]
fn the_report_names_the_source_that_decides() {
    let desk = Desk::new();
    let document = named(&desk, "m1", project(&desk, "Bridge"), "a").to_string();
    desk.assign(&[(desk.mail("m2", "t1", "bob@example.com", "b"), "Garden")]);
    desk.cron();
    let report = desk.world.syncctl(&["classify", "explain", &document, "--json"]).expect(0).json();
    assert_eq!(
        report["holds"],
        json!({ "label": { "project_id": project(&desk, "Bridge"), "name": "Bridge" }, "decided_by": "source" })
    );
    assert!(report["now"]["reason"].as_str().is_some_and(|why| why.contains("drive watch-file")), "{report}");
    let text = desk.world.syncctl(&["classify", "explain", &document]).expect(0).stdout;
    assert!(text.contains("decided    Bridge, by source"), "{text}");
    let polled = desk.world.syncctl(&["classify", "smart-poll", &document]).expect(0).stdout;
    assert!(polled.contains("its source names its project"), "{polled}");
    // A project unknown to the database.
    let own = Uuid::new_v4();
    let other = named(&desk, "m3", own, "c").to_string();
    let text = desk.world.syncctl(&["classify", "explain", &other]).expect(0).stdout;
    assert!(text.contains(&format!("decided    {own} (not a project of this user), by source")), "{text}");
}
