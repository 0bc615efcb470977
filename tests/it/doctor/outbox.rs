//! Doctor and outbox targets: unreachable ones, and those subscribed to unknown events.

use std::net::TcpListener;

use super::{doctor, synced};
use crate::support::World;
use crate::support::pgbouncer::free_port;

fn target(world: &mut World, url: &str, more: &str) {
    world.set("SYNCCTL_OUTBOX_TARGETS", format!("[{{ name = \"n8n\", url = \"{url}\", secret = \"0123456789abcdef\"{more} }}]"));
}

#[test]
fn a_target_that_events_are_never_sent_to_is_reported() {
    let mut world = synced(1);
    for url in ["http://10.1.2.3/hook", "https://127.0.0.1/hook", "https://localhost/hook"] {
        target(&mut world, url, "");
        doctor(&world, &[]).has("fail", "outbox: n8n: its host is on loopback or in a private network");
    }
    // Found from the settings, without network access.
    target(&mut world, "https://192.168.1.1/hook", "");
    doctor(&world, &["--offline"]).has("fail", "outbox: n8n: its host is on loopback or in a private network");
}

#[test]
fn a_target_that_does_not_answer_is_reported_and_one_that_listens_is_sent_nothing() {
    let mut world = synced(1);
    world.set("SYNCCTL_OUTBOX_ALLOW_PRIVATE", "true");
    target(&mut world, "https://n8n.invalid/hook", "");
    doctor(&world, &[]).has("fail", "outbox: n8n: n8n.invalid does not resolve");
    target(&mut world, &format!("http://127.0.0.1:{}/hook", free_port()), "");
    doctor(&world, &[]).has("fail", "outbox: n8n: nothing answers at 127.0.0.1:");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    target(&mut world, &format!("http://127.0.0.1:{port}/hook"), "");
    let report = doctor(&world, &[]);
    assert_eq!(report.lines("fail"), Vec::<String>::new());
    report.has("ok", "outbox: n8n answers at 127.0.0.1:");
}

#[test]
fn unknown_event_types_are_reported_with_the_known_ones() {
    let mut world = synced(1);
    target(
        &mut world,
        "https://n8n.invalid/hook",
        ", events = [\"drive.file.modified\", \"gmail.*\", \"attendee.transcript.*\"]",
    );
    assert!(!doctor(&world, &["--offline"]).lines("fail").join("").contains("match"));
    target(&mut world, "https://n8n.invalid/hook", ", events = [\"drive.*\", \"drive.file.changed\", \"tasks.*\"]");
    let report = doctor(&world, &["--offline"]);
    report.has("fail", "outbox: n8n: no event type matches drive.file.changed, tasks.*");
    let remedy =
        report.checks.iter().filter_map(|line| line["remedy"].as_str()).find(|text| text.contains("drive.file.modified"));
    assert!(remedy.is_some_and(|text| text.contains("gmail.message.detected") && text.contains("attendee.transcript.created")));
}

#[test]
fn programs_that_may_decide_and_get_no_events_are_reported() {
    let mut world = synced(1);
    let of_programs = |world: &World| {
        let report = doctor(world, &["--offline"]);
        [report.lines("fail"), report.lines("warn")]
            .concat()
            .into_iter()
            .filter(|line| line.contains("document.undecided"))
            .collect::<Vec<_>>()
    };
    target(&mut world, "https://n8n.invalid/hook", ", events = [\"document.undecided\"]");
    assert_eq!(of_programs(&world), ["outbox: n8n: document.undecided events are not written without webhook.classify_secret"]);
    world.set("SYNCCTL_WEBHOOK_CLASSIFY_SECRET", "0123456789abcdef");
    assert_eq!(of_programs(&world), Vec::<String>::new());
    world.settings.retain(|(name, _)| *name != "SYNCCTL_OUTBOX_TARGETS");
    target(&mut world, "https://n8n.invalid/hook", ", events = [\"drive.*\"]");
    assert_eq!(of_programs(&world), ["outbox: webhook.classify_secret is set, and no target takes document.undecided"]);
}
