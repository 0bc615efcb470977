//! `messages.list` and `messages.get`.

use data_encoding::{BASE64, BASE64URL};
use serde_json::{Value, json};

use super::{Gmail, USER, ids};

#[test]
fn mail_that_comes_while_a_client_pages_shifts_no_page() {
    let gmail = Gmail::start();
    let mut made: Vec<String> = (0..5).map(|number| gmail.deliver(&number.to_string())).collect();
    made.reverse();
    let first = gmail.ok("me/messages?maxResults=2");
    let token = first["nextPageToken"].as_str().expect("more");
    gmail.deliver("late");
    let rest = gmail.listed(&format!("maxResults=500&pageToken={token}"));
    assert_eq!([ids(first["messages"].as_array().expect("messages")), rest].concat(), made);
}

#[test]
fn spam_and_trash_are_left_out_unless_asked_for() {
    let gmail = Gmail::start();
    let raw = "Subject: x\r\n\r\nx";
    let inbox = gmail.put(json!({ "raw": raw, "labels": ["INBOX"] }));
    let spam = gmail.put(json!({ "raw": raw, "labels": ["SPAM"] }));
    let project = gmail.put(json!({ "raw": raw, "labels": ["Project", "TRASH"] }));
    assert_eq!(gmail.listed("x=1"), [&*inbox]);
    assert_eq!(gmail.listed("includeSpamTrash=true"), [&*project, &*spam, &*inbox]);
    assert_eq!(gmail.listed("labelIds=SPAM"), [&*spam]);
    assert_eq!(gmail.listed("includeSpamTrash=true&labelIds=TRASH&labelIds=Label_1"), [&*project]);
    assert_eq!(gmail.get("me/messages?labelIds=Project").0, 400, "a name is no id");
    let labels = gmail.ok("me/labels");
    let own = labels["labels"].as_array().expect("labels").iter().find(|label| label["type"] == "user").expect("an own one");
    assert_eq!((&own["id"], &own["name"]), (&json!("Label_1"), &json!("Project")));
}

#[test]
fn words_of_time_make_a_window_and_others_are_refused() {
    let gmail = Gmail::start();
    let at = |day: &str| gmail.put(json!({ "raw": "Subject: x\r\n\r\nx", "internal_date": format!("{day}T12:00:00Z") }));
    let (old, young) = (at("2026-03-01"), at("2026-03-05"));
    assert_eq!(gmail.listed("q=after:2026/03/03"), [&*young]);
    assert_eq!(gmail.listed("q=before:2026/03/03"), [&*old]);
    assert_eq!(gmail.listed("q=after:1772323200%20before:1772409600"), [&*old], "seconds of 2026-03-01 and 02");
    assert_eq!(gmail.listed("q=after:1772366401"), [&*young], "a second after noon");
    let new = gmail.deliver("new");
    assert_eq!(gmail.listed("q=newer_than:2d"), [&*new]);
    assert_eq!(gmail.get("me/messages?q=from:bob").0, 400);
    assert_eq!(gmail.get("me/messages?q=after:yesterday").0, 400);
    assert_eq!(gmail.ok("me/messages?q=before:2020/01/01"), json!({ "resultSizeEstimate": 0 }), "no list at all");
}

#[test]
fn formats_show_as_much_as_they_should() {
    let gmail = Gmail::start();
    let raw = "X-First: 1\r\nsubject: =?UTF-8?Q?Gr=C3=BC?=\r\n =?UTF-8?Q?=C3=9Fe?=\r\nTo: a@example.com,\r\n\tb@example.com\r\nTo: c@example.com\r\n\
        Date: Mon, 2 Mar 2026 10:00:00 +0100\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
        Content-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe & <so>\r\n--i\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--i--\r\n\r\n--o\r\n\
        Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--o--\r\n";
    let id = gmail.put(json!({ "raw": raw, "labels": [] }));
    let path = |rest: &str| format!("me/messages/{id}{rest}");

    let minimal = gmail.ok(&path("?format=minimal"));
    let keys: Vec<&String> = minimal.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["id", "threadId", "snippet", "sizeEstimate", "historyId", "internalDate"], "no label, no key");
    assert_eq!(minimal["snippet"], "Grüße &amp; &lt;so&gt;");
    assert_eq!(minimal["internalDate"], "1772442000000");
    assert_eq!(minimal["sizeEstimate"], raw.len());

    let metadata = gmail.ok(&path("?format=metadata&metadataHeaders=Subject&metadataHeaders=To"));
    assert_eq!(
        metadata["payload"],
        json!({ "mimeType": "multipart/mixed", "headers": [
            { "name": "subject", "value": "=?UTF-8?Q?Gr=C3=BC?= =?UTF-8?Q?=C3=9Fe?=" },
            { "name": "To", "value": "a@example.com,\tb@example.com" },
            { "name": "To", "value": "c@example.com" }] })
    );
    let all = gmail.ok(&path("?format=metadata"));
    let names: Vec<&Value> =
        all["payload"]["headers"].as_array().expect("headers").iter().map(|header| &header["name"]).collect();
    assert_eq!(names, ["X-First", "subject", "To", "To", "Date", "Content-Type"]);

    let full = gmail.ok(&path(""));
    let parts = &full["payload"]["parts"];
    assert_eq!((&parts[0]["mimeType"], &parts[0]["parts"][1]["partId"]), (&json!("multipart/alternative"), &json!("0.1")));
    let text = parts[0]["parts"][0]["body"]["data"].as_str().expect("data");
    assert_eq!(
        String::from_utf8(BASE64URL.decode(text.as_bytes()).expect("base64url")).expect("UTF-8").trim_end(),
        "Grüße & <so>"
    );
    let file = &parts[1];
    assert_eq!((&file["filename"], &file["body"]["size"], file["body"].get("data")), (&json!("a.pdf"), &json!(4), None));
    assert!(file["body"]["attachmentId"].is_string(), "{file}");

    let raw_message = gmail.ok(&path("?format=raw"));
    assert_eq!(BASE64URL.decode(raw_message["raw"].as_str().expect("raw").as_bytes()).expect("base64url"), raw.as_bytes());
    assert_eq!(gmail.ok(&path("?fields=id,payload/mimeType")), json!({ "id": id, "payload": { "mimeType": "multipart/mixed" } }));
    assert_eq!(gmail.get(&path("?format=other")).0, 400);
    gmail.delete(&id);
    assert_eq!(gmail.reason(&path("")), (404, "notFound".into()));
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_are() {
    let gmail = Gmail::start();
    let raw = b"Subject: caf\xE9\r\nBare line\r\nX-Last: 1\r\n\r\n\xFF\x00";
    let id = gmail.put(json!({ "raw_base64": BASE64.encode(raw) }));
    let raw_message = gmail.ok(&format!("me/messages/{id}?format=raw"));
    assert_eq!(BASE64URL.decode(raw_message["raw"].as_str().expect("raw").as_bytes()).expect("base64url"), raw);
    let headers = &gmail.ok(&format!("me/messages/{id}?format=metadata"))["payload"]["headers"];
    assert_eq!(*headers, json!([{ "name": "Subject", "value": "caf\u{FFFD}" }, { "name": "X-Last", "value": "1" }]));
    let empty = gmail.put(json!({ "raw": "" }));
    assert_eq!(gmail.ok(&format!("me/messages/{empty}"))["payload"]["headers"], json!([]), "nothing at all");
}

#[test]
fn an_answer_joins_the_thread_of_its_question() {
    let gmail = Gmail::start();
    let question = gmail.put(json!({ "raw": "Message-ID: <q@x>\r\nSubject: q\r\n\r\nq" }));
    let answer = gmail.put(json!({ "raw": "Message-ID: <a@x>\r\nIn-Reply-To: <q@x>\r\nSubject: Re: q\r\n\r\na" }));
    assert_eq!(gmail.ok(&format!("me/messages/{answer}?format=minimal"))["threadId"], question);
    let profile = gmail.ok("me/profile");
    assert_eq!((&profile["messagesTotal"], &profile["threadsTotal"]), (&json!(2), &json!(1)));
}

#[test]
fn attachments_are_listed_as_they_were_sent() {
    let gmail = Gmail::start();
    let sent = gmail.admin("mail/attachments", json!({ "user": USER, "large": 1_000_000 }));
    let mut expected: Vec<(Value, Value)> = Vec::new();
    for message in sent.as_array().expect("messages") {
        let id = message["id"].as_str().expect("an id");
        let full = gmail.ok(&format!("me/messages/{id}"));
        let attachments = message["attachments"].as_array().expect("attachments");
        assert_eq!(full["payload"]["parts"].as_array().map(Vec::len), Some(1 + attachments.len()), "{message}");
        let is_listed = |one: &&Value| {
            one["sha256"].is_string() && one["name"].is_string() && !one["mime_type"].to_string().contains("text/")
        };
        expected.extend(attachments.iter().filter(is_listed).map(|one| (json!(id), one["sha256"].clone())));
    }
    let lines = gmail.text("/admin/mail/attachments");
    let listed = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let listed: Vec<_> = listed.map(|line| (line["id"].clone(), line["sha256"].clone())).collect();
    assert_eq!(listed, expected);
    assert_eq!(listed.iter().filter(|(_, hash)| *hash == expected[0].1).count(), 3, "one content in three messages");
}
