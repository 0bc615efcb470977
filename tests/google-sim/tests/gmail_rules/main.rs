//! The simulator's rules for Gmail, over HTTP: it refuses and returns what Google does.

mod concurrency;
mod fill;
mod history;
mod labels;
mod messages;
mod pace;

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

    /// Delivers a message; returns its id.
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
                // A page that leads back to itself must not hang the test.
                Some(next) if token.ends_with(next) || items.len() > 10_000 => panic!("{path}: no end after {token}"),
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
fn a_batch_holds_a_hundred_calls_of_which_one_may_fail_alone() {
    let gmail = Gmail::start();
    gmail.admin("concurrency", json!({ "per_user": 0, "rest_s": 0 }));
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
