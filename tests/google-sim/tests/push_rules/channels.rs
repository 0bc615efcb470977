//! Which channels are opened, their lifetime, and how they end.

use serde_json::{Value, json};

use crate::{EVENTS, Google, USER, reason};

const LIST: &str = "/calendar/v3/users/me/calendarList/watch";
const WEEK: i64 = 604_800_000;

fn start_token(google: &Google) -> String {
    google.read("/drive/v3/changes/startPageToken")["startPageToken"].as_str().expect("a token").to_owned()
}

fn lives(google: &Google, channel: &Value) -> i64 {
    channel["expiration"].as_str().expect("text").parse::<i64>().expect("milliseconds") - google.now()
}

fn about(lives: i64, expected: i64) -> bool {
    (lives - expected).abs() < 5_000
}

#[test]
fn an_id_is_of_use_once_in_an_api_even_after_its_stop() {
    let google = Google::start();
    let body = json!({ "id": "one", "type": "web_hook", "address": google.receiver.url });
    let channel = google.watch(EVENTS, "one");
    assert_eq!(reason(&google.post(EVENTS, &body)), (400, "channelIdNotUnique"));
    assert_eq!(reason(&google.post(LIST, &body)), (400, "channelIdNotUnique"));
    assert_eq!(google.stop("calendar", &channel), 204);
    assert_eq!(reason(&google.post(EVENTS, &body)), (400, "channelIdNotUnique"));
    let changes = format!("/drive/v3/changes/watch?pageToken={}", start_token(&google));
    assert_eq!(google.post(&changes, &body).0, 200, "Drive counts for itself");
}

#[test]
fn a_channel_without_sense_is_refused() {
    let google = Google::start();
    let ask = |change: Value| {
        let mut body = json!({ "id": "one", "type": "web_hook", "address": "https://example.com/push" });
        for (name, value) in change.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let answer = google.post(EVENTS, &body);
        (answer.0, reason(&answer).1.to_owned())
    };
    let refused = |reason: &str| (400, reason.to_owned());
    assert_eq!(ask(json!({ "id": null })), refused("required"));
    assert_eq!(ask(json!({ "id": "a b" })), refused("invalid"));
    assert_eq!(ask(json!({ "id": "x".repeat(65) })), refused("invalid"));
    assert_eq!(ask(json!({ "type": "smoke" })), refused("invalid"));
    assert_eq!(ask(json!({ "expiration": "1000" })), refused("invalid"));
    assert_eq!(ask(json!({ "address": "http://example.com/push" })), refused("webhookUrlNotHttps"));
    assert_eq!(ask(json!({ "address": "https://example.com/push" })).0, 200);
    assert_eq!(reason(&google.post("/calendar/v3/calendars/nobody/events/watch", &json!({}))), (404, "notFound"));
}

#[test]
fn channels_live_as_long_as_their_api_allows() {
    let google = Google::start();
    google.admin("drive/files", json!({ "user": USER, "id": "file", "name": "a.txt", "content": "a" }));
    let changes = format!("/drive/v3/changes/watch?pageToken={}", start_token(&google));
    let file = "/drive/v3/files/file/watch";
    for (path, usual, most) in [(EVENTS, WEEK, WEEK), (&changes, 3_600_000, WEEK), (file, 3_600_000, 86_400_000)] {
        let open = |id: &str, wish: Value| {
            let mut body = json!({ "id": format!("{id}{usual}{most}"), "type": "web_hook", "address": google.receiver.url });
            body["expiration"] = wish;
            lives(&google, &google.post(path, &body).1)
        };
        assert!(about(open("usual", Value::Null), usual), "{path}");
        assert!(about(open("most", json!((google.now() + 4 * WEEK).to_string())), most), "{path}");
        assert!(about(open("less", json!((google.now() + 60_000).to_string())), 60_000), "{path}");
    }
    let ttl = json!({ "id": "ttl", "type": "web_hook", "address": google.receiver.url, "params": { "ttl": "120" } });
    assert!(about(lives(&google, &google.post(EVENTS, &ttl).1), 120_000));
}

#[test]
fn the_same_resource_and_user_have_the_same_resource_id() {
    let google = Google::start();
    let (one, two, list) = (google.watch(EVENTS, "one"), google.watch(EVENTS, "two"), google.watch(LIST, "list"));
    assert_eq!((&one["kind"], &one["token"]), (&json!("api#channel"), &json!("t")));
    assert_eq!(one["resourceId"], two["resourceId"]);
    assert_ne!(one["resourceId"], list["resourceId"]);
    let other = google.grant("ben@example.com");
    let theirs = Google { token: other, ..google }.watch(EVENTS, "theirs");
    assert_ne!(one["resourceId"], theirs["resourceId"]);
}

#[test]
fn only_a_live_channel_of_the_same_api_can_be_stopped() {
    let google = Google::start();
    let one = google.watch(EVENTS, "one");
    assert_eq!(google.stop("drive", &one), 404);
    assert_eq!(google.stop("calendar", &json!({ "id": "one", "resourceId": "other" })), 404);
    assert_eq!(google.stop("calendar", &one), 204);
    assert_eq!(google.stop("calendar", &one), 404);
    let two = google.watch(EVENTS, "two");
    google.admin("clock", json!({ "advance": 604_801 }));
    let token = google.grant(USER);
    assert_eq!(Google { token, ..google }.stop("calendar", &two), 404, "expired");
}

#[test]
fn the_list_and_the_history_follow_the_simulated_clock() {
    let google = Google::start();
    let one = google.watch(EVENTS, "one");
    google.watch(EVENTS, "two");
    assert_eq!(google.text("/admin/push/channels").lines().count(), 2);
    google.stop("calendar", &one);
    let line: Value = serde_json::from_str(google.text("/admin/push/channels").trim()).expect("one line");
    assert_eq!((&line["id"], &line["user"]), (&json!("two"), &json!(USER)));
    assert_eq!(line["resource"], format!("events/{USER}"));
    google.admin("clock", json!({ "advance": 700_000 }));
    assert_eq!(google.text("/admin/push/channels"), "");
    let token = google.grant(USER);
    let google = Google { token, ..google };
    google.watch(EVENTS, "three");
    let history = google.read("/admin/push/history");
    let intervals = history[0]["intervals"].as_array().expect("intervals");
    assert_eq!(intervals.len(), 2, "{history}");
    assert!(intervals[0]["to"].is_string() && intervals[1]["to"].is_null(), "{history}");
    // A week passed until the second ended, and the third was opened 95,200 s later.
    assert!((history[0]["gap_seconds"].as_f64().expect("a number") - 95_200.0).abs() < 5.0, "{history}");
    assert_eq!(history[0]["most"], 2, "{history}");
}

#[test]
fn a_fault_strikes_a_watch() {
    let google = Google::start();
    google.admin("faults", json!({ "fault": "unavailable_503", "method": "events.watch", "times": 1 }));
    let body = json!({ "id": "one", "type": "web_hook", "address": google.receiver.url });
    assert_eq!(google.post(EVENTS, &body).0, 503);
    assert_eq!(google.post(EVENTS, &body).0, 200, "the id was not used up");
}
