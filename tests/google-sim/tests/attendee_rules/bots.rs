//! Keys, creation of bots, the list and its pages, moving and removing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{Attendee, MEET};

#[test]
fn a_key_opens_its_own_project_only() {
    let mut attendee = Attendee::start();
    let bot = attendee.bot("k", 3_600);
    attendee.admin("attendee/projects", json!({ "name": "two", "key": "key-2" }));
    attendee.key = "key-2".into();
    assert_eq!(attendee.call("GET", &format!("/bots/{bot}"), None), (404, json!({ "error": "Bot not found" })));
    assert_eq!(attendee.get("/bots")["results"], json!([]));
    attendee.bot("k", 3_600);
    attendee.key = "nobody's".into();
    assert_eq!(attendee.call("GET", "/bots", None), (401, json!({ "detail": "Invalid or disabled API key" })));
    let ledger = attendee.read("ledger");
    assert_eq!(ledger["by_user"]["two"], json!({ "bots.get": 1, "bots.list": 1, "bots.create": 1 }));
    assert_eq!(ledger["by_status"]["401"], 1);
}

#[test]
fn a_bot_is_shown_as_it_was_made() {
    let attendee = Attendee::start();
    let at = attendee.at(3_600);
    let (status, bot) = attendee.call("POST", "/bots", Some(attendee.wish("k", 3_600)));
    assert_eq!(status, 201);
    assert!(bot["id"].as_str().is_some_and(|id| id.starts_with("bot_") && id.len() == 20));
    let mut expected = json!({ "metadata": { "meeting": "m1" }, "meeting_url": MEET, "state": "scheduled", "events": [],
        "transcription_state": "not_started", "recording_state": "not_started", "join_at": at, "deduplication_key": "k" });
    expected["id"] = bot["id"].clone();
    assert_eq!(bot, expected);
    assert_eq!(attendee.get(&format!("/bots/{}", bot["id"].as_str().expect("an id"))), expected);
}

#[test]
fn a_bot_without_a_time_joins_at_once() {
    let attendee = Attendee::start();
    let (status, bot) = attendee.call("POST", "/bots", Some(json!({ "meeting_url": MEET, "bot_name": "Scribe" })));
    assert_eq!((status, &bot["state"], &bot["events"][0]["type"]), (201, &json!("joining"), &json!("join_requested")));
    assert_eq!((&bot["join_at"], &bot["deduplication_key"], &bot["metadata"]), (&Value::Null, &Value::Null, &Value::Null));
}

#[test]
fn what_makes_no_sense_is_refused_by_its_field() {
    let attendee = Attendee::start();
    let refused = |field: &str, value: Value| {
        let mut wish = attendee.wish("k", 3_600);
        wish[field] = value;
        attendee.call("POST", "/bots", Some(wish))
    };
    assert_eq!(refused("join_at", json!(attendee.at(-60))), (400, json!({ "join_at": ["join_at cannot be in the past"] })));
    assert_eq!(refused("meeting_url", json!("https://example.com/a")), (400, json!({ "meeting_url": ["Invalid meeting URL"] })));
    assert_eq!(refused("bot_name", Value::Null), (400, json!({ "bot_name": ["This field is required."] })));
    assert_eq!(refused("metadata", json!({ "n": 1 })), (400, json!({ "metadata": ["Value for key 'n' must be a string"] })));
    assert_eq!(refused("colour", json!("red")), (400, json!({ "non_field_errors": ["Unexpected field(s): colour."] })));
    assert_eq!(attendee.read("attendee/state"), json!(""));
}

#[test]
fn a_link_of_meet_loses_its_parameters() {
    let attendee = Attendee::start();
    let wish = json!({ "meeting_url": format!("{MEET}?authuser=1"), "bot_name": "Scribe" });
    assert_eq!(attendee.call("POST", "/bots", Some(wish)).1["meeting_url"], MEET);
}

#[test]
fn a_deduplication_key_is_free_again_once_its_bot_is_done_or_gone() {
    let attendee = Attendee::start();
    let again = || attendee.call("POST", "/bots", Some(attendee.wish("k", 3_600)));
    let first = attendee.bot("k", 3_600);
    let (status, body) = again();
    assert_eq!(status, 400);
    assert!(
        body["error"]
            .as_str()
            .is_some_and(|error| error.starts_with("Deduplication key already in use. A bot in a non-terminal"))
    );
    assert_eq!(attendee.get("/bots?deduplication_key=k")["results"][0]["id"], first);
    assert_eq!(attendee.call("DELETE", &format!("/bots/{first}"), None), (200, json!("")));
    assert_eq!(attendee.call("GET", &format!("/bots/{first}"), None).0, 404);
    let (status, second) = again();
    assert_eq!(status, 201);
    attendee.pass(3_600);
    assert_eq!(again().0, 400, "it is on its way");
    attendee.pass(7_200);
    assert_eq!(attendee.state(second["id"].as_str().expect("an id")), "ended");
    assert_eq!(again().0, 201);
}

#[test]
fn pages_hold_25_and_a_bot_that_changes_its_state_shifts_none() {
    let attendee = Attendee::start();
    let made = attendee
        .admin("attendee/bots", json!({ "project": "one", "meeting_url": MEET, "join_at": attendee.at(3_600), "count": 60 }));
    let made: Vec<&str> = made["ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    let mut page = attendee.get("/bots?states=scheduled&states=staged");
    assert_eq!((page["results"].as_array().map(Vec::len), &page["previous"]), (Some(25), &Value::Null));
    assert_eq!(attendee.call("DELETE", &format!("/bots/{}", made[3]), None).0, 200);
    let mut seen: Vec<String> = Vec::new();
    loop {
        seen.extend(page["results"].as_array().expect("bots").iter().map(|bot| bot["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        assert!(next.starts_with(&attendee.url) && next.contains("states=scheduled&states=staged"), "{next}");
        page = attendee.get(next);
    }
    assert_eq!(seen, made);
    assert_eq!(attendee.call("GET", "/bots?cursor=bm9uZQ%3D%3D", None), (404, json!({ "detail": "Invalid cursor" })));
}

#[test]
fn the_list_is_filtered_by_state_link_and_time() {
    let attendee = Attendee::start();
    let (near, far) = (attendee.bot("near", 600), attendee.bot("far", 7_200));
    let ids = |query: &str| -> BTreeSet<String> {
        let page = attendee.get(&format!("/bots?{query}"));
        page["results"].as_array().expect("bots").iter().map(|bot| bot["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&format!("join_at_before={}", attendee.at(3_600))), [near.clone()].into());
    assert_eq!(ids(&format!("join_at_after={}", attendee.at(3_600))), [far.clone()].into());
    assert_eq!(ids(&format!("meeting_url={MEET}")).len(), 2);
    assert_eq!(ids("meeting_url=https://zoom.us/j/1").len(), 0);
    attendee.pass(400);
    assert_eq!(ids("states=staged"), [near].into());
    let (status, body) = attendee.call("GET", "/bots?states=sleeping", None);
    assert!(status == 400 && body["error"].as_str().is_some_and(|error| error.starts_with("Invalid state: sleeping.")), "{body}");
    assert_eq!(attendee.call("GET", "/bots?join_at_after=soon", None).0, 400);
}

#[test]
fn a_bot_is_moved_and_removed_only_while_it_is_scheduled() {
    let attendee = Attendee::start();
    let bot = attendee.bot("k", 3_600);
    let path = format!("/bots/{bot}");
    let move_to = |seconds: i64| attendee.call("PATCH", &path, Some(json!({ "join_at": attendee.at(seconds) })));
    let at = attendee.at(1_200);
    assert_eq!(move_to(1_200).1["join_at"], json!(at));
    assert_eq!(move_to(-10), (400, json!({ "join_at": ["join_at cannot be in the past"] })));
    attendee.pass(1_000);
    assert_eq!(attendee.state(&bot), "staged");
    let (status, body) = move_to(7_200);
    assert_eq!(status, 400);
    assert_eq!(
        body["error"],
        "Bot is in state staged but join_at, meeting_url, bot_name, bot_image and recording_settings can only be updated when in the scheduled state"
    );
    let (status, body) = attendee.call("DELETE", &path, None);
    assert_eq!((status, &body["error"]), (400, &json!("Bot is in state staged but can only be deleted when in scheduled state")));
}

#[test]
fn too_many_posts_in_a_minute_are_throttled() {
    let attendee = Attendee::start();
    attendee.admin("attendee/projects", json!({ "name": "one", "key": "key-1", "posts_per_minute": 2 }));
    let make = |key: &str| attendee.call("POST", "/bots", Some(attendee.wish(key, 3_600)));
    assert_eq!((make("a").0, make("b").0), (201, 201));
    let (status, body) = make("c");
    assert!(
        status == 429 && body["detail"].as_str().is_some_and(|detail| detail.starts_with("Request was throttled.")),
        "{body}"
    );
    assert_eq!(attendee.call("GET", "/bots", None).0, 200);
    attendee.pass(60);
    assert_eq!(make("c").0, 201);
}
