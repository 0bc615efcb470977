//! External programs, such as n8n, that decide what classification leaves undecided.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::{ABOUT, Desk, by, mail_of};
use crate::webhook::server::Server;

const SECRET: &str = "0123456789abcdef0123";

/// Ann, with a secret that lets programs decide.
fn asking() -> Desk {
    let mut desk = Desk::new();
    desk.world.set("SYNCCTL_WEBHOOK_CLASSIFY_SECRET", SECRET);
    desk
}

/// The events about an undecided document.
fn offers(desk: &Desk, document: Uuid) -> Vec<Value> {
    let statement = format!(
        "SELECT payload::text FROM outbox_events WHERE type = 'document.undecided' AND subject = '{document}' ORDER BY seq"
    );
    let event = |row: &postgres::Row| {
        let payload: Value = serde_json::from_str(row.get(0)).expect("JSON");
        let faults: Vec<String> = crate::documents::schema().iter_errors(&payload).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?} in {payload}");
        payload
    };
    desk.world.query(&statement).iter().map(event).collect()
}

/// The ID of an offered project.
fn offered(offer: &Value, name: &str) -> Value {
    let candidates = offer["candidates"].as_array().expect("a list");
    candidates.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {offer}"))["project_id"].clone()
}

fn answer(offer: &Value, project: &Value, confidence: f64) -> Value {
    json!({ "document_id": offer["document_id"], "content_hash": offer["content_hash"], "project_id": project, "confidence": confidence })
}

fn signed(secret: &str, at: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key").chain_update(format!("{at}.{body}"));
    format!("t={at},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

fn post(server: &Server, answer: &Value) -> u16 {
    let body = answer.to_string();
    let signature = signed(SECRET, chrono::Utc::now().timestamp(), &body);
    server.post("/classify", &[("X-Syncctl-Signature", &signature)], body.as_bytes())
}

#[test]
fn an_undecided_document_is_announced_once_for_each_text_and_a_programs_decision_holds() {
    let desk = asking();
    let open = desk.mail("m1", "t1", "bob@example.org", "about a girder");
    desk.cron();
    desk.assign(&[(desk.mail("m2", "t2", "eve@example.org", "a rose"), "Garden")]);
    desk.cron();
    desk.world.syncctl(&["classify", "poll", &open.to_string()]).expect(0);
    let [offer] = &offers(&desk, open)[..] else { panic!("{:?}", offers(&desk, open)) };
    assert_eq!((&offer["text"], &offer["author"]), (&json!("about a girder"), &json!("bob@example.org")));
    let (bridge, garden) = (offered(offer, "Bridge"), offered(offer, "Garden"));

    let server = Server::start(&desk.world, &[]);
    let mut said = answer(offer, &bridge, 0.9);
    said["reason"] = json!("steel\u{7}");
    assert_eq!((post(&server, &said), post(&server, &said)), (200, 200), "the second one changes nothing");
    assert_eq!(post(&server, &answer(offer, &garden, 1.0)), 409, "it is decided");
    assert_eq!((desk.holds(open), desk.events(open)), (by("webhook", "Bridge"), vec![(json!("Bridge"), json!("webhook"))]));
    let explained = desk.world.syncctl(&["classify", "explain", &open.to_string()]).expect(0).stdout;
    assert!(explained.contains("Bridge, by webhook"), "{explained}");
    let reason = desk.world.query("SELECT reason FROM document_projects WHERE decided_by = 'webhook'")[0].get::<_, String>(0);
    assert!(reason.contains("a program chose it with confidence 0.90: steel;"), "{reason}");
    // It outlasts later learning.
    desk.assign(&[(desk.mail("m3", "t3", "dan@example.org", "a pond"), "Garden")]);
    desk.cron();
    desk.world.syncctl(&["classify", "poll", &open.to_string()]).expect(0);
    assert_eq!((desk.holds(open), desk.events(open).len(), offers(&desk, open).len()), (by("webhook", "Bridge"), 1, 1));
    // A changed text is a new question. The decision on the first text holds until the new one is answered, and repeating it is too late.
    desk.mail("m1", "t1", "bob@example.org", "about a rose");
    desk.cron();
    assert_eq!((post(&server, &answer(offer, &bridge, 0.9)), desk.holds(open)), (409, by("webhook", "Bridge")));
    let again = &offers(&desk, open)[1];
    assert_eq!((post(&server, &answer(again, &json!("none"), 0.5)), desk.holds(open)), (200, Some(("webhook".into(), None))));
    assert_eq!((post(&server, &answer(again, &bridge, 0.5)), desk.events(open).len()), (409, 2));
    // The same answer to a third text is reported as accepted, and nothing has changed.
    desk.mail("m1", "t1", "bob@example.org", "about a pond");
    desk.cron();
    let third = answer(&offers(&desk, open)[2], &json!("none"), 0.5);
    assert_eq!((post(&server, &third), post(&server, &third), desk.events(open).len()), (200, 200, 2));
}

#[test]
fn nothing_but_a_signed_and_sure_decision_for_what_was_offered_is_taken() {
    let desk = asking();
    let eve = desk.world.user("eve@example.com");
    desk.world.syncctl(&["projects", "add", "eve@example.com", "Hers"]).expect(0);
    let hers = desk.world.project_id("Hers");
    let open = desk.mail("m1", "t1", "bob@example.org", "about a girder");
    let theirs = mail_of(&desk.world, eve, "e1", "e1", "bob@example.org", "about a girder");
    desk.cron();
    let offer = &offers(&desk, open)[0];
    assert!(!offer.to_string().contains("Hers") && offers(&desk, theirs).len() == 1);
    let bridge = offered(offer, "Bridge");
    desk.world.syncctl(&["projects", "add", "ann@example.com", "Late"]).expect(0);
    let later = desk.world.project_id("Late");
    let server = Server::start(&desk.world, &[]);

    let good = answer(offer, &bridge, 0.9).to_string();
    let now = chrono::Utc::now().timestamp();
    for (secret, at) in [("another key of some length", now), (SECRET, now - 400), (SECRET, now + 400)] {
        assert_eq!(server.post("/classify", &[("X-Syncctl-Signature", &signed(secret, at, &good))], good.as_bytes()), 401);
    }
    assert_eq!(server.post("/classify", &[], good.as_bytes()), 401);
    let changed = |name: &str, value: Value| {
        let mut answer = answer(offer, &bridge, 0.9);
        answer[name] = value;
        post(&server, &answer)
    };
    for (name, value) in [
        ("project_id", json!("Bridge")),
        ("project_id", Value::Null),
        ("confidence", json!(1.01)),
        ("confidence", json!(-0.1)),
        ("confidence", json!("NaN")),
        ("confidence", json!(1e300)),
        ("document_id", json!("\u{0}")),
        ("content_hash", json!("xyz")),
        ("reason", json!(["a"])),
        ("user_id", json!(desk.user)),
    ] {
        assert_eq!(changed(name, value.clone()), 400, "{name} {value}");
    }
    assert_eq!(changed("project_id", json!(hers)), 422);
    assert_eq!(changed("project_id", json!(later)), 422, "it was added later");
    assert_eq!(changed("document_id", json!(theirs)), 409, "another text: its hash differs only by the user");
    assert_eq!(changed("document_id", json!(Uuid::new_v4())), 404);
    assert_eq!(changed("content_hash", json!("00")), 409);
    assert_eq!(changed("confidence", json!(0.49)), 200, "too unsure to change anything");
    assert_eq!((desk.world.decided_documents(), desk.events(open).len()), (0, 0));
    desk.world.execute("UPDATE projects SET status = 'closed' WHERE name = 'Bridge'");
    assert_eq!(changed("confidence", json!(0.9)), 409, "closed");
    desk.world.execute("UPDATE projects SET status = 'active' WHERE name = 'Bridge'");
    // A person's decision is final, even when it is withdrawn.
    desk.assign(&[(open, "Garden")]);
    assert_eq!((changed("confidence", json!(0.9)), desk.holds(open)), (409, by("human", "Garden")));
    desk.world.syncctl(&["projects", "unassign", &open.to_string()]).expect(0);
    assert_eq!((changed("confidence", json!(0.9)), desk.holds(open)), (409, None));
    desk.cron();
    let again = offers(&desk, open).pop().expect("an offer");
    assert!(!again["candidates"].to_string().contains("Garden") && again["may_be_none"] == true, "{again}");
    assert_eq!(post(&server, &answer(&again, &bridge, 0.9)), 200);
}

#[test]
fn private_decided_and_rehearsed_documents_are_not_announced() {
    let mut desk = Desk::new();
    let open = desk.mail("m1", "t1", "bob@example.org", "about a girder");
    desk.cron();
    assert_eq!(desk.world.outbox_events_of("document.undecided"), 0, "no program can decide");
    assert_eq!(Server::start(&desk.world, &[]).post("/classify", &[], b"{}"), 404);

    desk.world.set("SYNCCTL_WEBHOOK_CLASSIFY_SECRET", SECRET);
    desk.world.set("SYNCCTL_CLASSIFY_NEVER_SENDERS", "bank.example");
    desk.mail("m2", "t2", "clerk@bank.example", "about a girder");
    let (first, _) = (desk.mail("m3", "t3", "dan@example.org", ABOUT[0].0), desk.mail("m4", "t3", "eve@example.org", "x"));
    desk.assign(&[(first, "Bridge")]);
    desk.world.syncctl(&["classify", "cron", "--dry-run"]).expect(0);
    assert_eq!(desk.world.outbox_events_of("document.undecided"), 0, "a rehearsal");
    desk.cron();
    // Previously undecided documents are sent when they are classified again.
    desk.world.syncctl(&["classify", "poll", &open.to_string()]).expect(0);
    assert_eq!(
        (desk.world.outbox_events_of("document.undecided"), offers(&desk, open).len()),
        (1, 1),
        "all else is private, or decided"
    );
    // An added project changes the choice.
    desk.world.syncctl(&["projects", "add", "ann@example.com", "Late"]).expect(0);
    desk.cron();
    desk.cron();
    let [_, again] = &offers(&desk, open)[..] else { panic!("{:?}", offers(&desk, open)) };
    assert!(offered(again, "Late").is_string() && desk.world.outbox_events_of("document.undecided") == 2, "{again}");
}
