//! Handling of events when a target fails.

use serde_json::json;
use uuid::Uuid;

use super::{documents, in_state, world};
use crate::support::receiver::{Receiver, Reply};

#[test]
fn a_failed_event_is_sent_again_with_the_same_key() {
    let receiver = Receiver::start();
    receiver.answer(|request| if request.number == 1 { Reply::Status(500) } else { Reply::Status(200) });
    let world = world(&[("n8n", &receiver, "")], "");
    let ids = world.emit("drive.file.modified", &documents(1));
    let report = world.syncctl(&["deliver", "--json"]).expect(1).json();
    assert_eq!(report["targets"][0]["failed"], 1, "{report}");
    assert_eq!(receiver.requests().len(), 1, "a run tries no event twice");
    world.syncctl(&["deliver"]).expect(0);
    let keys: Vec<String> = receiver.requests().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!(keys, [ids[0].to_string(), ids[0].to_string()]);
    assert_eq!(world.count("SELECT attempts::bigint FROM outbox_deliveries WHERE state = 'delivered'"), 2);
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(receiver.requests().len(), 2, "delivered is delivered");
}

#[test]
fn a_connection_that_breaks_is_a_failure_like_any_other() {
    let receiver = Receiver::start();
    receiver.answer(|request| if request.number == 1 { Reply::Reset } else { Reply::Status(204) });
    let world = world(&[("n8n", &receiver, "")], "");
    world.emit("drive.file.modified", &documents(1));
    world.syncctl(&["deliver"]).expect(1);
    assert_eq!(in_state(&world, "pending"), 1);
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(in_state(&world, "delivered"), 1);
}

#[test]
fn events_of_a_document_keep_their_order_when_the_first_fails() {
    let receiver = Receiver::start();
    let world = world(&[("n8n", &receiver, "")], "");
    let (failing, other) = (Uuid::new_v4(), Uuid::new_v4());
    let ids = world.emit("drive.file.modified", &[failing, other, failing, failing, other]);
    let first = ids[0].to_string();
    let poison = first.clone();
    receiver.answer(move |request| if request.key() == poison { Reply::Status(503) } else { Reply::Status(200) });
    world.syncctl(&["deliver"]).expect(1);
    let sent: Vec<String> = receiver.take().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!(sent.iter().filter(|key| **key == first).count(), 1);
    assert!(sent.contains(&ids[1].to_string()) && sent.contains(&ids[4].to_string()), "the other document goes on: {sent:?}");
    assert_eq!(sent.len(), 3, "nothing of the failing document overtakes: {sent:?}");
    receiver.answer(|_| Reply::Status(200));
    world.syncctl(&["deliver"]).expect(0);
    let sent: Vec<String> = receiver.requests().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!(sent, [first, ids[2].to_string(), ids[3].to_string()]);
}

#[test]
fn a_dead_target_costs_one_request_a_run_until_it_answers_again() {
    let receiver = Receiver::start();
    receiver.answer(|_| Reply::Status(503));
    let world = world(&[("n8n", &receiver, "")], "concurrency = 2");
    world.emit("drive.file.modified", &documents(40));
    world.syncctl(&["deliver"]).expect(1);
    let first = receiver.take().len();
    // Including those in flight when the fifth failed.
    assert!((5..=6).contains(&first), "{first} requests");
    for _ in 0..3 {
        let report = world.syncctl(&["deliver", "--json"]).expect(1).json();
        assert_eq!(report["targets"][0]["circuit"], "open", "{report}");
        assert_eq!(receiver.take().len(), 1);
    }
    receiver.answer(|_| Reply::Status(200));
    let report = world.syncctl(&["deliver", "--json"]).expect(0).json();
    assert_eq!(report["targets"][0]["circuit"], "closed", "{report}");
    assert_eq!(receiver.take().len(), 40);
    assert_eq!(in_state(&world, "delivered"), 40);
}

#[test]
fn a_run_with_nothing_to_try_is_not_done_while_events_wait_for_a_dead_target() {
    let receiver = Receiver::start();
    receiver.answer(|_| Reply::Status(503));
    let world = world(&[("n8n", &receiver, "")], "concurrency = 1");
    world.emit("drive.file.modified", &documents(5));
    world.syncctl(&["deliver"]).expect(1);
    world.execute("UPDATE outbox_deliveries SET due_at = now() + interval '1 hour'");
    receiver.take();
    let run = world.syncctl(&["deliver"]).expect(1);
    assert!(run.stderr.contains("5 events wait") && run.stderr.contains("HTTP 503"), "{}", run.stderr);
    assert_eq!(receiver.take().len(), 0);
    assert_eq!(world.runs_of("deliver", "partial"), 2);
}

#[test]
fn an_event_is_dead_after_its_attempts_and_can_be_retried_by_command() {
    let receiver = Receiver::start();
    receiver.answer(|_| Reply::Full(400, vec![], "no such workflow, ask ann@example.com".into()));
    let world = world(&[("n8n", &receiver, "")], "max_attempts = 2");
    let document = Uuid::new_v4();
    let ids = world.emit("drive.file.modified", &[document, document]);
    world.syncctl(&["deliver"]).expect(1);
    // The second event of the document may be sent when the first is dead, and not before.
    let report = world.syncctl(&["deliver", "--json"]).expect(1).json();
    assert_eq!(report["targets"][0]["dead"], 1, "{report}");
    world.syncctl(&["deliver"]).expect(1);
    assert_eq!(in_state(&world, "dead"), 2);
    receiver.take();
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(receiver.take().len(), 0, "the dead are not tried");
    let listed = world.syncctl(&["outbox", "list", "--state", "dead", "--json"]).expect(0).json();
    assert_eq!(listed[0]["event_id"], json!(ids[1]), "the newest first: {listed}");
    assert_eq!(listed[1]["last_error"], "HTTP 400: no such workflow, ask <address>");
    receiver.answer(|_| Reply::Status(200));
    world.syncctl(&["deliver", "--dead"]).expect(0);
    let sent: Vec<String> = receiver.take().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!(sent, ids.iter().map(Uuid::to_string).collect::<Vec<_>>());
}

#[test]
fn a_target_that_asks_for_time_is_given_it_up_to_the_cap() {
    let receiver = Receiver::start();
    receiver.answer(|request| {
        let seconds = if request.header("x-syncctl-event") == "drive.file.moved" { "100" } else { "999999" };
        Reply::Full(429, vec![("retry-after", seconds.into())], String::new())
    });
    let world = world(&[("n8n", &receiver, "")], "backoff_cap = \"30m\"");
    world.emit("drive.file.moved", &documents(1));
    world.emit("drive.file.modified", &documents(1));
    world.syncctl(&["deliver"]).expect(1);
    let rows = world.query("SELECT extract(epoch FROM due_at - now())::float8 FROM outbox_deliveries ORDER BY due_at");
    let waits: Vec<f64> = rows.iter().map(|row| row.get(0)).collect();
    assert!((60.0..=100.0).contains(&waits[0]) && (1700.0..=1800.0).contains(&waits[1]), "{waits:?}");
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let (receiver, elsewhere) = (Receiver::start(), Receiver::start());
    let location = elsewhere.url();
    receiver.answer(move |_| Reply::Full(307, vec![("location", location.clone())], String::new()));
    let world = world(&[("n8n", &receiver, "")], "");
    world.emit("drive.file.modified", &documents(1));
    let output = world.syncctl(&["deliver"]).expect(1);
    assert!(output.stderr.contains("redirects are not followed"), "{}", output.stderr);
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(in_state(&world, "pending"), 1);
}

#[test]
fn of_a_huge_answer_only_the_beginning_is_read() {
    const HUGE: usize = 256 << 20;
    let receiver = Receiver::start();
    receiver.answer(|_| Reply::Endless(500, HUGE));
    let world = world(&[("n8n", &receiver, "")], "");
    world.emit("drive.file.modified", &documents(1));
    world.syncctl(&["deliver"]).expect(1);
    // Includes bytes buffered by the sockets.
    assert!(receiver.written() < HUGE / 8, "{} bytes", receiver.written());
    assert!(world.count("SELECT length(last_error)::bigint FROM outbox_deliveries") <= 220);
}
