//! The simulator in this process, on a free loopback port, and its admin interface over HTTP.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// A simulated Google. It stops with the test.
pub struct Sim {
    pub url: String,
    /// `None`: it is a separate process, and stops by itself.
    pub runtime: Option<tokio::runtime::Runtime>,
}

/// Live data: address of the user, collection (a calendar), ID → version (an etag).
pub type Truth = BTreeMap<(String, String, String), String>;

impl Sim {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let sim = runtime.block_on(google_sim::Sim::start()).expect("the simulator starts");
        Self { url: sim.url.clone(), runtime: Some(runtime) }
    }

    /// POSTs to the admin interface.
    pub fn admin(&self, path: &str, body: Value) -> Value {
        let mut answer = ureq::post(format!("{}/admin/{path}", self.url))
            .send_json(&body)
            .unwrap_or_else(|error| panic!("admin/{path}: {error}"));
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("an answer");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// GETs text from the admin interface.
    pub fn text(&self, path: &str) -> String {
        let mut answer =
            ureq::get(format!("{}/admin/{path}", self.url)).call().unwrap_or_else(|error| panic!("admin/{path}: {error}"));
        answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("an answer")
    }

    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).expect("JSON")
    }

    pub fn generate(&self, users: u32, events: u32) {
        self.admin("generate", json!({ "users": users, "events_per_user": events, "seed": 7 }));
    }

    pub fn churn(&self, changes: u32, seed: u64) -> Value {
        self.admin("churn", json!({ "changes": changes, "seed": seed }))
    }

    pub fn fault(&self, fault: Value) {
        self.admin("faults", fault);
    }

    pub fn clear_faults(&self) {
        ureq::delete(format!("{}/admin/faults", self.url)).call().expect("clearing faults");
    }

    /// Deletes an event as its owner does.
    pub fn delete_event(&self, user: &str, id: &str) {
        let body = json!({ "user": user, "calendar": "primary", "id": id });
        let request = ureq::delete(format!("{}/admin/events", self.url)).header("content-type", "application/json");
        request.force_send_body().send(body.to_string()).expect("deleting an event");
    }

    pub fn ledger(&self) -> Value {
        self.get("ledger")
    }

    pub fn reset_ledger(&self) {
        self.admin("ledger/reset", json!({}));
    }

    /// Addresses of all users.
    pub fn users(&self) -> BTreeSet<String> {
        self.text("accounts")
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_str::<Value>(line).expect("an account line")["email"].as_str().expect("an email").to_owned()
            })
            .collect()
    }

    /// JSON lines from the admin interface, parsed by `read`.
    pub fn lines(&self, path: &str, read: impl Fn(&Value) -> ((String, String, String), String)) -> Truth {
        let text = self.text(path);
        text.lines().filter(|line| !line.is_empty()).map(|line| read(&serde_json::from_str(line).expect("a JSON line"))).collect()
    }

    /// Every live event in the simulator.
    pub fn truth(&self) -> Truth {
        self.lines("state", |row| ((field(row, "user"), field(row, "calendar"), field(row, "id")), field(row, "etag")))
    }
}

/// A text field of a row.
pub fn field(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_else(|| panic!("{name} in {row}")).to_owned()
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
