//! Items that the provider does not return: quarantined by ID, never blocking others, and requested again automatically.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::answer::{answer, with};
use crate::support::service::GMAIL;

/// One mailbox with this many unread messages; also returns its user.
fn mailbox(messages: u32) -> (World, String) {
    let mut world = World::of(&GMAIL, 1, messages);
    // Attempts cost no time here, and there are few.
    world.set("SYNCCTL_ENGINE_TRIES", "3");
    let user = world.first_user();
    (world, user)
}

fn arrives(world: &World, user: &str, subject: &str) -> String {
    let raw = format!("Subject: {subject}\r\n\r\nx");
    let made = world.sim.admin("mail/messages", json!({ "user": user, "raw": raw }));
    made["id"].as_str().unwrap_or_else(|| panic!("an id in {made}")).to_owned()
}

/// From now on Google answers requests for this message with this fault.
fn refuse(world: &World, fault: &str, id: &str) {
    refuse_with(world, json!({ "fault": fault }), id);
}

fn refuse_with(world: &World, fault: Value, id: &str) {
    world.sim.fault(with(fault, json!({ "method": "messages.get", "id": id })));
}

fn quarantined(world: &World) -> Vec<String> {
    world.texts("SELECT item_id FROM quarantined_items ORDER BY 1")
}

/// Makes quarantined items due for another request.
fn an_hour_later(world: &World) {
    world.execute("UPDATE quarantined_items SET retry_at = retry_at - interval '1 hour'");
}

fn requested(world: &World) -> Value {
    world.sim.ledger()["by_method"]["messages.get"].clone()
}

#[test]
fn a_message_that_cannot_be_fetched_never_stops_its_mailbox() {
    let status = |status: u16| {
        let error =
            json!({ "code": status, "message": "no", "errors": [{ "domain": "global", "reason": "failed", "message": "no" }] });
        json!({ "fault": "answer", "status": status, "body": { "error": error } })
    };
    let mut faults = vec![answer("gmail-one-message-500.http"), json!({ "fault": "cut_json" })];
    faults.extend([400, 403, 409, 413, 499, 503].map(status));
    for (index, fault) in faults.into_iter().enumerate() {
        let (world, user) = mailbox(10);
        let is_first_sync = index % 2 == 0;
        if !is_first_sync {
            world.sync_all().expect(0);
        }
        let bad = arrives(&world, &user, "bad");
        refuse_with(&world, fault.clone(), &bad);
        let run = world.sync_all().expect(0).json();
        assert_eq!((&run["quarantined"], &run["failed_streams"]), (&json!(1), &json!(0)), "{fault}: {run}");
        assert_eq!(quarantined(&world), [bad.as_str()], "{fault}");
        assert_eq!(world.rows("gmail_messages"), 10, "{fault}");
        arrives(&world, &user, "later");
        world.sync_all().expect(0);
        assert_eq!(world.messages_about("later"), 1, "{fault}");
    }
}

#[test]
fn a_raw_message_that_is_no_base64_goes_to_quarantine_alone() {
    let (mut world, user) = mailbox(5);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.sync_all().expect(0);
    let bad = arrives(&world, &user, "bad");
    arrives(&world, &user, "good");
    // The second answer for it is the raw message.
    let fault = json!({ "fault": "answer", "status": 200, "body": { "raw": "no base64!" }, "at_call": 2 });
    refuse_with(&world, fault, &bad);
    world.sync_all().expect(0);
    assert_eq!(quarantined(&world), [bad.as_str()]);
    assert_eq!(world.messages_with("good", "x"), 1);
    // The failure was temporary.
    world.syncctl(&["items", "retry"]).expect(0);
    assert_eq!(world.messages_with("bad", "x"), 1);
}

#[test]
fn what_could_not_be_fetched_is_asked_for_again_by_itself_and_ever_more_rarely() {
    let (world, user) = mailbox(5);
    world.sync_all().expect(0);
    let bad = arrives(&world, &user, "bad");
    refuse(&world, "server_500", &bad);
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    assert_eq!(world.sync_all().expect(0).json()["idle_streams"], 1, "it is not requested immediately");
    assert_eq!(world.sim.ledger()["total"], 1, "an idle mailbox costs one call");
    let mut waits = Vec::new();
    for _ in 0..5 {
        an_hour_later(&world);
        world.execute("UPDATE quarantined_items SET retry_at = least(retry_at, now())");
        world.sync_all().expect(0);
        let wait = world.query("SELECT extract(epoch FROM retry_at - last_tried_at)::bigint FROM quarantined_items");
        waits.push(wait[0].get::<_, i64>(0));
    }
    assert_eq!(waits, [3_600, 14_400, 57_600, 86_400, 86_400]);
    world.sim.clear_faults();
    world.retry_quarantined();
    let run = world.sync_all().expect(0).json();
    assert_eq!(run["changes"]["mailbox"]["created"], 1, "{run}");
    assert!(quarantined(&world).is_empty());
    world.assert_in_step();
}

#[test]
fn what_is_gone_when_it_is_asked_for_again_leaves_quarantine() {
    let (world, user) = mailbox(5);
    let bad = arrives(&world, &user, "bad");
    refuse(&world, "server_500", &bad);
    world.sync_all().expect(0);
    world.sim.clear_faults();
    let url = format!("{}/admin/mail/messages", world.sim.url);
    let request = ureq::delete(url).header("content-type", "application/json").force_send_body();
    request.send(json!({ "user": user, "id": bad }).to_string()).expect("deleting a message");
    world.retry_quarantined();
    world.sync_all().expect(0);
    assert!(quarantined(&world).is_empty());
    world.assert_in_step();
}

#[test]
fn retry_asks_for_what_could_not_be_fetched() {
    let (world, user) = mailbox(5);
    let bad = ["one", "two"].map(|subject| arrives(&world, &user, subject));
    bad.iter().for_each(|id| refuse(&world, "bad_request_400", id));
    world.sync_all().expect(0);
    let retried = world.syncctl(&["items", "retry"]).expect(1);
    assert!(retried.stdout.contains("0 applied, 2 kept") && retried.stdout.contains("HTTP 400"), "{}", retried.stdout);
    world.sim.clear_faults();
    let number = world.count("SELECT min(id) FROM quarantined_items").to_string();
    let retried = world.syncctl(&["items", "retry", &number]).expect(0);
    assert!(retried.stdout.contains("1 applied, 0 kept"), "{}", retried.stdout);
    world.syncctl(&["items", "retry"]).expect(0);
    assert!(quarantined(&world).is_empty());
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn an_outage_puts_no_mailbox_into_quarantine_and_is_over_when_it_is_over() {
    let (world, user) = mailbox(40);
    world.sim.fault(json!({ "fault": "server_500", "method": "messages.get" }));
    let run = world.sync_all().expect(69).json();
    assert_eq!((&run["quarantined"], &run["errors"]["transient"]["count"]), (&json!(0), &json!(1)), "{run}");
    world.sim.clear_faults();
    world.sync_all().expect(0);
    world.assert_in_step();
    // Later too, when there is little new.
    (0..5).for_each(|_| drop(arrives(&world, &user, "new")));
    world.sim.fault(json!({ "fault": "unavailable_503", "method": "messages.get" }));
    world.sync_all().expect(69);
    assert!(quarantined(&world).is_empty());
    world.sim.clear_faults();
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn many_messages_that_cannot_be_fetched_are_quarantined_as_long_as_others_can() {
    let (world, user) = mailbox(20);
    world.sync_all().expect(0);
    let bad: Vec<String> = (0..8).map(|number| arrives(&world, &user, &format!("bad {number}"))).collect();
    bad.iter().for_each(|id| refuse(&world, "server_500", id));
    let run = world.sync_all().expect(0).json();
    assert_eq!(run["quarantined"], 8, "{run}");
    assert_eq!(quarantined(&world).len(), 8);
    world.sim.clear_faults();
    world.retry_quarantined();
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn quota_scope_and_token_never_blame_a_message() {
    for (fault, class) in [
        ("rate_limit_429", "rate_limited"),
        ("insufficient_permissions", "scope_missing"),
        ("daily_limit", "daily_quota"),
        ("auth_error", "token_stale"),
    ] {
        let (world, user) = mailbox(10);
        world.sync_all().expect(0);
        let bad = arrives(&world, &user, "bad");
        (0..3).for_each(|_| drop(arrives(&world, &user, "good")));
        refuse(&world, fault, &bad);
        let run = world.sync_all().json();
        assert!(quarantined(&world).is_empty(), "{fault}: {run}");
        match class {
            // Not a failure of the stream, but a pause of its project.
            "daily_quota" => assert_eq!(run["paused"][0]["streams"], 1, "{fault}: {run}"),
            class => assert!(run["errors"].get(class).is_some(), "{fault}: {run}"),
        }
        assert_eq!(world.rows("gmail_messages"), 13, "{fault}: what was read is kept");
        world.sim.clear_faults();
        world.execute("DELETE FROM quota_pauses");
        world.syncctl(&["accounts", "check"]).expect(0);
        world.sync_all().expect(0);
        world.assert_in_step();
    }
}

#[test]
fn no_message_is_blamed_for_a_token_that_cannot_be_had() {
    let (world, user) = mailbox(10);
    world.sync_all().expect(0);
    let last = arrives(&world, &user, "last");
    (0..3).for_each(|_| drop(arrives(&world, &user, "good")));
    refuse(&world, "auth_error", &last);
    world.sim.fault(json!({ "fault": "unavailable_503", "method": "token" }));
    let run = world.sync_all().expect(69).json();
    assert!(quarantined(&world).is_empty(), "{run}");
    assert_eq!(world.rows("gmail_messages"), 13, "what was read is kept");
    world.sim.clear_faults();
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_hundred_are_asked_for_again_at_a_time() {
    let (world, user) = mailbox(40);
    let bad: Vec<String> = (0..30).map(|number| arrives(&world, &user, &format!("bad {number}"))).collect();
    bad.iter().for_each(|id| refuse(&world, "bad_request_400", id));
    world.sync_all().expect(0);
    assert_eq!(quarantined(&world).len(), 30);
    // And other, old ones.
    world.execute(
        "INSERT INTO quarantined_items (stream_id, item_id, raw, error)
         SELECT id, 'gone' || n, '', 'not given' FROM streams, generate_series(1, 80) AS n WHERE service = 'gmail'",
    );
    world.retry_quarantined();
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    assert_eq!(requested(&world), 100);
}
