//! Projects of users, and people's decisions which of them a document belongs to.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::World;
use crate::support::library::email;

/// Ann with the projects Bridge and Tunnel, and a mail.
fn ann() -> (World, Uuid, Uuid) {
    let world = World::empty();
    let user = world.user("ann@example.com");
    for name in ["Bridge", "Tunnel"] {
        world.syncctl(&["projects", "add", "ann@example.com", name, "--keyword", "steel"]).expect(0);
    }
    let document = world.document(&email(user, "m1", "Girders", "steel for the bridge"));
    (world, user, document)
}

fn say(world: &World, arguments: &[&str]) -> Value {
    world.syncctl(&[&["projects"], arguments, &["--json"]].concat()).expect(0).json()
}

/// The events of decisions, in order: project, by whom, and the previous project.
fn told(world: &World) -> Vec<(Value, Value, Value)> {
    let event = |told: Value| {
        assert!(crate::documents::schema().is_valid(&told), "{told}");
        (told["project"]["name"].clone(), told["decided_by"].clone(), told["previous_project_id"].clone())
    };
    world.payloads_of("document.classified").into_iter().map(event).collect()
}

fn id_of(world: &World, name: &str) -> Value {
    let listed = say(world, &["list", "--all"]);
    listed.as_array().expect("a list").iter().find(|row| row["name"] == name).expect("the project")["id"].clone()
}

#[test]
fn a_persons_assignment_is_stored_recorded_and_announced_once() {
    let (world, _, document) = ann();
    let (document, bridge) = (document.to_string(), id_of(&world, "Bridge"));
    assert_eq!(say(&world, &["assign", &document, "Bridge"])["changed"], json!(true));
    // By its ID too, and again nothing happens.
    assert_eq!(say(&world, &["assign", &document, bridge.as_str().expect("an id")])["changed"], json!(false));
    let shown = world.syncctl(&["documents", "show", &document, "--json"]).expect(0).json();
    assert_eq!(shown["project_id"], bridge);
    assert_eq!(shown["version"], json!(1), "what it says is the same");
    assert_eq!(say(&world, &["assign", &document, "--none"])["changed"], json!(true));
    assert_eq!(say(&world, &["unassign", &document])["changed"], json!(true));
    assert_eq!(say(&world, &["unassign", &document])["changed"], json!(false));
    let human = json!("human");
    assert_eq!(
        told(&world),
        [
            (json!("Bridge"), human.clone(), Value::Null),
            (Value::Null, human, bridge.clone()),
            (Value::Null, Value::Null, Value::Null),
        ]
    );
    let recorded = world.texts(
        "SELECT concat_ws(' ', action, coalesce(project_id::text, '-'), coalesce(was_project_id::text, '-'), coalesce(was_decided_by, '-'))
         FROM project_corrections ORDER BY id",
    );
    let bridge = bridge.as_str().expect("an id");
    assert_eq!(recorded, [format!("assigned {bridge} - -"), format!("none - {bridge} human"), "unassigned - - human".to_owned()]);
    assert_eq!(world.decided_documents(), 0);
}

#[test]
fn a_new_version_of_a_document_and_its_events_keep_a_persons_assignment() {
    let (world, user, document) = ann();
    say(&world, &["assign", &document.to_string(), "Bridge"]);
    // A source that names another project, as followed files do.
    let other = Some(Uuid::new_v4());
    world.document(&syncctl::db::documents::Document { project: other, ..email(user, "m1", "Girders", "new text") });
    world.emit("drive.file.modified", &[document]);
    let bridge = id_of(&world, "Bridge");
    let kept = world.query("SELECT d.project_id::text, d.version, e.payload ->> 'project_id' FROM documents d, outbox_events e WHERE e.type = 'drive.file.modified'");
    let kept: (Option<String>, i32, Option<String>) = (kept[0].get(0), kept[0].get(1), kept[0].get(2));
    let bridge = bridge.as_str().map(str::to_owned);
    assert_eq!(kept, (bridge.clone(), 2, bridge));
    // Including that it belongs to none.
    say(&world, &["assign", &document.to_string(), "--none"]);
    world.document(&syncctl::db::documents::Document { project: other, ..email(user, "m1", "Girders", "newer text") });
    assert_eq!(world.rows("documents WHERE project_id IS NULL AND version = 3"), 1);
}

#[test]
fn nothing_is_assigned_to_what_is_closed_anothers_or_unknown() {
    let (world, _, document) = ann();
    world.user("bob@example.com");
    world.syncctl(&["projects", "add", "bob@example.com", "Road"]).expect(0);
    let document = document.to_string();
    let road = id_of(&world, "Road");
    for project in ["Road", road.as_str().expect("an id"), "Harbour", "bridge"] {
        let refused = world.syncctl(&["projects", "assign", &document, project]).expect(2);
        assert!(refused.stderr.contains("the document's user has no project"), "{}", refused.stderr);
    }
    let tunnel = id_of(&world, "Tunnel");
    say(&world, &["close", tunnel.as_str().expect("an id")]);
    let refused = world.syncctl(&["projects", "assign", &document, "Tunnel"]).expect(2);
    assert!(refused.stderr.contains("project \"Tunnel\" is closed"), "{}", refused.stderr);
    world.syncctl(&["projects", "assign", &Uuid::new_v4().to_string(), "Bridge"]).expect(2);
    world.syncctl(&["projects", "close", &Uuid::new_v4().to_string()]).expect(2);
    world.syncctl(&["projects", "add", "ann@example.com", "Bridge"]).expect(2);
    world.syncctl(&["projects", "add", "ann@example.com", " "]).expect(2);
    world.syncctl(&["projects", "add", "carl@example.com", "Bridge"]).expect(2);
    assert_eq!(told(&world), []);
    let open = say(&world, &["list", "--user", "ann@example.com"]);
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
}

#[test]
fn lines_are_read_one_by_one_and_bad_ones_are_named() {
    let (world, user, first) = ann();
    let second = world.document(&email(user, "m2", "Lunch", "noodles"));
    let import = "{\"user\": \"ann@example.com\", \"name\": \"Bridge\", \"description\": \"over the river\"}\n\
                  {\"user\": \"ann@example.com\", \"name\": \"Harbour\", \"people\": [\"bob\"]}\n\
                  {\"user\": \"zoe@example.com\", \"name\": \"Harbour\"}\n\
                  {\"user\": \"ann@example.com\", \"name\": \"Harbour\"}\n{\"name\": 1}\n";
    let imported = world.syncctl_with_input(&["projects", "import", "-", "--json"], import).expect(1).json();
    assert_eq!((&imported["added"], &imported["updated"]), (&json!(1), &json!(1)), "{imported}");
    let bad: Vec<&Value> = imported["bad"].as_array().expect("a list").iter().map(|bad| &bad[0]).collect();
    assert_eq!(bad, [3, 4, 5]);
    let shown = say(&world, &["show", id_of(&world, "Bridge").as_str().expect("an id")]);
    assert_eq!((&shown["description"], &shown["keywords"]), (&json!("over the river"), &json!([])));
    let lines = format!("{first} Bridge\n\n{second} --none\n{second} Airport\nnonsense\n{first} Bridge\n");
    let said = world.syncctl_with_input(&["projects", "assign", "--stdin", "--json"], &lines).expect(1).json();
    assert_eq!((&said["changed"], &said["unchanged"]), (&json!(2), &json!(1)), "{said}");
    assert_eq!(said["bad"].as_array().map(Vec::len), Some(2), "{said}");
    assert_eq!(world.documents_decided_by("human"), 2);
    let counted = say(&world, &["list"]);
    let bridge = counted.as_array().expect("a list").iter().find(|row| row["name"] == "Bridge").expect("Bridge");
    assert_eq!((&bridge["documents"], &bridge["by_people"]), (&json!(1), &json!(1)));
    world.syncctl_with_input(&["projects", "unassign", "--stdin"], &format!("{first}\n{second}\n")).expect(0);
    assert_eq!(world.decided_documents(), 0);
}

#[test]
fn a_user_who_is_removed_takes_projects_and_decisions_along() {
    let world = World::with_users(2, 1);
    let user: Uuid = world.query("SELECT id FROM users ORDER BY email LIMIT 1")[0].get(0);
    let name = world.emails().remove(0);
    world.syncctl(&["projects", "add", &name, "Bridge"]).expect(0);
    let document = world.document(&email(user, "m1", "Girders", "steel"));
    say(&world, &["assign", &document.to_string(), "Bridge"]);
    let told = world.syncctl(&["accounts", "remove", &name, "--yes", "--json"]).expect(0).stdout;
    for table in ["projects", "document_projects", "project_corrections"] {
        assert!(told.contains(&format!("\"{table}\"")), "{table}: {told}");
        assert_eq!(world.rows(table), 0, "{table}");
    }
}
