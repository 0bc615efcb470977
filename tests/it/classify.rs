//! Which project a document belongs to: classified by the real binary, based on people's decisions.

mod accounts;
mod asks;
mod bad;
mod beside;
mod idle;
mod kills;
mod model;
mod opened;
mod programs;
mod refused;
mod rehearsed;
mod sources;

use serde_json::{Value, json};
use syncctl::db::documents::Document;
use uuid::Uuid;

use crate::support::World;
use crate::support::library::email;

/// Ann and her documents.
pub struct Desk {
    pub world: World,
    pub user: Uuid,
}

/// The subjects of each project's mails.
const ABOUT: [(&str, &[&str]); 3] = [
    ("Bridge", &["girder", "steel", "river", "pier", "weld", "span", "load", "rivet", "truss", "deck"]),
    ("Garden", &["rose", "soil", "pond", "hedge", "seed", "lawn", "mulch", "prune", "tulip", "compost"]),
    ("--none", &["lottery", "voucher", "winner", "prize", "discount", "casino", "offer", "bonus", "claim", "jackpot"]),
];

impl Desk {
    /// Ann, who has the projects Bridge and Garden and no documents.
    pub fn new() -> Self {
        let world = World::empty();
        let user = world.user("ann@example.com");
        for name in ["Bridge", "Garden"] {
            world.syncctl(&["projects", "add", "ann@example.com", name]).expect(0);
        }
        Self { world, user }
    }

    /// A mail of a thread from this sender.
    pub fn mail(&self, id: &str, thread: &str, from: &str, body: &str) -> Uuid {
        mail_of(&self.world, self.user, id, thread, from, body)
    }

    /// A mail about a subject, by its index in `ABOUT`, from a new sender; the number varies its words.
    pub fn about(&self, kind: usize, number: usize) -> Uuid {
        let id = format!("m{kind}x{number}");
        self.mail(&id, &id, &format!("Somebody <{id}@example.com>"), &words(kind, number))
    }

    /// A person's decisions, one transaction each.
    pub fn assign(&self, words: &[(Uuid, &str)]) {
        let lines: String = words.iter().map(|(document, project)| format!("{document} {project}\n")).collect();
        self.world.syncctl_with_input(&["projects", "assign", "--stdin"], &lines).expect(0);
    }

    /// Assigns this many mails of each subject.
    pub fn teach(&self, each: usize) {
        let said: Vec<(Uuid, &str)> = (0..each)
            .flat_map(|n| (0..3).map(move |kind| (kind, n)))
            .map(|(kind, n)| (self.about(kind, n), ABOUT[kind].0))
            .collect();
        self.assign(&said);
    }

    /// One run of the job.
    pub fn cron(&self) -> Value {
        self.world.syncctl(&["classify", "cron", "--json"]).expect(0).json()
    }

    /// The current decision on a document: by whom, and the project's name.
    pub fn holds(&self, document: Uuid) -> Option<(String, Option<String>)> {
        let rows = self.world.query(&format!(
            "SELECT d.decided_by, p.name FROM document_projects d LEFT JOIN projects p ON p.id = d.project_id WHERE d.document_id = '{document}'"
        ));
        rows.first().map(|row| (row.get(0), row.get(1)))
    }

    /// The events of a document, in order: project, by whom.
    pub fn events(&self, document: Uuid) -> Vec<(Value, Value)> {
        let rows = self.world.query(&format!(
            "SELECT payload::text FROM outbox_events WHERE type = 'document.classified' AND subject = '{document}' ORDER BY seq"
        ));
        let event = |row: &postgres::Row| {
            let event: Value = serde_json::from_str(row.get(0)).expect("JSON");
            assert!(crate::documents::schema().is_valid(&event), "{event}");
            (event["project"]["name"].clone(), event["decided_by"].clone())
        };
        rows.iter().map(event).collect()
    }

    pub fn queued(&self) -> i64 {
        self.world.rows("classify_queue")
    }
}

/// A mail of a user's thread from this sender.
fn mail_of(world: &World, user: Uuid, id: &str, thread: &str, from: &str, body: &str) -> Uuid {
    world.document(&Document { author: Some(from), details: json!({ "thread_id": thread }), ..email(user, id, "", body) })
}

/// Ten words on a subject, different in each mail.
fn words(kind: usize, number: usize) -> String {
    let all = ABOUT[kind].1;
    (0..8).map(|n| all[(number * 7 + n * n) % all.len()]).collect::<Vec<_>>().join(" ")
}

fn by(who: &str, project: &str) -> Option<(String, Option<String>)> {
    Some((who.to_owned(), Some(project.to_owned())))
}

#[test]
fn an_assignment_in_a_thread_holds_for_the_rest_of_it_and_for_later_mails() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "hello");
    let second = desk.mail("m2", "t1", "eve@example.com", "hello");
    let other = desk.mail("m3", "t2", "eve@example.com", "hello");
    desk.assign(&[(first, "Bridge")]);
    let report = desk.cron();
    assert_eq!(report["status"], "completed", "{report}");
    assert_eq!((desk.holds(first), desk.holds(second), desk.holds(other)), (by("human", "Bridge"), by("kin", "Bridge"), None));
    assert_eq!(desk.events(second), [(json!("Bridge"), json!("kin"))]);
    let later = desk.mail("m4", "t1", "dan@example.com", "hello again");
    desk.cron();
    assert_eq!(desk.holds(later), by("kin", "Bridge"));
    // Classifying again changes nothing and sends no events.
    let events = desk.world.outbox_events();
    desk.cron();
    desk.world.syncctl(&["classify", "batch-poll"]).expect(0);
    desk.world.syncctl(&["classify", "batch-poll", &second.to_string(), &other.to_string()]).expect(0);
    assert_eq!((desk.world.outbox_events(), desk.queued()), (events, 0));
    let shown = desk.world.syncctl(&["documents", "show", &second.to_string(), "--json"]).expect(0).json();
    assert!(shown["project_id"].is_string(), "{shown}");
}

#[test]
fn the_last_three_alike_decide_for_a_sender() {
    let desk = Desk::new();
    let said: Vec<Uuid> = (0..3).map(|n| desk.mail(&format!("m{n}"), &format!("t{n}"), "Bob <BOB@example.com>", "")).collect();
    let open = desk.mail("m9", "t9", "bob@example.com", "");
    desk.assign(&[(said[0], "Garden"), (said[1], "Garden")]);
    desk.cron();
    assert_eq!(desk.holds(open), None);
    desk.assign(&[(said[2], "Garden")]);
    desk.cron();
    assert_eq!(desk.holds(open), by("sender", "Garden"));
    // They no longer agree.
    desk.assign(&[(said[2], "Bridge")]);
    desk.cron();
    assert_eq!(desk.holds(open), None);
    assert_eq!(desk.events(open), [(json!("Garden"), json!("sender")), (Value::Null, Value::Null)]);
}

#[test]
fn a_persons_assignment_stands_and_a_removed_one_does_not_return() {
    let desk = Desk::new();
    let (first, second) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t1", "bob@example.com", "b"));
    desk.assign(&[(first, "Bridge")]);
    desk.cron();
    assert_eq!(desk.holds(second), by("kin", "Bridge"));
    // A person decides differently on this one: it stays, whatever its thread says.
    desk.assign(&[(second, "--none")]);
    desk.cron();
    assert_eq!(desk.holds(second), Some(("human".into(), None)));
    desk.world.syncctl(&["projects", "unassign", &second.to_string()]).expect(0);
    desk.cron();
    assert_eq!(desk.holds(second), None, "neither what the thread says nor what was withdrawn");
    let explained = desk.world.syncctl(&["classify", "explain", &second.to_string(), "--json"]).expect(0).json();
    let refused: Vec<&str> =
        explained["refused"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(refused, ["Bridge", "none of them"], "{explained}");
    assert_eq!(
        explained["now"]["reason"],
        "a person removed the project of the same thread from this document, and too few assignments by people: 1 of 30"
    );
    // Once everything is learnt there is nothing to do.
    desk.cron();
    assert_eq!(desk.cron()["polls"], json!(0));
}

#[test]
fn a_changed_text_is_judged_again_and_a_closed_project_gets_nothing() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "a");
    desk.assign(&[(first, "Bridge")]);
    let second = desk.mail("m2", "t1", "bob@example.com", "b");
    desk.cron();
    let judged = |desk: &Desk| {
        desk.world.rows(&format!(
            "document_judgements j JOIN documents d ON d.id = j.document_id WHERE d.id = '{second}' AND j.content_hash = d.content_hash"
        ))
    };
    assert_eq!(judged(&desk), 1);
    desk.mail("m2", "t1", "bob@example.com", "another text");
    assert_eq!((judged(&desk), desk.queued()), (0, 1));
    desk.cron();
    assert_eq!((judged(&desk), desk.queued(), desk.events(second).len()), (1, 0, 1));
    let bridge = desk.world.project_id("Bridge");
    desk.world.syncctl(&["projects", "close", &bridge]).expect(0);
    let third = desk.mail("m3", "t1", "bob@example.com", "c");
    desk.cron();
    assert_eq!((desk.holds(third), desk.holds(second), desk.queued()), (None, by("kin", "Bridge"), 0));
}
