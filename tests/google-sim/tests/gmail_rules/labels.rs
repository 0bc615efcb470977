//! `labels.list` and `labels.get`, and what a change of a label does to messages and history.

use serde_json::{Value, json};

use super::{Gmail, USER};

impl Gmail {
    fn label(&self, label: Value) -> String {
        let mut label = label;
        label["user"] = json!(USER);
        self.admin("mail/label", label)["id"].as_str().expect("an id").to_owned()
    }

    fn delete_label(&self, id: &str, silent: bool) {
        let body = json!({ "user": USER, "id": id, "silent": silent }).to_string();
        let request = self.agent.delete(format!("{}/admin/mail/label", self.url)).header("content-type", "application/json");
        assert_eq!(request.force_send_body().send(body).expect("an answer").status().as_u16(), 200);
    }

    /// The user's own labels, as listed.
    fn own(&self) -> Vec<Value> {
        let labels = self.ok("me/labels")["labels"].as_array().expect("labels").clone();
        labels.into_iter().filter(|label| label["type"] == "user").collect()
    }
}

#[test]
fn colors_and_counts_come_with_a_label_and_not_with_the_list() {
    let gmail = Gmail::start();
    let color = json!({ "text_color": "#ffffff", "background_color": "#16a766" });
    let id = gmail.label(json!({ "name": "Money/Invoices", "color": color, "label_list_visibility": "labelHide" }));
    let listed = json!({ "id": id, "name": "Money/Invoices", "type": "user", "messageListVisibility": "show", "labelListVisibility": "labelHide" });
    assert_eq!(gmail.own(), std::slice::from_ref(&listed));
    gmail.put(json!({ "raw": "Subject: s\r\n\r\nx", "labels": ["Money/Invoices", "UNREAD"] }));
    gmail.put(json!({ "raw": "Subject: t\r\n\r\nx", "labels": ["Money/Invoices"] }));
    let mut whole = listed;
    whole["color"] = json!({ "textColor": "#ffffff", "backgroundColor": "#16a766" });
    for (name, count) in [("messagesTotal", 2), ("messagesUnread", 1), ("threadsTotal", 2), ("threadsUnread", 1)] {
        whole[name] = json!(count);
    }
    assert_eq!(gmail.ok(&format!("me/labels/{id}")), whole);
    let inbox = gmail.ok("me/labels/INBOX");
    assert_eq!((&inbox["type"], &inbox["name"], &inbox["messagesTotal"]), (&json!("system"), &json!("INBOX"), &json!(0)));
    assert_eq!(gmail.get("me/labels/Label_99").0, 404);
}

#[test]
fn history_says_nothing_of_labels_that_are_made_or_renamed() {
    let gmail = Gmail::start();
    let before = gmail.now();
    let id = gmail.label(json!({ "name": "Old" }));
    let message = gmail.put(json!({ "raw": "Subject: s\r\n\r\nx", "labels": ["Old"] }));
    let delivered = gmail.now();
    assert_eq!(gmail.label(json!({ "id": id, "name": "New" })), id);
    assert_eq!(gmail.now(), delivered, "no history");
    assert_eq!(gmail.pages(&format!("me/history?startHistoryId={before}"), "history").len(), 1, "the message alone");
    assert_eq!(gmail.own()[0]["name"], "New");
    assert_eq!(gmail.ok(&format!("me/messages/{message}?format=minimal"))["labelIds"], json!([id]));
}

#[test]
fn a_deleted_label_leaves_its_messages_with_or_without_history_and_its_id_is_not_used_again() {
    for silent in [false, true] {
        let gmail = Gmail::start();
        let id = gmail.label(json!({ "name": "Gone" }));
        let message = gmail.put(json!({ "raw": "Subject: s\r\n\r\nx", "labels": ["INBOX", "Gone"] }));
        let before = gmail.now();
        gmail.delete_label(&id, silent);
        let records = gmail.pages(&format!("me/history?startHistoryId={before}"), "history");
        assert_eq!(records.len(), usize::from(!silent), "{records:?}");
        assert_eq!(gmail.ok(&format!("me/messages/{message}?format=minimal"))["labelIds"], json!(["INBOX"]));
        assert_eq!((gmail.own(), gmail.get(&format!("me/labels/{id}")).0), (Vec::new(), 404));
        assert_eq!(gmail.get(&format!("me/messages?labelIds={id}")).0, 400);
        assert_ne!(gmail.label(json!({ "name": "Gone" })), id);
    }
}
