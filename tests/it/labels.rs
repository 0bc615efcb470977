//! Labels by name: `gmail_labels` and its views against what the simulator knows, and what the lists cost.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::GMAIL;
use crate::support::sim::field;

/// A mailbox without messages, and its user.
pub fn mailbox() -> (World, String) {
    let world = World::of(&GMAIL, 1, 0);
    let user = world.sim.users().into_iter().next().expect("a user");
    (world, user)
}

impl World {
    /// Delivers a message with these labels, by name; returns its id.
    pub fn deliver(&self, user: &str, subject: &str, labels: &[&str]) -> String {
        let raw = format!("From: Bob <bob@example.org>\r\nTo: {user}\r\nSubject: {subject}\r\n\r\nHello\r\n");
        field(&self.sim.admin("mail/messages", json!({ "user": user, "raw": raw, "labels": labels })), "id")
    }

    /// Creates or changes a label; returns its id.
    pub fn label(&self, user: &str, mut label: Value) -> String {
        label["user"] = json!(user);
        field(&self.sim.admin("mail/label", label), "id")
    }

    pub fn delete_label(&self, user: &str, id: &str, silent: bool) {
        let request = ureq::delete(format!("{}/admin/mail/label", self.sim.url)).header("content-type", "application/json");
        let body = json!({ "user": user, "id": id, "silent": silent }).to_string();
        request.force_send_body().send(body).expect("deleting a label");
    }

    /// As a day later.
    pub fn labels_are_due(&self) {
        self.execute("UPDATE streams SET cursor = (cursor::jsonb || '{\"labels_due\": 0}')::text WHERE kind = 'mailbox'");
    }

    /// How often a method was called since the ledger was reset.
    fn calls(&self, method: &str) -> u64 {
        self.sim.ledger()["by_method"][method].as_u64().unwrap_or(0)
    }
}

/// Asserts that the names, kinds, colours and visibilities of labels are those at Google, and that the views show the messages that Google lists with each
/// label, and its threads.
#[track_caller]
fn assert_labels_in_step(world: &World) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = world.sim.lines("mail/labels", |label| {
        let details = ["type", "labelListVisibility", "messageListVisibility"].map(|name| text(&label[name]));
        let colors = ["textColor", "backgroundColor"].map(|name| text(&label["color"][name]));
        ((text(&label["user"]), text(&label["id"]), text(&label["name"])), [&details[..], &colors[..]].concat().join(" "))
    });
    let stored = world.collect(
        "SELECT u.email, l.label_id, l.name, concat_ws(' ', l.kind, coalesce(l.label_list_visibility, ''), coalesce(l.message_list_visibility, ''),
           coalesce(l.text_color, ''), coalesce(l.background_color, ''))
         FROM gmail_labels l JOIN users u ON u.id = l.user_id WHERE l.deleted_at IS NULL",
    );
    assert_eq!(stored, shown);
    let labels: BTreeMap<_, _> = shown.into_keys().map(|(user, id, name)| ((user, id), name)).collect();
    let (mut by_label, mut threads) = (Vec::new(), BTreeMap::<_, (Value, i64, i64)>::new());
    for line in world.sim.text("mail/state").lines() {
        let message: Value = serde_json::from_str(line).expect("a JSON line");
        let (user, ids) = (text(&message["user"]), message["labels"].as_array().expect("labels"));
        for id in ids {
            by_label.push(format!("{user} {} {}", labels[&(user.clone(), text(id))], text(&message["id"])));
        }
        let thread = threads.entry((user, text(&message["thread"]))).or_default();
        if thread.0.as_i64() < message["internal_date"].as_i64() {
            thread.0 = message["internal_date"].clone();
        }
        thread.1 += 1;
        thread.2 += i64::from(ids.contains(&json!("UNREAD")));
    }
    by_label.sort_unstable();
    let mut viewed = world.texts("SELECT email || ' ' || label || ' ' || message_id FROM gmail_messages_by_label");
    viewed.sort_unstable();
    assert_eq!(viewed, by_label);
    let viewed =
        world.query("SELECT email, thread_id, (extract(epoch FROM last_at) * 1000)::bigint, messages, unread FROM gmail_threads");
    let viewed: BTreeMap<(String, String), _> =
        viewed.iter().map(|row| ((row.get(0), row.get(1)), (json!(row.get::<_, i64>(2)), row.get(3), row.get(4)))).collect();
    assert_eq!(viewed, threads);
}

#[test]
fn labels_and_views_are_as_at_google_also_after_renaming_and_nesting() {
    let world = World::of(&GMAIL, 2, 20);
    let user = world.sim.users().into_iter().next().expect("a user");
    let color = json!({ "text_color": "#ffffff", "background_color": "#16a766" });
    let parent = world.label(&user, json!({ "name": "Clients", "color": color }));
    let child = world.label(&user, json!({ "name": "Clients/Acme & Søn", "label_list_visibility": "labelHide" }));
    world.label(&user, json!({ "name": "Empty" }));
    world.deliver(&user, "one", &["INBOX", "UNREAD", "Clients"]);
    world.deliver(&user, "two", &["Clients/Acme & Søn", "Invoices"]);
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
    let subjects = "SELECT string_agg(subject, ' ') FROM gmail_messages_by_label WHERE label = 'Invoices'";
    assert_eq!(world.text(subjects), "two");
    // Google's history does not report names.
    world.label(&user, json!({ "id": parent, "name": "Customers" }));
    world.label(
        &user,
        json!({ "id": child, "name": "Customers/Acme", "color": { "text_color": "#000000", "background_color": "#fb4c2f" } }),
    );
    world.labels_are_due();
    let before = world.texts("SELECT md5(string_agg(m::text, '' ORDER BY message_id)) FROM gmail_messages m");
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
    let after = world.texts("SELECT md5(string_agg(m::text, '' ORDER BY message_id)) FROM gmail_messages m");
    assert_eq!(before, after, "a name changes no message");
}

#[test]
fn labels_are_listed_after_a_full_pass_and_once_a_day_and_not_with_each_poll() {
    let (world, user) = mailbox();
    world.deliver(&user, "one", &["Mine"]);
    let run = world.sync_all().expect(0).json();
    // The profile, the list of messages, one message, the list of labels, and the colour of one.
    assert_eq!(run["quota_units"], 1 + 5 + 20 + 1 + 1, "{run}");
    world.sim.reset_ledger();
    let run = world.sync_all().expect(0).json();
    assert_eq!((&run["idle_streams"], world.sim.ledger()["total"].as_u64()), (&json!(1), Some(1)), "{run}");
    world.labels_are_due();
    world.sim.reset_ledger();
    let run = world.sync_all().expect(0).json();
    assert_eq!(world.sim.ledger()["by_method"], json!({ "history.list": 1, "labels.list": 1, "labels.get": 1 }));
    assert_eq!(run["quota_units"], 4, "{run}");
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "history.list": 1 }));
}

#[test]
fn a_label_that_is_not_known_is_listed_at_once_and_only_once() {
    let (world, user) = mailbox();
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    let id = world.deliver(&user, "one", &["INBOX", "New"]);
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
    assert_eq!((world.calls("labels.list"), world.calls("messages.get")), (1, 1));
    // A label that an old message gets. Known ones, and Gmail's own, cost nothing.
    world.sim.admin("mail/labels", json!({ "user": user, "id": id, "add": ["Newer", "STARRED"] }));
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world.sim.admin("mail/labels", json!({ "user": user, "id": id, "add": ["IMPORTANT"], "remove": ["New"] }));
    world.deliver(&user, "two", &["Newer"]);
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
    assert_eq!(world.calls("labels.list"), 2);
}

#[test]
fn new_labels_on_an_earlier_page_of_a_poll_are_listed_at_its_end() {
    let (mut world, user) = mailbox();
    world.set("SYNCCTL_GMAIL_PAGE_SIZE", "2");
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    world.deliver(&user, "one", &["First"]);
    (0..4).for_each(|_| drop(world.deliver(&user, "more", &["INBOX"])));
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
    assert_eq!(world.calls("labels.list"), 1);
}

#[test]
fn a_deleted_label_leaves_messages_and_views_with_or_without_history() {
    for silent in [false, true] {
        let (world, user) = mailbox();
        let gone = world.label(&user, json!({ "name": "Gone" }));
        world.deliver(&user, "one", &["INBOX", "Gone"]);
        world.sync_all().expect(0);
        world.delete_label(&user, &gone, silent);
        world.labels_are_due();
        world.sync_all().expect(0);
        assert_labels_in_step(&world);
        world.assert_in_step();
        assert_eq!(world.rows("gmail_labels WHERE deleted_at IS NOT NULL AND name = 'Gone'"), 1, "a tombstone");
        // The same name is another label.
        world.deliver(&user, "two", &["Gone"]);
        world.sync_all().expect(0);
        world.sync_all().expect(0);
        assert_labels_in_step(&world);
    }
}

#[test]
fn labels_that_cannot_be_listed_hold_up_no_mail_and_are_tried_again_in_an_hour() {
    let (world, user) = mailbox();
    world.deliver(&user, "one", &["Mine"]);
    // A list that is cut short must not delete labels.
    for fault in [json!({ "fault": "server_500" }), json!({ "fault": "answer", "status": 200, "body": { "labels": [] } })] {
        let mut fault = fault;
        fault["method"] = json!("labels.list");
        world.sim.fault(fault);
        world.labels_are_due();
        let run = world.sync_all().expect(0).json();
        assert_eq!(run["failed_streams"], 0, "{run}");
        assert_eq!((world.messages(), world.rows("gmail_labels WHERE kind = 'user' AND deleted_at IS NULL")), (1, 1));
        world.sim.reset_ledger();
        world.sync_all().expect(0);
        assert_eq!(world.calls("labels.list"), 0, "not with the next poll");
        let minutes = "SELECT round(((cursor::jsonb ->> 'labels_due')::float8 - extract(epoch FROM now())) / 60)::bigint FROM streams WHERE kind = 'mailbox'";
        assert!((55..=60).contains(&world.count(minutes)), "{} minutes", world.count(minutes));
        world.sim.clear_faults();
    }
    world.labels_are_due();
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
}

#[test]
fn colors_that_cannot_be_read_stay_as_they_were() {
    let (world, user) = mailbox();
    let color = json!({ "text_color": "#ffffff", "background_color": "#16a766" });
    let id = world.label(&user, json!({ "name": "Old", "color": color }));
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
    world.label(&user, json!({ "id": id, "name": "New" }));
    world.sim.fault(json!({ "fault": "server_500", "method": "labels.get" }));
    world.labels_are_due();
    world.sync_all().expect(0);
    assert_labels_in_step(&world);
}

#[test]
fn a_cursor_of_an_earlier_version_goes_on_and_lists_the_labels() {
    let (world, user) = mailbox();
    world.sync_all().expect(0);
    world.execute("UPDATE streams SET cursor = cursor::jsonb ->> 'history_id' WHERE kind = 'mailbox'; DELETE FROM gmail_labels");
    world.deliver(&user, "one", &["Mine"]);
    world.sim.reset_ledger();
    let run = world.sync_all().expect(0).json();
    assert_eq!((&run["resyncs"], world.calls("messages.list")), (&json!(0), 0), "{run}");
    assert_labels_in_step(&world);
    world.assert_in_step();
}

#[test]
fn a_killed_run_loses_no_label() {
    let (mut world, user) = mailbox();
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    world.sync_all().expect(0);
    for method in ["history.list", "messages.get", "labels.list", "labels.get"] {
        world.deliver(&user, "one", &[method]);
        world.labels_are_due();
        world.sim.fault(json!({ "fault": "stall_answer", "method": method, "times": 1 }));
        let mut child = world.spawn(&["gmail", "cron", "--force"]);
        world.wait_for_stall();
        child.kill().expect("killing the run");
        child.wait().expect("the run ends");
        world.sim.admin("release", json!({}));
        world.sim.clear_faults();
        world.wait_until_leases_lapse();
        world.sync_all().expect(0);
        world.sync_all().expect(0);
        assert_labels_in_step(&world);
        world.assert_in_step();
    }
}
