//! The simulator's rules, over HTTP: it refuses and returns what Google does.

use google_sim::Sim;
use serde_json::{Value, json};

const USER: &str = "ann@example.com";

/// A running simulator with one user and a token for her.
struct Google {
    url: String,
    token: String,
    _runtime: tokio::runtime::Runtime,
}

impl Google {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(Sim::start()).expect("a simulator").url.clone();
        let mut google = Self { url, token: String::new(), _runtime: runtime };
        google.admin("users", json!({ "email": USER }));
        let accounts = google.text("/admin/accounts");
        let account: Value = serde_json::from_str(accounts.trim()).expect("an account");
        let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", field("client_id")),
            ("client_secret", field("client_secret")),
            ("refresh_token", field("refresh_token")),
        ];
        let mut answer = ureq::post(field("token_uri")).send_form(form).expect("a token");
        let granted: Value = answer.body_mut().read_json().expect("a token");
        google.token = granted["access_token"].as_str().expect("a token").to_owned();
        google
    }

    fn admin(&self, path: &str, body: Value) {
        ureq::post(format!("{}/admin/{path}", self.url)).send_json(&body).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    fn text(&self, path: &str) -> String {
        ureq::get(format!("{}{path}", self.url)).call().expect("an answer").body_mut().read_to_string().expect("text")
    }

    fn put(&self, event: Value) {
        self.admin("events", json!({ "user": USER, "calendar": "primary", "event": event }));
    }

    fn delete(&self, id: &str) {
        let body = json!({ "user": USER, "calendar": "primary", "id": id }).to_string();
        let request = ureq::delete(format!("{}/admin/events", self.url)).header("content-type", "application/json");
        request.force_send_body().send(body).expect("deleted");
    }

    /// GETs with these headers; returns status and body.
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request =
            agent.get(format!("{}/calendar/v3{path}", self.url)).header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.call().expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn events(&self, query: &str) -> Value {
        let (status, body) = self.get(&format!("/calendars/primary/events?{query}"), &[]);
        assert_eq!(status, 200, "{query}: {body}");
        body
    }

    /// Every item of all pages, and the sync token of the last.
    fn pages(&self, query: &str) -> (Vec<Value>, String) {
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.events(&format!("{query}{token}"));
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            match (page["nextPageToken"].as_str(), page["nextSyncToken"].as_str()) {
                (Some(next), None) => token = format!("&pageToken={next}"),
                (None, Some(sync)) => return (items, sync.to_owned()),
                other => panic!("one token and one only: {other:?}"),
            }
        }
    }
}

fn refusal((status, body): (u16, Value)) -> (u16, String) {
    (status, body["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().expect("an id")).collect()
}

fn series() -> Value {
    json!({ "id": "standup", "summary": "Standup", "recurrence": ["RRULE:FREQ=DAILY;COUNT=5"],
        "start": { "dateTime": "2026-11-02T09:00:00+01:00", "timeZone": "Europe/Berlin" },
        "end": { "dateTime": "2026-11-02T09:15:00+01:00", "timeZone": "Europe/Berlin" } })
}

#[test]
fn a_sync_token_is_refused_with_what_google_refuses_it_with() {
    let google = Google::start();
    let (_, sync) = google.pages("maxResults=10");
    for with in [
        "timeMin=2026-01-01T00:00:00Z",
        "timeMax=2027-01-01T00:00:00Z",
        "q=x",
        "orderBy=updated",
        "iCalUID=x",
        "showDeleted=false",
    ] {
        let refused = refusal(google.get(&format!("/calendars/primary/events?maxResults=10&syncToken={sync}&{with}"), &[]));
        assert_eq!(refused, (400, "invalidParameter".into()), "{with}");
    }
    let other = google.get(&format!("/calendars/primary/events?maxResults=11&syncToken={sync}"), &[]);
    assert_eq!(refusal(other).0, 400, "bound to its parameters");
    google.admin("expire", json!({ "what": "sync_tokens" }));
    let expired = google.get(&format!("/calendars/primary/events?maxResults=10&syncToken={sync}"), &[]);
    assert_eq!(refusal(expired), (410, "fullSyncRequired".into()));
}

#[test]
fn a_wrong_token_is_an_auth_error() {
    let mut google = Google::start();
    google.token = "ya29.nobody".into();
    assert_eq!(refusal(google.get("/users/me/calendarList", &[])), (401, "authError".into()));
}

#[test]
fn deletions_come_as_stubs_after_a_sync_token_and_where_they_are_asked_for() {
    let google = Google::start();
    for id in ["one", "two"] {
        google.put(json!({ "id": id, "start": { "date": "2026-11-02" }, "end": { "date": "2026-11-03" } }));
    }
    let (_, sync) = google.pages("showDeleted=true");
    google.delete("one");
    let (changes, _) = google.pages(&format!("showDeleted=true&syncToken={sync}"));
    assert_eq!((ids(&changes), &changes[0]["status"]), (vec!["one"], &json!("cancelled")));
    assert!(changes[0].get("start").is_none(), "{}", changes[0]);
    let (full, _) = google.pages("showDeleted=true");
    assert_eq!(ids(&full), ["two", "one"]);
    assert_eq!(full[1]["status"], "cancelled");
    let window = "timeMin=2026-12-01T00:00:00Z";
    assert!(google.pages(&format!("showDeleted=true&{window}")).0.is_empty(), "it is outside the window");
    assert_eq!(ids(&google.pages("maxResults=10").0), ["two"]);
}

#[test]
fn events_that_leave_the_window_of_a_sync_token_are_reported_as_the_test_sets() {
    let google = Google::start();
    let event = |year: &str| json!({ "id": "one", "start": { "date": format!("{year}-11-02") }, "end": { "date": format!("{year}-11-03") } });
    for (outside, expected) in [("silent", None), ("told", Some("confirmed")), ("cancelled", Some("cancelled"))] {
        google.put(event("2026"));
        let (_, sync) = google.pages("showDeleted=true&timeMax=2027-01-01T00:00:00Z");
        google.admin("window", json!({ "outside": outside }));
        google.put(event("2028"));
        let (changes, _) = google.pages(&format!("showDeleted=true&syncToken={sync}"));
        assert_eq!(changes.first().and_then(|event| event["status"].as_str()), expected, "{outside}");
    }
}

#[test]
fn an_instance_is_given_by_its_id_and_a_calendar_may_be_refused() {
    let google = Google::start();
    google.put(series());
    let path = "/calendars/primary/events/standup_20261104T080000Z";
    let (status, instance) = google.get(path, &[]);
    assert_eq!((status, &instance["recurringEventId"]), (200, &json!("standup")), "{instance}");
    assert_eq!(refusal(google.get("/calendars/primary/events/standup_20261104T090000Z", &[])), (404, "notFound".into()));
    google.admin("calendars", json!({ "user": USER, "id": USER, "refuses": 403 }));
    for path in ["/calendars/primary/events", path] {
        assert_eq!(refusal(google.get(path, &[])), (403, "forbidden".into()));
    }
}

#[test]
fn single_events_show_instances_on_any_size_of_page_and_never_the_series() {
    let google = Google::start();
    google.put(series());
    google.put(json!({ "id": "standup_20261104T080000Z", "summary": "late", "recurringEventId": "standup",
        "originalStartTime": { "dateTime": "2026-11-04T09:00:00+01:00" },
        "start": { "dateTime": "2026-11-04T11:00:00+01:00" }, "end": { "dateTime": "2026-11-04T11:15:00+01:00" } }));
    let window = "singleEvents=true&timeMin=2026-11-01T00:00:00Z&timeMax=2026-12-01T00:00:00Z";
    let (all, _) = google.pages(window);
    let mut found = ids(&all);
    found.sort_unstable();
    let expected =
        ["0202", "0203", "0204", "0205", "0206"].map(|day| format!("standup_2026{}T080000Z", day.replacen("02", "11", 1)));
    assert_eq!(found, expected);
    for size in 1..5 {
        let (paged, _) = google.pages(&format!("{window}&maxResults={size}"));
        assert_eq!(ids(&paged), ids(&all), "pages of {size}");
    }
    let (masters, _) = google.pages("timeMin=2026-11-01T00:00:00Z");
    assert!(ids(&masters).contains(&"standup"));
}

#[test]
fn a_deleted_series_is_named_by_its_instances_where_single_events_are_asked_for() {
    let google = Google::start();
    google.put(series());
    let (_, sync) = google.pages("singleEvents=true");
    google.delete("standup");
    let (changes, _) = google.pages(&format!("singleEvents=true&syncToken={sync}"));
    assert_eq!(changes.len(), 5, "{changes:?}");
    assert!(changes.iter().all(|stub| stub["status"] == "cancelled" && stub["recurringEventId"] == "standup"), "{changes:?}");
}

#[test]
fn an_event_that_is_known_is_not_sent_again() {
    let google = Google::start();
    google.put(series());
    let (status, event) = google.get("/calendars/primary/events/standup", &[]);
    assert_eq!(status, 200);
    let etag = event["etag"].as_str().expect("an etag");
    assert_eq!(google.get("/calendars/primary/events/standup", &[("if-none-match", etag)]).0, 304);
    assert_eq!(google.get("/calendars/primary/events/standup", &[("if-none-match", "\"0\"")]).0, 200);
}

#[test]
fn a_batch_answers_each_call_as_if_it_had_come_alone() {
    let google = Google::start();
    google.put(series());
    let call = |id: &str, path: &str, token: &str| {
        format!(
            "--x\r\nContent-Type: application/http\r\nContent-ID: <{id}>\r\n\r\nGET {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n\r\n"
        )
    };
    let event = "/calendar/v3/calendars/primary/events/standup";
    let body =
        [call("a", event, &google.token), call("b", event, "nobody"), call("c", "/calendar/v3/nothing", &google.token)].concat();
    let post = |body: &str, kind: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer =
            agent.post(format!("{}/batch/calendar/v3", google.url)).header("content-type", kind).send(body).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
    };
    let (status, text) = post(&format!("{body}--x--"), "multipart/mixed; boundary=x");
    assert_eq!(status, 200);
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("HTTP/1.1") || line.starts_with("Content-ID")).collect();
    assert_eq!(
        heads,
        [
            "Content-ID: <response-a>",
            "HTTP/1.1 200 OK",
            "Content-ID: <response-b>",
            "HTTP/1.1 401 Unauthorized",
            "Content-ID: <response-c>",
            "HTTP/1.1 404 Not Found",
        ]
    );
    assert_eq!(post(&body, "text/plain").0, 400);
    assert_eq!(post("--x--", "multipart/mixed; boundary=x").0, 400);
}
