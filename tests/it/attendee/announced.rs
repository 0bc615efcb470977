//! Attendee's webhooks, from the simulated Attendee over HTTP to the intake and its effects.

use data_encoding::BASE64;
use serde_json::json;

use crate::support::World;
use crate::support::attendee::PROJECT;
use crate::support::waiting::until;
use crate::webhook::server::Server;

const USER: &str = "user00000@example.com";

/// The intake of a world with Attendee's webhooks.
pub fn announced(world: &mut World, arguments: &[&str]) -> Server {
    world.set("SYNCCTL_WEBHOOK_ATTENDEE_SECRET", BASE64.encode(b"thirty-two bytes that both know."));
    let key = "key-of-the-simulated-attendee";
    let secret = BASE64.encode(b"thirty-two bytes that both know.");
    world.sim.admin("attendee/projects", json!({ "name": PROJECT, "key": key, "secret": secret }));
    let server = Server::start(world, arguments);
    world.sim.admin("attendee/webhooks", json!({ "project": PROJECT, "url": format!("http://{}/attendee", server.address) }));
    server
}

#[test]
fn what_happens_to_a_bot_makes_its_project_due() {
    let mut world = World::with_attendee(1);
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.poll_bots().expect(0);
    let _server = announced(&mut world, &[]);
    assert_eq!(world.due_streams_of("attendee"), 0, "due before anything was announced");
    world.pass(56);
    until("the project is due", || world.due_streams_of("attendee") == 1);
    assert!(world.notifications_of("attendee") >= 1);
    let counts = world.sim.get("attendee/webhooks");
    assert_eq!(counts[0]["count"]["failed"], 0, "{counts}");
    world.syncctl(&["attendee", "cron", "--json"]).expect(0);
    world.assert_in_step();
}

#[test]
fn a_meeting_is_followed_by_notifications_alone() {
    let mut world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.poll_bots().expect(0);
    let _server = announced(&mut world, &["--drain"]);
    for (minutes, status) in [(65, "transcribing"), (60, "completed")] {
        world.pass(minutes);
        until(status, || world.meeting().bot_status == status);
    }
    assert_eq!(world.only_bot(&link)["state"], "ended");
}

#[test]
fn every_change_of_a_bot_is_taken_once_and_a_forged_one_is_not() {
    let mut world = World::empty();
    let server = announced(&mut world, &[]);
    let link = "https://meet.google.com/abc-defg-hij";
    let course = json!({ "speakers": ["Zoë Žižek"], "utterances": 5, "late_percent": 0 });
    world.sim.admin("attendee/script", json!({ "course": course }));
    world.sim.admin("attendee/bots", json!({ "project": PROJECT, "meeting_url": link }));
    world.pass(120);
    // Seven states, five utterances, one correction.
    until("all are stored", || world.notifications_of("attendee") == 13);
    // The sender counts them when it has the answers.
    let count = || world.sim.get("attendee/webhooks")[0]["count"].clone();
    until("all are counted", || count()["delivered"] == 13);
    assert_eq!(count(), json!({ "sent": 13, "delivered": 13, "failed": 0 }));
    world.sim.admin("attendee/projects", json!({ "name": PROJECT, "secret": BASE64.encode(b"another") }));
    world.sim.admin("attendee/bots", json!({ "project": PROJECT, "meeting_url": link }));
    until("it is given up", || world.sim.get("attendee/webhooks")[0]["count"]["failed"] == 1);
    assert_eq!(world.notifications_of("attendee"), 13);
    drop(server);
}

#[test]
fn notifications_about_foreign_bots_are_accepted_and_make_nothing_due() {
    let mut world = World::with_attendee(1);
    world.poll_bots().expect(0);
    let _server = announced(&mut world, &[]);
    world.sim.admin("attendee/bots", json!({ "project": PROJECT, "meeting_url": "https://zoom.us/j/1" }));
    until("it is stored", || world.notifications_of("attendee") >= 1);
    assert_eq!(world.due_streams_of("attendee"), 0);
}
