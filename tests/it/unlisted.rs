//! Labels that cannot be listed are reported, and deleted labels leave large mailboxes in chunks.

use serde_json::json;

use crate::labels::mailbox;
use crate::support::{World, prometheus};

impl World {
    /// From now on Google refuses to list labels.
    fn refuse_labels(&self) {
        let reason = json!([{ "domain": "global", "reason": "forbidden", "message": "Delegation denied" }]);
        let body = json!({ "error": { "code": 403, "message": "Delegation denied", "errors": reason } });
        self.sim.fault(json!({ "fault": "answer", "method": "labels.list", "status": 403, "body": body }));
    }

    /// As after this time.
    fn labels_fail_since(&self, interval: &str) {
        self.execute(&format!(
            "UPDATE gmail_mailboxes SET labels_failing_since = labels_failing_since - interval '{interval}',
               labels_listed_at = labels_listed_at - interval '{interval}'"
        ));
    }

    /// Lists the labels again, as an hour later.
    fn list_labels(&self) {
        self.labels_are_due();
        let run = self.sync_all().expect(0).json();
        assert_eq!(run["failed_streams"], 0, "{run}");
    }

    fn missing_in_mailboxes(&self) -> String {
        self.text("SELECT missing FROM sync_completeness WHERE kind = 'mailbox'")
    }
}

#[test]
fn a_mailbox_whose_labels_are_refused_is_reported_until_they_are_listed() {
    let (world, user) = mailbox();
    let id = world.deliver(&user, "one", &["Mine"]);
    world.sync_all().expect(0);
    let list = |code| world.syncctl(&["gmail", "list", &user, "--label", "mine", "--json"]).expect(code);
    let doctor = || world.syncctl(&["doctor", "--offline"]).stdout;
    let behind = || {
        let text = world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout;
        prometheus::read(&text).value("syncctl_streams_behind{part=\"labels\",service=\"gmail\"}")
    };
    assert!(list(0).json()["incomplete"].is_null() && doctor().contains("those of every mailbox can be listed"));

    world.refuse_labels();
    world.list_labels();
    let why = "labels.list: HTTP 403 forbidden: Delegation denied";
    let listed = list(1);
    assert!(
        listed.stderr.contains("names of labels may be missing or outdated: user ") && listed.stderr.contains(why),
        "{listed:?}"
    );
    assert_eq!(listed.json()["messages"][0]["message_id"], json!(id), "and it lists what is stored");
    let shown = world.syncctl(&["gmail", "show", &user, &id]).expect(1);
    assert!(shown.stderr.contains(why) && shown.stdout.contains("labels    Mine"), "{shown:?}");
    assert_eq!((world.missing_in_mailboxes().as_str(), behind()), ("labels", 0.0));
    assert!(doctor().contains("those of every mailbox can be listed"), "not for a day yet");

    world.labels_fail_since("25 hours");
    world.list_labels();
    let report = doctor();
    assert!(report.contains("1 mailboxes could not list their labels for more than a day") && report.contains(&user), "{report}");
    assert!(report.contains(why) && report.contains("they are listed again every hour"), "{report}");
    assert_eq!(behind(), 1.0);

    world.sim.clear_faults();
    world.list_labels();
    assert!(list(0).json()["incomplete"].is_null() && doctor().contains("those of every mailbox can be listed"));
    assert_eq!((world.missing_in_mailboxes().as_str(), behind()), ("", 0.0));
    assert_eq!(
        world.rows("gmail_mailboxes WHERE labels_listed_at > now() - interval '1 hour' AND labels_failed_message IS NULL"),
        1
    );
}

#[test]
fn colors_that_cannot_be_read_do_not_make_names_outdated() {
    let (world, user) = mailbox();
    world.label(&user, json!({ "name": "Mine" }));
    world.sync_all().expect(0);
    world.sim.fault(json!({ "fault": "server_500", "method": "labels.get" }));
    world.list_labels();
    world.syncctl(&["gmail", "list", &user]).expect(0);
    world.labels_fail_since("25 hours");
    world.list_labels();
    world.syncctl(&["gmail", "list", &user]).expect(0);
    let report = world.syncctl(&["doctor", "--offline"]).stdout;
    assert!(report.contains("more than a day") && report.contains("labels.get: HTTP 500"), "{report}");
    // Now the list fails, too.
    world.refuse_labels();
    world.list_labels();
    assert_eq!(world.missing_in_mailboxes(), "labels");
    let report = world.syncctl(&["doctor", "--offline"]).stdout;
    assert!(report.contains("those of every mailbox can be listed"), "since a moment ago: {report}");
}

#[test]
fn a_deleted_label_leaves_a_large_mailbox_in_chunks() {
    let (world, user) = mailbox();
    let gone = world.label(&user, json!({ "name": "Gone" }));
    world.label(&user, json!({ "name": "Kept" }));
    world.sync_all().expect(0);
    world.execute(&format!(
        "INSERT INTO gmail_messages (stream_id, message_id, user_id, thread_id, labels)
         SELECT id, to_char(n, 'FM00000000'), user_id, 'x', ARRAY['INBOX', '{gone}'] FROM streams, generate_series(1, 12000) AS n WHERE kind = 'mailbox'"
    ));
    let bearing = || world.rows(&format!("gmail_messages WHERE '{gone}' = ANY (labels)"));
    world.delete_label(&user, &gone, true);
    world.list_labels();
    // In the transaction of the page, a part of them. No view shows the label.
    assert_eq!((bearing(), world.text("SELECT removed_to FROM gmail_labels WHERE name = 'Gone'").as_str()), (7_000, "00005000"));
    assert_eq!(world.rows("gmail_messages_by_label WHERE label = 'Gone'"), 0);
    // Nothing is due: the run does the rest before it looks.
    world.syncctl(&["gmail", "cron"]).expect(0);
    assert_eq!((bearing(), world.rows("gmail_messages WHERE labels = '{INBOX}'")), (0, 12_000));
    assert_eq!(world.rows("gmail_labels WHERE removed_to IS NOT NULL"), 0);
    assert_eq!(world.rows("gmail_labels WHERE name = 'Gone' AND deleted_at IS NOT NULL"), 1);
}

#[test]
fn labels_that_are_being_removed_are_no_difference() {
    let (world, user) = mailbox();
    let gone = world.label(&user, json!({ "name": "Gone" }));
    world.deliver(&user, "one", &["INBOX", "Gone"]);
    world.sync_all().expect(0);
    world.delete_label(&user, &gone, true);
    world.list_labels();
    world.syncctl(&["verify", "gmail", "--all"]).expect(0);
    let bear = format!("UPDATE gmail_messages SET labels = labels || '{gone}'::text");
    world.execute(&bear);
    world.syncctl(&["verify", "gmail", "--all"]).expect(1);
    world.execute("UPDATE gmail_labels SET removed_to = '' WHERE name = 'Gone'");
    world.syncctl(&["verify", "gmail", "--all"]).expect(0);
    world.syncctl(&["gmail", "cron"]).expect(0);
    world.assert_in_step();
}
