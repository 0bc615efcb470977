//! The rules of Attendee, over HTTP: keys, the list and its pages, the life of a bot, transcripts, faults, webhooks.

mod bots;
mod content;
mod faults;
mod life;
mod webhooks;

use google_sim::Sim;
use serde_json::{Value, json};

const MEET: &str = "https://meet.google.com/abc-defg-hij";

/// A running simulator with one project.
struct Attendee {
    url: String,
    key: String,
    agent: ureq::Agent,
    _runtime: tokio::runtime::Runtime,
}

impl Attendee {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(Sim::start()).expect("a simulator").url.clone();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let attendee = Self { url, key: "key-1".into(), agent, _runtime: runtime };
        attendee.admin("attendee/projects", json!({ "name": "one", "key": "key-1" }));
        attendee
    }

    fn admin(&self, path: &str, body: Value) -> Value {
        let mut answer = self.agent.post(format!("{}/admin/{path}", self.url)).send_json(&body).expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        assert_eq!(answer.status(), 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn read(&self, path: &str) -> Value {
        let mut answer = self.agent.get(format!("{}/admin/{path}", self.url)).call().expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// Calls the API; returns status and body.
    fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.try_call(method, path, body).expect("an answer")
    }

    fn try_call(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Value), ureq::Error> {
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        let path = if path.starts_with("http") { path.to_owned() } else { format!("{}/api/v1{path}", self.url) };
        let request =
            ureq::http::Request::builder().method(method).uri(path).header("authorization", format!("Token {}", self.key));
        let request = request.header("content-type", "application/json").body(text).expect("a request");
        let mut answer = self.agent.run(request)?;
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Creates a bot that joins in this many seconds; returns its id.
    fn bot(&self, key: &str, seconds: i64) -> String {
        let (status, bot) = self.call("POST", "/bots", Some(self.wish(key, seconds)));
        assert_eq!(status, 201, "{bot}");
        bot["id"].as_str().expect("an id").to_owned()
    }

    fn wish(&self, key: &str, seconds: i64) -> Value {
        json!({ "meeting_url": MEET, "bot_name": "Scribe", "join_at": self.at(seconds), "deduplication_key": key,
            "metadata": { "meeting": "m1" } })
    }

    /// This many seconds from now, by the simulated clock.
    fn at(&self, seconds: i64) -> String {
        let now = self.read("clock")["now"].as_str().map(chrono::DateTime::parse_from_rfc3339).expect("a time").expect("a time");
        (now + chrono::Duration::seconds(seconds)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    fn pass(&self, seconds: i64) {
        self.admin("clock", json!({ "advance": seconds }));
    }

    fn state(&self, bot: &str) -> String {
        self.get(&format!("/bots/{bot}"))["state"].as_str().expect("a state").to_owned()
    }
}
