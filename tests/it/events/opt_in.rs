//! Which targets get types that must be asked for.

use serde_json::json;

use crate::support::World;
use crate::support::receiver::Receiver;
use crate::support::service::GMAIL;

/// The settings of a target.
fn target(name: &str, receiver: &Receiver, events: &str) -> String {
    format!("{{ name = \"{name}\", url = \"{}\", events = {events} }}", receiver.url())
}

fn types(receiver: &Receiver) -> Vec<String> {
    let mut types: Vec<String> = receiver.take().iter().map(|request| request.header("x-syncctl-event").to_owned()).collect();
    types.sort();
    types
}

#[test]
fn patterns_of_earlier_versions_get_no_new_types_and_none_are_written() {
    let mut world = World::of(&GMAIL, 1, 0);
    let receiver = Receiver::start();
    world.set("SYNCCTL_OUTBOX_ALLOW_PRIVATE", "true");
    let targets = ["[]", "[\"*\"]", "[\"gmail.*\"]", "[\"gmail.message.*\"]", "[\"gmail.message.deleted\", \"drive.*\"]"];
    let targets: Vec<String> =
        targets.iter().enumerate().map(|(at, events)| target(&at.to_string(), &receiver, events)).collect();
    world.set("SYNCCTL_OUTBOX_TARGETS", format!("[{}]", targets.join(", ")));
    world.syncctl(&["gmail", "cron"]).expect(0);
    let user = world.first_user();
    world.sim.admin("mail/messages", json!({ "user": user, "raw": "Subject: s\r\n\r\nx", "labels": ["INBOX"] }));
    world.syncctl(&["gmail", "cron", "--force"]).expect(0);
    assert_eq!((world.messages(), world.outbox_events()), (1, 0));
    assert_eq!(types(&receiver), Vec::<String>::new());
}

#[test]
fn a_target_gets_the_types_that_it_asks_for_and_others_do_not() {
    let mut world = World::with_users(1, 0);
    let (all, created, calendar) = (Receiver::start(), Receiver::start(), Receiver::start());
    world.set("SYNCCTL_OUTBOX_ALLOW_PRIVATE", "true");
    let targets = [
        target("all", &all, "[]"),
        target("created", &created, "[\"calendar.event.created\", \"drive.*\"]"),
        target("calendar", &calendar, "[\"calendar.event.*\"]"),
    ];
    world.set("SYNCCTL_OUTBOX_TARGETS", format!("[{}]", targets.join(", ")));
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    let day = chrono::Utc::now().date_naive().to_string();
    for title in ["a", "b"] {
        let event = json!({ "id": "e", "summary": title, "start": { "date": day }, "end": { "date": day } });
        world.sim.admin("events", json!({ "user": world.first_user(), "calendar": "primary", "event": event }));
        world.sync_all().expect(0);
    }
    world.emit("drive.file.modified", &[uuid::Uuid::new_v4()]);
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(types(&all), ["drive.file.modified"]);
    assert_eq!(types(&created), ["calendar.event.created", "drive.file.modified"]);
    assert_eq!(types(&calendar), ["calendar.event.created", "calendar.event.updated"]);
    // Not even when an event is sent again.
    let event = world.text("SELECT id::text FROM outbox_events WHERE type = 'calendar.event.updated'");
    world.syncctl(&["deliver", "--replay", &event]).expect(0);
    assert_eq!((types(&all).len(), types(&created).len(), types(&calendar).len()), (0, 0, 1));
    let listed = world.syncctl(&["outbox", "list", "--json"]).expect(0).json();
    let documents = listed.as_array().expect("a list").iter().map(|row| row["document_id"].is_string());
    assert_eq!(documents.filter(|is_document| *is_document).count(), 2, "{listed}");
}

#[test]
fn doctor_knows_the_types_that_must_be_asked_for() {
    let mut world = World::empty();
    world.set("SYNCCTL_OUTBOX_ALLOW_PRIVATE", "true");
    let receiver = Receiver::start();
    let faults = |world: &mut World, events: &str| {
        world.set("SYNCCTL_OUTBOX_TARGETS", format!("[{}]", target("n8n", &receiver, events)));
        let output = world.syncctl(&["doctor"]);
        output.stdout.lines().filter(|line| line.contains("no event type matches")).map(str::to_owned).collect::<Vec<_>>()
    };
    let known = "[\"calendar.*\", \"calendar.meeting.starting\", \"gmail.message.received\"]";
    assert_eq!(faults(&mut world, known), Vec::<String>::new());
    let unknown = faults(&mut world, "[\"calendar.event.deleted\"]");
    assert_eq!(unknown.len(), 1, "{unknown:?}");
}
