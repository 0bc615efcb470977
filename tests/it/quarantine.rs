//! Items that cannot be applied: quarantined with their error, and never blocking others.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::GMAIL;

fn world_with(raws: &[&str]) -> World {
    let world = World::with_users(1, 25);
    let user = world.first_user();
    for raw in raws {
        world.sim.admin("events", json!({ "user": user, "calendar": "primary", "raw": raw }));
    }
    world
}

const NO_TIME: &str =
    r#"{"id":"notime","status":"confirmed","etag":"\"1\"","start":{"date":"2026-02-30"},"end":{"date":"2026-11-26"}}"#;
const ODD: &str = r#"{"id":"odd","status":"confirmed","etag":"\"1\"","start":5,"end":{"date":"2026-11-26"}}"#;
const NO_START: &str = r#"{"id":"nostart","status":"confirmed","etag":"\"1\""}"#;

#[test]
fn poison_items_are_quarantined_and_the_cursor_moves_on() {
    let world = world_with(&[NO_TIME, ODD, NO_START]);
    let report = world.sync_all().expect(0).json();
    assert_eq!(report["quarantined"], 3, "{report}");
    assert_eq!(world.events(), 25);
    let listed = world.syncctl(&["items", "list", "--json"]).expect(0).json();
    let ids: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|item| item["item_id"].as_str()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    for id in ["notime", "odd", "nostart"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    let again = world.sync_all().expect(0).json();
    assert_eq!(again["quarantined"], 0, "the cursor is behind them");
}

#[test]
fn an_item_leaves_quarantine_when_a_good_version_comes() {
    let world = world_with(&[ODD]);
    world.sync_all().expect(0);
    let user = world.first_user();
    let today = Utc::now().date_naive();
    let (start, end) = (json!({ "date": today }), json!({ "date": today + TimeDelta::days(1) }));
    let good = json!({ "id": "odd", "status": "confirmed", "start": start, "end": end });
    let url = format!("{}/admin/events", world.sim.url);
    ureq::put(url).send_json(json!({ "user": user, "calendar": "primary", "event": good })).expect("repairing the event");
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 0);
    assert_eq!(world.rows("calendar_events WHERE event_id = 'odd' AND deleted_at IS NULL"), 1);
}

#[test]
fn retry_applies_what_can_be_applied_now_and_keeps_the_rest() {
    let world = world_with(&[NO_TIME, ODD]);
    world.sync_all().expect(0);
    world.syncctl(&["items", "retry"]).expect(1);
    world.execute(r#"UPDATE quarantined_items SET raw = replace(raw, '2026-02-30', '2026-02-28') WHERE item_id = 'notime'"#);
    let retried = world.syncctl(&["items", "retry"]).expect(1);
    assert!(retried.stdout.contains("1 applied, 1 kept"), "{}", retried.stdout);
    assert_eq!(world.rows("calendar_events WHERE event_id = 'notime'"), 1);
    assert_eq!(world.rows("quarantined_items WHERE item_id = 'odd' AND attempts > 1"), 1);
}

#[test]
fn a_full_pass_does_not_bury_the_good_version_of_a_quarantined_item() {
    let world = World::with_users(1, 5);
    world.sync_all().expect(0);
    let (user, event) = {
        let truth = world.sim.truth();
        let key = truth.keys().next().expect("an event").clone();
        (key.0, key.2)
    };
    let poison = ODD.replace("\"odd\"", &format!("{event:?}"));
    world.sim.admin("events", json!({ "user": user, "calendar": "primary", "raw": poison }));
    world.sync_all().expect(0);
    world.sim.admin("expire", json!({ "what": "sync_tokens" }));
    world.sync_all().expect(0);
    let live = format!("calendar_events WHERE event_id = '{event}' AND deleted_at IS NULL");
    assert_eq!(world.rows(&live), 1);
}

#[test]
fn a_server_that_stutters_never_condemns_an_item() {
    let world = World::with_users(3, 20);
    for fault in ["server_500", "rate_limit_429", "cut_json", "cut_body"] {
        world.sim.fault(json!({ "fault": fault, "probability": 0.2 }));
    }
    world.sync_all();
    assert_eq!(world.quarantined(), 0);
    let listed: Value = world.syncctl(&["items", "list", "--json"]).expect(0).json();
    assert_eq!(listed, json!([]));
}

/// A mailbox in sync, and a new message; returns its user and its id.
fn world_with_odd_mail() -> (World, String, String) {
    let world = World::of(&GMAIL, 1, 3);
    world.sync_all().expect(0);
    let user = world.first_user();
    let made = world.sim.admin("mail/messages", json!({ "user": user, "raw": "Subject: odd\r\n\r\nx" }));
    let id = made["id"].as_str().expect("an id").to_owned();
    (world, user, id)
}

#[test]
fn a_message_in_quarantine_is_not_lost_when_its_labels_change() {
    let (world, user, id) = world_with_odd_mail();
    world.refuse_rows("gmail_messages", "NEW.subject = 'odd'");
    world.sync_all().expect(0);
    world.sim.admin("mail/labels", json!({ "user": user, "id": id, "remove": ["UNREAD"] }));
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1, "the message is no longer known");
    world.execute("DROP TRIGGER refuse ON gmail_messages");
    world.syncctl(&["items", "retry"]).expect(0);
    assert_eq!(world.messages_about("odd"), 1);
}

#[test]
fn a_full_pass_does_not_bury_a_message_or_a_calendar_that_lies_in_quarantine() {
    let (world, ..) = world_with_odd_mail();
    world.sync_all().expect(0);
    world.refuse_rows("gmail_messages", "NEW.subject = 'odd'");
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1);
    assert_eq!(world.rows("gmail_messages WHERE subject = 'odd' AND deleted_at IS NULL"), 1);

    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    world.refuse_rows("calendars", "NEW.is_primary");
    world.age_full_passes("calendar_list", "31 days");
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1);
    assert_eq!(world.rows("streams WHERE kind = 'events' AND state = 'active'"), 1);
}

#[test]
fn an_item_whose_id_is_too_long_for_an_index_is_quarantined_like_any_other() {
    let id: String = (0..300).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    let today = Utc::now().date_naive();
    let event = json!({ "id": id, "etag": "\"1\"", "start": { "date": today }, "end": { "date": today + TimeDelta::days(1) } });
    let world = world_with(&[&event.to_string()]);
    let report = world.sync_all().expect(0).json();
    assert_eq!(report["quarantined"], 1, "{report}");
    assert_eq!(world.events(), 25);
    world.syncctl(&["items", "retry"]).expect(1);
    assert_eq!(world.rows("quarantined_items WHERE attempts = 2"), 1);
}
