//! The rules of push, over HTTP: ids and expiry of channels, what is delivered, and what is not.

mod channels;
mod delivery;
mod mail;
mod receiver;

use google_sim::Sim;
use receiver::Receiver;
use serde_json::{Value, json};

const USER: &str = "ann@example.com";
const EVENTS: &str = "/calendar/v3/calendars/primary/events/watch";

/// A running simulator with one user and a token for her, and a receiver of messages.
struct Google {
    url: String,
    token: String,
    agent: ureq::Agent,
    receiver: Receiver,
    _runtime: tokio::runtime::Runtime,
}

impl Google {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(Sim::start()).expect("a simulator").url.clone();
        let receiver = runtime.block_on(Receiver::start());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut google = Self { url, token: String::new(), agent, receiver, _runtime: runtime };
        google.token = google.grant(USER);
        google
    }

    /// Adds a user; returns an access token.
    fn grant(&self, email: &str) -> String {
        let account = self.admin("users", json!({ "email": email }));
        let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", field("client_id")),
            ("client_secret", field("client_secret")),
            ("refresh_token", field("refresh_token")),
        ];
        let mut answer = self.agent.post(field("token_uri")).send_form(form).expect("a token");
        let granted: Value = answer.body_mut().read_json().expect("a token");
        granted["access_token"].as_str().expect("a token").to_owned()
    }

    fn admin(&self, path: &str, body: Value) -> Value {
        let mut answer = self.agent.post(format!("{}/admin/{path}", self.url)).send_json(&body).expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        assert_eq!(answer.status(), 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn read(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap_or(Value::Null)
    }

    fn text(&self, path: &str) -> String {
        let request = self.agent.get(format!("{}{path}", self.url)).header("authorization", format!("Bearer {}", self.token));
        request.call().expect("an answer").body_mut().read_to_string().expect("text")
    }

    /// POSTs as the user; returns status and body.
    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.url)).header("authorization", format!("Bearer {}", self.token));
        let mut answer = request.send_json(body).expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Opens a channel to the receiver.
    fn watch(&self, path: &str, id: &str) -> Value {
        let (status, channel) =
            self.post(path, &json!({ "id": id, "type": "web_hook", "address": self.receiver.url, "token": "t" }));
        assert_eq!(status, 200, "{channel}");
        channel
    }

    fn stop(&self, api: &str, channel: &Value) -> u16 {
        self.post(&format!("/{api}/v3/channels/stop"), &json!({ "id": channel["id"], "resourceId": channel["resourceId"] })).0
    }

    fn put_event(&self) {
        self.admin("events", json!({ "user": USER, "calendar": "primary", "event": { "summary": "x" } }));
    }

    fn now(&self) -> i64 {
        let now = self.read("/admin/clock")["now"].as_str().map(chrono::DateTime::parse_from_rfc3339).expect("a time");
        now.expect("a time").timestamp_millis()
    }
}

/// The reason in a refusal.
fn reason(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["errors"][0]["reason"].as_str().unwrap_or_default())
}
