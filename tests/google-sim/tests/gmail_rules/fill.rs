//! Mailboxes that are generated, loaded, and churned.

use std::collections::BTreeSet;

use data_encoding::BASE64URL;
use serde_json::{Value, json};

use super::{Gmail, USER};

#[test]
fn made_mail_is_the_same_for_the_same_seed_and_every_message_can_be_read() {
    let gmail = Gmail::start();
    gmail.admin("mail/generate", json!({ "messages": 600, "seed": 7, "days": 10 }));
    let listed = gmail.listed("includeSpamTrash=true");
    assert_eq!(listed.len(), 600);
    assert_eq!(gmail.listed("includeSpamTrash=true&q=newer_than:11d").len(), 600);
    let half = gmail.listed("includeSpamTrash=true&q=newer_than:5d").len();
    assert!((270..330).contains(&half), "{half} of 600 in half the time");
    assert!(gmail.listed("").len() < 600, "some is spam or trash");
    let (mut for_bot, mut undated, mut kinds) = (0, 0, BTreeSet::new());
    for id in &listed {
        let message = gmail.ok(&format!("me/messages/{id}"));
        let headers = message["payload"]["headers"].as_array().expect("headers");
        for_bot += usize::from(headers.iter().any(|header| header["value"].as_str().expect("a value").contains("ai+")));
        undated += usize::from(!headers.iter().any(|header| header["name"] == "Date"));
        kinds.insert(message["payload"]["mimeType"].as_str().expect("a type").to_owned());
    }
    assert!((10..60).contains(&for_bot), "{for_bot} of 600 for a virtual address");
    assert!((1..20).contains(&undated), "{undated} of 600 without a date");
    for kind in ["multipart/alternative", "multipart/mixed", "text/html", "text/plain", "multipart/report"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    let again = Gmail::start();
    again.admin("mail/generate", json!({ "messages": 600, "seed": 7, "days": 10 }));
    assert_eq!(again.listed("includeSpamTrash=true"), listed);
    let raw =
        |gmail: &Gmail, id: &str| gmail.ok(&format!("me/messages/{id}?format=metadata&metadataHeaders=From&fields=payload"));
    assert_eq!(raw(&again, &listed[5]), raw(&gmail, &listed[5]));
}

/// A folder that is deleted with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gsim-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_mbox_is_loaded_once_and_then_what_is_appended() {
    let (gmail, folder) = (Gmail::start(), Folder::new("mbox"));
    let start = gmail.now();
    let first = "From 1@xxx Mon Mar 02 10:00:00 +0000 2026\nX-GM-THRID: 1700000000000000001\nX-Gmail-Labels: Inbox,Opened,Starred,=?UTF-8?Q?Pr=C3=BCfen?=\n\
        Date: Mon, 2 Mar 2026 10:00:00 +0100\nSubject: one\n\n>From here\n\n\
        From 2@xxx Tue Mar 03 10:00:00 +0000 2026\nSubject: two\n\nFrom next week on\n";
    let path = folder.write("mail.mbox", first);
    let load = || gmail.admin("mail/load", json!({ "path": path, "user": USER }))["messages"].clone();
    assert_eq!((load(), load()), (json!(2), json!(0)));
    folder.write("mail.mbox", &format!("{first}\nFrom 3@xxx Wed Mar 04 10:00:00 +0000 2026\nSubject: three\n\nthree\n"));
    assert_eq!(load(), json!(1));
    let state: Vec<Value> = gmail
        .text(&format!("/admin/mail/state?user={USER}"))
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let shown: Vec<Value> = state.iter().map(|line| json!([line["labels"], line["internal_date"]])).collect();
    assert_eq!(
        shown,
        [
            json!([["INBOX", "Label_1", "STARRED"], 1_772_442_000_000_i64]),
            json!([["INBOX"], 1_772_532_000_000_i64]),
            json!([["INBOX"], 1_772_618_400_000_i64]),
        ]
    );
    assert_eq!(state[0]["thread"], format!("{:016x}", 1_700_000_000_000_000_001_u64));
    let raw = gmail.ok(&format!("me/messages/{}?format=raw", state[0]["id"].as_str().expect("an id")));
    let text = BASE64URL.decode(raw["raw"].as_str().expect("raw").as_bytes()).expect("base64url");
    assert!(text.ends_with(b"Subject: one\n\nFrom here\n"), "{}", String::from_utf8_lossy(&text));
    assert_eq!(gmail.pages(&format!("me/history?startHistoryId={start}"), "history").len(), 3, "it came as mail comes");
}

#[test]
fn a_maildir_gives_its_flags_as_labels_and_each_message_once() {
    let (gmail, folder) = (Gmail::start(), Folder::new("maildir"));
    folder.write("cur/1.a:2,FS", "Subject: seen\n\nx");
    folder.write("cur/2.b:2,", "Subject: unseen\n\nx");
    folder.write("new/3.c", "Subject: new\n\nx");
    let load = || gmail.admin("mail/load", json!({ "path": folder.0, "user": USER }))["messages"].clone();
    assert_eq!(load(), json!(3));
    std::fs::rename(folder.0.join("new/3.c"), folder.0.join("cur/3.c:2,S")).expect("seen");
    assert_eq!(load(), json!(0));
    let state = gmail.text("/admin/mail/state");
    let labels: Vec<Value> =
        state.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["labels"].clone()).collect();
    assert_eq!(labels, [json!(["INBOX", "STARRED"]), json!(["INBOX", "UNREAD"]), json!(["INBOX", "UNREAD"])]);
    let other = Folder::new("eml");
    other.write("a.eml", "Subject: a\r\n\r\nx");
    other.write("notes.txt", "no mail");
    assert_eq!(gmail.admin("mail/load", json!({ "path": other.0, "user": USER }))["messages"], 1);
}

#[test]
fn churn_is_in_the_history_to_the_last_change() {
    let gmail = Gmail::start();
    gmail.admin("mail/generate", json!({ "messages": 50 }));
    let start = gmail.now();
    let mut live: BTreeSet<String> = gmail.listed("includeSpamTrash=true").into_iter().collect();
    let changed = gmail.admin("mail/churn", json!({ "changes": 200, "seed": 4 }));
    assert_eq!(changed["counts"].as_object().map(|counts| counts.len()), Some(5), "{changed}");
    for record in gmail.pages(&format!("me/history?startHistoryId={start}&maxResults=7"), "history") {
        let id = record["messages"][0]["id"].as_str().expect("an id").to_owned();
        if record.get("messagesAdded").is_some() {
            assert!(live.insert(id), "added twice: {record}");
        } else {
            assert!(live.contains(&id), "of no live message: {record}");
            if record.get("messagesDeleted").is_some() {
                live.remove(&id);
            }
        }
    }
    assert_eq!(live, gmail.listed("includeSpamTrash=true").into_iter().collect());
}
