//! The simulator's own rules of Gmail, over HTTP: what Google refuses it refuses, and what Google gives it gives.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL};
use google_sim::Sim;
use serde_json::{Value, json};

const USER: &str = "ann@example.com";

/// A running simulator with one user and a token for her.
struct Gmail {
    url: String,
    token: String,
    agent: ureq::Agent,
    _runtime: tokio::runtime::Runtime,
}

impl Gmail {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(Sim::start()).expect("a simulator").url.clone();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut gmail = Self { url, token: String::new(), agent, _runtime: runtime };
        gmail.admin("users", json!({ "email": USER }));
        gmail.grant();
        gmail
    }

    /// Gets a new token.
    fn grant(&mut self) {
        let accounts = self.text("/admin/accounts");
        let account: Value = serde_json::from_str(accounts.trim()).expect("an account");
        let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", field("client_id")),
            ("client_secret", field("client_secret")),
            ("refresh_token", field("refresh_token")),
        ];
        let mut answer = self.agent.post(field("token_uri")).send_form(form).expect("a token");
        let granted: Value = answer.body_mut().read_json().expect("a token");
        self.token = granted["access_token"].as_str().expect("a token").to_owned();
    }

    fn admin(&self, path: &str, body: Value) -> Value {
        let mut answer = self.agent.post(format!("{}/admin/{path}", self.url)).send_json(&body).expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        assert_eq!(answer.status().as_u16(), 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn text(&self, path: &str) -> String {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call().expect("an answer");
        answer.body_mut().read_to_string().expect("text")
    }

    /// Delivers a message; answers its id.
    fn deliver(&self, subject: &str) -> String {
        self.put(json!({ "raw": format!("From: bob@example.org\r\nTo: {USER}\r\nSubject: {subject}\r\n\r\nHello\r\n") }))
    }

    fn put(&self, mut message: Value) -> String {
        message["user"] = json!(USER);
        self.admin("mail/messages", message)["id"].as_str().expect("an id").to_owned()
    }

    fn delete(&self, id: &str) {
        let body = json!({ "user": USER, "id": id }).to_string();
        let request = self.agent.delete(format!("{}/admin/mail/messages", self.url)).header("content-type", "application/json");
        assert_eq!(request.force_send_body().send(body).expect("an answer").status().as_u16(), 200);
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let request = self.agent.get(format!("{}/gmail/v1/users/{path}", self.url));
        let mut answer = request.header("authorization", format!("Bearer {}", self.token)).call().expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn reason(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get(path);
        (status, body["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// The newest history id.
    fn now(&self) -> String {
        self.ok("me/profile")["historyId"].as_str().expect("a history id").to_owned()
    }

    /// The list under `name` of all pages.
    fn pages(&self, path: &str, name: &str) -> Vec<Value> {
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.ok(&format!("{path}{token}"));
            items.extend(page[name].as_array().into_iter().flatten().cloned());
            match page["nextPageToken"].as_str() {
                Some(next) => token = format!("&pageToken={next}"),
                None => return items,
            }
        }
    }

    fn listed(&self, query: &str) -> Vec<String> {
        ids(&self.pages(&format!("me/messages?{query}"), "messages"))
    }
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_mailbox_is_its_owners_alone_and_needs_its_scope() {
    let mut gmail = Gmail::start();
    assert_eq!(gmail.ok(&format!("{USER}/profile"))["emailAddress"], USER);
    assert_eq!(gmail.reason("bob@example.com/profile"), (403, "forbidden".into()));
    gmail.admin("scopes", json!({ "user": USER, "scopes": ["https://www.googleapis.com/auth/calendar.readonly"] }));
    gmail.grant();
    assert_eq!(gmail.reason("me/profile"), (403, "insufficientPermissions".into()));
}

#[test]
fn history_names_each_change_once_with_ids_that_rise_in_steps_of_more_than_one() {
    let gmail = Gmail::start();
    let start = gmail.now();
    let quiet = gmail.ok(&format!("me/history?startHistoryId={start}"));
    assert_eq!(quiet, json!({ "historyId": start }), "nothing happened");
    let first = gmail.deliver("one");
    let second = gmail.deliver("two");
    gmail.admin("mail/labels", json!({ "user": USER, "id": first, "add": ["STARRED"], "remove": ["UNREAD"] }));
    gmail.admin("mail/labels", json!({ "user": USER, "id": first, "add": ["STARRED"] }));
    gmail.delete(&second);
    let records = gmail.pages(&format!("me/history?maxResults=2&startHistoryId={start}"), "history");
    let shown: Vec<Value> = records
        .iter()
        .map(|record| {
            let mut record = record.clone();
            let object = record.as_object_mut().expect("a record");
            object.remove("id");
            object.remove("messages");
            record
        })
        .collect();
    let message = |id: &str, labels: &[&str]| json!({ "id": id, "threadId": id, "labelIds": labels });
    assert_eq!(
        shown,
        [
            json!({ "messagesAdded": [{ "message": message(&first, &["INBOX", "UNREAD"]) }] }),
            json!({ "messagesAdded": [{ "message": message(&second, &["INBOX", "UNREAD"]) }] }),
            json!({ "labelsAdded": [{ "message": message(&first, &["INBOX", "UNREAD", "STARRED"]), "labelIds": ["STARRED"] }] }),
            json!({ "labelsRemoved": [{ "message": message(&first, &["INBOX", "STARRED"]), "labelIds": ["UNREAD"] }] }),
            json!({ "messagesDeleted": [{ "message": message(&second, &["INBOX", "UNREAD"]) }] }),
        ]
    );
    let numbers: Vec<u64> = ids(&records).iter().map(|id| id.parse().expect("a number")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert!(numbers.windows(2).any(|pair| pair[1] - pair[0] > 1), "{numbers:?}");
    assert_eq!(gmail.now(), numbers[4].to_string());
    assert_eq!(gmail.ok(&format!("me/messages/{first}?format=minimal"))["historyId"], numbers[3].to_string());
    let deleted = gmail.pages(&format!("me/history?startHistoryId={start}&historyTypes=messageDeleted"), "history");
    assert_eq!(ids(&deleted), [numbers[4].to_string()]);
    let starred = gmail.pages(&format!("me/history?startHistoryId={start}&labelId=STARRED"), "history");
    assert_eq!(ids(&starred), [numbers[2].to_string(), numbers[3].to_string()]);
}

#[test]
fn history_that_is_forgotten_or_never_was_is_not_found() {
    let gmail = Gmail::start();
    gmail.deliver("one");
    let start = gmail.now();
    gmail.deliver("two");
    let page = gmail.ok(&format!("me/history?startHistoryId={start}"));
    assert_eq!(page["history"].as_array().map(Vec::len), Some(1));
    gmail.admin("faults", json!({ "fault": "cursor_expired", "method": "history.list", "times": 1 }));
    assert_eq!(gmail.reason(&format!("me/history?startHistoryId={start}")), (404, "notFound".into()), "the fault");
    assert_eq!(gmail.get(&format!("me/history?startHistoryId={start}")).0, 200, "once");
    let newest = gmail.now();
    gmail.admin("expire", json!({ "what": "history" }));
    for old in [&start, &newest] {
        assert_eq!(gmail.reason(&format!("me/history?startHistoryId={old}")), (404, "notFound".into()));
    }
    assert_eq!(gmail.get(&format!("me/history?startHistoryId={}", gmail.now())).0, 200);
    assert_eq!(gmail.get("me/history?startHistoryId=99999999999999999").0, 404, "of the future");
    for malformed in ["me/history", "me/history?startHistoryId=abc", "me/history?startHistoryId=-1"] {
        assert_eq!(gmail.get(malformed).0, 400, "{malformed}");
    }
}

#[test]
fn a_page_token_belongs_to_its_start() {
    let gmail = Gmail::start();
    let start = gmail.now();
    gmail.deliver("one");
    let other = gmail.now();
    gmail.deliver("two");
    gmail.deliver("three");
    let page = gmail.ok(&format!("me/history?startHistoryId={start}&maxResults=2"));
    let token = page["nextPageToken"].as_str().expect("more");
    assert_eq!(page["historyId"], gmail.now(), "the newest id on every page");
    assert_eq!(gmail.get(&format!("me/history?startHistoryId={other}&pageToken={token}")).0, 400);
    let last = gmail.ok(&format!("me/history?startHistoryId={start}&pageToken={token}"));
    assert_eq!((last["history"].as_array().map(Vec::len), last.get("nextPageToken")), (Some(1), None));
}

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

    let whole = gmail.ok(&path("?format=raw"));
    assert_eq!(BASE64URL.decode(whole["raw"].as_str().expect("raw").as_bytes()).expect("base64url"), raw.as_bytes());
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
    let whole = gmail.ok(&format!("me/messages/{id}?format=raw"));
    assert_eq!(BASE64URL.decode(whole["raw"].as_str().expect("raw").as_bytes()).expect("base64url"), raw);
    let headers = &gmail.ok(&format!("me/messages/{id}?format=metadata"))["payload"]["headers"];
    assert_eq!(*headers, json!([{ "name": "Subject", "value": "caf\u{FFFD}" }, { "name": "X-Last", "value": "1" }]));
    let empty = gmail.put(json!({ "raw": "" }));
    assert_eq!(gmail.ok(&format!("me/messages/{empty}"))["payload"]["headers"], json!([]), "nothing at all");
}

#[test]
fn a_first_page_may_be_empty_and_carry_a_token() {
    let gmail = Gmail::start();
    let start = gmail.now();
    let id = gmail.deliver("one");
    gmail.admin("empty_pages", json!({ "probability": 1.0 }));
    let history = format!("me/history?startHistoryId={start}");
    assert_eq!((gmail.ok(&history).get("history"), gmail.pages(&history, "history").len()), (None, 1));
    assert_eq!((gmail.ok("me/messages?x=1").get("messages"), gmail.listed("x=1")), (None, vec![id]));
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
fn a_batch_holds_a_hundred_calls_of_which_one_may_fail_alone() {
    let gmail = Gmail::start();
    let id = gmail.deliver("one");
    let post = |calls: usize| {
        let call = format!(
            "--x\r\nContent-Type: application/http\r\n\r\nGET /gmail/v1/users/me/messages/{id}?format=minimal HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n\r\n",
            gmail.token
        );
        let request =
            gmail.agent.post(format!("{}/batch/gmail/v1", gmail.url)).header("content-type", "multipart/mixed; boundary=x");
        let mut answer = request.send(format!("{}--x--", call.repeat(calls))).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
    };
    gmail.admin("faults", json!({ "fault": "rate_limit_429", "method": "messages.get", "at_call": 2 }));
    let (status, text) = post(3);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("HTTP/1.1")).collect();
    assert_eq!((status, lines), (200, vec!["HTTP/1.1 200 OK", "HTTP/1.1 429 Too Many Requests", "HTTP/1.1 200 OK"]));
    assert_eq!(post(100).0, 200);
    assert_eq!(post(101).0, 400);
    let ledger: Value = serde_json::from_str(&gmail.text("/admin/ledger")).expect("a ledger");
    assert_eq!((&ledger["by_method"]["messages.get"], &ledger["quota_units"]), (&json!(103), &json!(103 * 20)));
    assert_eq!(ledger["by_stream"][format!("{USER}/mail")], 103);
}

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

/// A folder that is gone with the test.
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
