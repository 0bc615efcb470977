//! A simulator with two users, and the calls of the tests.

use std::collections::BTreeMap;

use google_sim::Sim;
use serde_json::{Value, json};

pub const ANN: &str = "ann@example.com";
pub const BOB: &str = "bob@example.com";
pub const BOTH: &str = "supportsAllDrives=true&includeItemsFromAllDrives=true";

/// A running simulator with two users and their tokens.
pub struct Google {
    pub url: String,
    pub agent: ureq::Agent,
    pub tokens: BTreeMap<String, String>,
    _runtime: tokio::runtime::Runtime,
}

impl Google {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(Sim::start()).expect("a simulator").url.clone();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build().into();
        let mut google = Self { url, agent, tokens: BTreeMap::new(), _runtime: runtime };
        for user in [ANN, BOB] {
            let account = google.send("POST", "/admin/users", &json!({ "email": user })).1;
            let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
            let mut form = vec![("grant_type", "refresh_token".to_owned())];
            form.extend(["client_id", "client_secret", "refresh_token"].map(|name| (name, field(name))));
            let granted: Value =
                google.agent.post(field("token_uri")).send_form(form).expect("a token").body_mut().read_json().expect("a token");
            google.tokens.insert(user.into(), granted["access_token"].as_str().expect("a token").into());
        }
        google
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        // An unread body makes the server close the connection, which the next request may be about to use.
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.header("content-type", "application/json").body(body).expect("a request");
        let mut answer = self.agent.run(request).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or(Value::Null))
    }

    /// The test's side; a refusal fails the test.
    pub fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(method, &format!("/admin/drive/{path}"), &body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    pub fn add(&self, body: Value) -> String {
        self.admin("POST", "files", body)["id"].as_str().expect("an id").to_owned()
    }

    pub fn text(&self, user: &str, path: &str) -> (u16, String) {
        let request = self.agent.get(format!("{}/drive/v3/{path}", self.url));
        let mut answer = request.header("authorization", format!("Bearer {}", self.tokens[user])).call().expect("an answer");
        (answer.status().as_u16(), answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("text"))
    }

    pub fn get(&self, user: &str, path: &str) -> (u16, Value) {
        let (status, text) = self.text(user, path);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub fn ok(&self, user: &str, path: &str) -> Value {
        let (status, body) = self.get(user, path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub fn refusal(&self, user: &str, path: &str) -> (u16, String) {
        let (status, body) = self.get(user, path);
        (status, body["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
    }

    pub fn start_token(&self, user: &str) -> String {
        self.ok(user, "changes/startPageToken")["startPageToken"].as_str().expect("a token").to_owned()
    }

    /// Every change of all pages after a token, and the next token.
    pub fn changes(&self, user: &str, from: &str, query: &str) -> (Vec<Value>, String) {
        let (mut changes, mut token) = (Vec::new(), from.to_owned());
        loop {
            let page = self.ok(user, &format!("changes?pageToken={token}&{query}"));
            changes.extend(page["changes"].as_array().expect("changes").iter().cloned());
            match (page["nextPageToken"].as_str(), page["newStartPageToken"].as_str()) {
                (Some(next), None) => token = next.to_owned(),
                (None, Some(start)) => return (changes, start.to_owned()),
                other => panic!("one token and one only: {other:?}"),
            }
        }
    }

    /// The IDs of the listed files, over all pages.
    pub fn files(&self, user: &str, query: &str) -> Vec<String> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.ok(user, &format!("files?{query}{token}"));
            ids.extend(
                page["files"].as_array().expect("files").iter().map(|file| file["id"].as_str().expect("an id").to_owned()),
            );
            match page["nextPageToken"].as_str() {
                Some(next) => token = format!("&pageToken={next}"),
                None => {
                    ids.sort_unstable();
                    return ids;
                }
            }
        }
    }

    /// ID, version, md5 and trash of everything that the user sees, from the test's side.
    pub fn truth(&self, user: &str) -> BTreeMap<String, Value> {
        let mut answer = self.agent.get(format!("{}/admin/drive/state?user={user}", self.url)).call().expect("an answer");
        let lines = answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("text");
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.map(|line| (line["id"].as_str().expect("an id").to_owned(), seen(&line, "md5"))).collect()
    }
}

/// What a mirror stores of a file.
pub fn seen(file: &Value, md5: &str) -> Value {
    json!([
        file["name"],
        file["version"],
        file.get(md5).unwrap_or(&Value::Null),
        file["trashed"],
        file["parents"].as_array().map_or(&[][..], |list| list)
    ])
}
