//! What a receiver gets, and what not.

use std::time::Duration;

use serde_json::json;

use crate::{EVENTS, Google, USER};

#[test]
fn a_sync_message_comes_first_and_numbers_rise_with_gaps() {
    let google = Google::start();
    let channel = google.watch(EVENTS, "one");
    (0..10).for_each(|_| google.put_event());
    let got = google.receiver.exactly("one", 11);
    assert_eq!((got[0].state(), got[0].number()), ("sync", 1));
    assert!(got[1..].iter().all(|got| got.state() == "exists" && got.body.is_empty()));
    assert!(got.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    assert!(got[10].number() > 11, "numbers have gaps");
    assert_eq!(got[1].header("x-goog-channel-token"), "t");
    assert_eq!(got[1].header("x-goog-resource-id"), channel["resourceId"]);
    assert_eq!(got[1].header("x-goog-resource-uri"), channel["resourceUri"]);
    let expires = chrono::DateTime::parse_from_rfc2822(got[1].header("x-goog-channel-expiration")).expect("an HTTP date");
    assert_eq!(json!(expires.timestamp_millis().to_string()), channel["expiration"]);
    assert_eq!(google.read("/admin/push/count"), json!({ "sent": 11, "delivered": 11, "failed": 0, "dropped": 0 }));
}

#[test]
fn channels_that_overlap_get_each_their_own() {
    let google = Google::start();
    let one = google.watch(EVENTS, "one");
    google.watch(EVENTS, "two");
    google.put_event();
    google.receiver.exactly("one", 2);
    google.receiver.exactly("two", 2);
    assert_eq!(google.stop("calendar", &one), 204);
    google.put_event();
    google.receiver.exactly("two", 3);
    google.receiver.exactly("one", 2);
}

#[test]
fn nothing_comes_after_the_expiry() {
    let google = Google::start();
    google.watch(EVENTS, "one");
    google.receiver.exactly("one", 1);
    google.admin("clock", json!({ "advance": 604_801 }));
    google.put_event();
    google.receiver.exactly("one", 1);
}

#[test]
fn a_retry_that_is_due_after_the_stop_is_dropped() {
    let google = Google::start();
    let channel = google.watch(EVENTS, "one");
    google.receiver.exactly("one", 1);
    google.receiver.answer(&[503; 9]);
    google.put_event();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(google.stop("calendar", &channel), 204);
    google.receiver.exactly("one", 2);
    assert_eq!(google.read("/admin/push/count")["dropped"], 1);
}

#[test]
fn failures_are_tried_again_and_refusals_are_not() {
    let google = Google::start();
    google.watch(EVENTS, "one");
    google.receiver.exactly("one", 1);
    google.receiver.answer(&[503, 500]);
    google.put_event();
    let got = google.receiver.exactly("one", 4);
    assert!(got[1..].iter().all(|again| again.number() == got[1].number()));
    assert!(got[3].at - got[2].at > got[2].at - got[1].at, "the pause grows");
    google.receiver.answer(&[404]);
    google.put_event();
    google.receiver.exactly("one", 5);
    google.receiver.answer(&[503; 9]);
    google.put_event();
    google.receiver.exactly("one", 10);
    assert_eq!(google.read("/admin/push/count"), json!({ "sent": 4, "delivered": 2, "failed": 1, "dropped": 1 }));
}

#[test]
fn a_silent_channel_lives_and_delivers_nothing() {
    let google = Google::start();
    google.watch(EVENTS, "one");
    google.receiver.exactly("one", 1);
    for whom in [json!({ "channel": "one" }), json!({ "user": USER }), json!({ "all": true })] {
        for on in [true, false] {
            let mut order = whom.clone();
            order["on"] = json!(on);
            let before = google.receiver.got().len();
            google.admin("push/silence", order);
            google.put_event();
            google.receiver.exactly("one", before + usize::from(!on));
            assert_eq!(google.text("/admin/push/channels").lines().count(), 1);
        }
    }
}

#[test]
fn a_message_can_be_sent_again_and_a_flood_counts_what_arrives() {
    let google = Google::start();
    google.watch(EVENTS, "one");
    google.put_event();
    let got = google.receiver.exactly("one", 2);
    google.admin("push/replay", json!({ "channel": "one" }));
    assert_eq!(google.receiver.exactly("one", 3)[2].number(), got[1].number());
    let flood = google.admin("push/flood", json!({ "channel": "one", "messages": 200, "per_second": 0 }));
    assert_eq!((&flood["messages"], &flood["delivered"]), (&json!(200), &json!(200)));
    google.receiver.exactly("one", 203);
}

#[test]
fn drive_announces_changes_of_feeds_and_of_files() {
    let google = Google::start();
    google.admin("drive/files", json!({ "user": USER, "id": "file", "name": "a.txt", "content": "a" }));
    let token = google.read("/drive/v3/changes/startPageToken")["startPageToken"].clone();
    google.watch(&format!("/drive/v3/changes/watch?pageToken={}", token.as_str().expect("a token")), "feed");
    google.watch("/drive/v3/files/file/watch", "file");
    let change = |body: serde_json::Value| {
        let request = google.agent.put(format!("{}/admin/drive/files", google.url));
        assert_eq!(request.send_json(&body).expect("an answer").status(), 200);
    };
    change(json!({ "id": "file", "content": "b" }));
    change(json!({ "id": "file", "name": "b.txt" }));
    let got = google.receiver.exactly("feed", 3);
    assert_eq!(got.iter().map(|got| got.state()).collect::<Vec<_>>(), ["sync", "change", "change"]);
    let got = google.receiver.exactly("file", 3);
    let seen: Vec<_> = got.iter().map(|got| (got.state(), got.header("x-goog-changed"))).collect();
    assert_eq!(seen, [("sync", ""), ("update", "content"), ("update", "properties")]);
}

#[test]
fn a_users_feed_with_all_drives_hears_of_items_that_it_shows_and_one_of_my_drive_does_not() {
    let google = Google::start();
    google.admin("drive/drives", json!({ "id": "team", "name": "Team", "members": [] }));
    let token = google.read("/drive/v3/changes/startPageToken")["startPageToken"].clone();
    let path = format!("/drive/v3/changes/watch?pageToken={}", token.as_str().expect("a token"));
    google.watch(&path, "my");
    google.watch(&format!("{path}&supportsAllDrives=true&includeItemsFromAllDrives=true"), "all");
    // A file in the drive is no news for the user, but that it is shared with this user is.
    google.admin("drive/files", json!({ "drive": "team", "id": "a", "name": "a.txt", "content": "a" }));
    google.admin("drive/share", json!({ "id": "a", "user": USER }));
    google.receiver.exactly("all", 2);
    google.receiver.exactly("my", 1);
}

#[test]
fn a_calendar_that_comes_back_is_still_watched() {
    let google = Google::start();
    let calendar = json!({ "user": USER, "id": "team", "summary": "Team" });
    google.admin("calendars", calendar.clone());
    google.watch("/calendar/v3/calendars/team/events/watch", "one");
    let request = google.agent.delete(format!("{}/admin/calendars", google.url)).header("content-type", "application/json");
    assert_eq!(request.force_send_body().send(calendar.to_string()).expect("an answer").status(), 200);
    google.admin("calendars", calendar);
    google.admin("events", json!({ "user": USER, "calendar": "team", "event": { "summary": "x" } }));
    google.receiver.exactly("one", 2);
}

#[test]
fn a_batch_opens_channels_too() {
    let google = Google::start();
    let part = |id: &str| {
        let body = json!({ "id": id, "type": "web_hook", "address": google.receiver.url });
        format!(
            "--b\r\nContent-Type: application/http\r\n\r\nPOST {EVENTS} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{body}\r\n"
        )
    };
    let request = google.agent.post(format!("{}/batch/calendar/v3", google.url));
    let request = request.header("authorization", format!("Bearer {}", google.token));
    let request = request.header("content-type", "multipart/mixed; boundary=b");
    let answer = request.send(format!("{}{}--b--\r\n", part("one"), part("two"))).expect("an answer");
    let text = answer.into_body().read_to_string().expect("text");
    assert_eq!(text.matches("api#channel").count(), 2, "{text}");
    google.receiver.exactly("one", 1);
    google.receiver.exactly("two", 1);
}
