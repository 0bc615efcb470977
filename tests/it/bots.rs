//! Bots of meetings on their usual paths: from the event to the document, moved and cancelled meetings, series, and meetings that several users share.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::support::World;

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const LINK: &str = "https://meet.google.com/abc-defg-hij";

/// Ann and Bob, and a project at Attendee. Ann wants bots.
fn world() -> World {
    let mut world = World::empty();
    let root = world.sim.url.clone();
    world.set("SYNCCTL_ATTENDEE_ROOT", root);
    for user in [ANN, BOB] {
        world.sim.admin("users", json!({ "email": user }));
    }
    world.import();
    world.sim.admin("attendee/projects", json!({ "name": "main", "key": "key-of-main" }));
    world.syncctl_with_input(&["attendee", "project", "add", "main"], "key-of-main\n").expect(0);
    world.syncctl(&["attendee", "enable", ANN]).expect(0);
    world
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The full minute so many minutes ahead.
fn ahead(minutes: i64) -> DateTime<Utc> {
    let now = Utc::now().timestamp() / 60 * 60;
    DateTime::from_timestamp(now, 0).expect("a time") + Duration::minutes(minutes)
}

fn event(id: &str, start: DateTime<Utc>, more: Value) -> Value {
    let mut event = json!({
        "id": id, "iCalUID": format!("{id}@google.com"), "summary": format!("Meeting {id}"), "hangoutLink": LINK,
        "start": { "dateTime": stamp(start), "timeZone": "UTC" }, "end": { "dateTime": stamp(start + Duration::minutes(30)), "timeZone": "UTC" },
    });
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

fn put(world: &World, user: &str, event: Value) {
    world.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }));
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
}

fn cancel(world: &World, user: &str, id: &str) {
    world.sim.delete_event(user, id);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
}

fn schedule(world: &World) -> Value {
    world.syncctl(&["attendee", "schedule", "--json"]).expect(0).json()
}

fn poll(world: &World) -> Value {
    world.syncctl(&["attendee", "cron", "--force", "--json"]).expect(0).json()
}

/// Every bot that ever was, by the simulator.
fn bots(world: &World) -> Vec<Value> {
    world.sim.text("attendee/state").lines().map(|line| serde_json::from_str(line).expect("a bot")).collect()
}

fn pass(world: &World, minutes: i64) {
    world.sim.admin("clock", json!({ "advance": minutes * 60 }));
}

fn counts(run: &Value) -> [u64; 4] {
    let changes = &run["changes"]["bots"];
    ["created", "updated", "deleted", "unchanged"].map(|name| changes[name].as_u64().unwrap_or(0))
}

fn text(world: &World, statement: &str) -> String {
    world.query(statement).first().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).unwrap_or_default()
}

#[test]
fn a_meeting_gets_a_bot_and_the_bot_a_transcript_and_that_a_document() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    let dry = world.syncctl(&["attendee", "schedule", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(dry["details"]["meetings"][0]["action"], "create", "{dry}");
    assert!(bots(&world).is_empty(), "a dry run asks for nothing");
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    let made = bots(&world);
    assert_eq!(made[0]["join_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok()), Some(ahead(18)), "{made:?}");
    let shown = "SELECT bot_status FROM meetings";
    assert_eq!(text(&world, shown), "bot_scheduled");
    // Nothing is asked before the bot joins.
    world.sim.reset_ledger();
    world.syncctl(&["attendee", "cron"]).expect(0);
    assert_eq!(world.sim.ledger()["total"], 0);
    let mut statuses = vec![];
    for _ in 0..30 {
        pass(&world, 3);
        poll(&world);
        statuses.push(text(&world, shown));
    }
    statuses.dedup();
    assert_eq!(statuses, ["bot_scheduled", "transcribing", "completed"]);
    let utterances = world.count("SELECT count(*) FROM attendee_utterances");
    assert_eq!(utterances as usize, bots(&world)[0]["transcript"].as_array().map_or(0, Vec::len));
    let row = &world.query("SELECT d.kind, d.title, d.body LIKE '%Ann Archer: 0: let us begin%', t.id = m.transcript_id, jsonb_array_length(t.participants), t.duration_ms > 0
        FROM documents d, attendee_transcripts t, meetings m")[0];
    let row: (String, String, bool, bool, i32, bool) = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
    assert_eq!(row, ("transcript".into(), "Meeting standup".into(), true, true, 3, true));
    assert_eq!(world.count("SELECT count(*) FROM outbox_events WHERE type = 'attendee.transcript.created'"), 1);
    // What is done costs nothing any more.
    world.sim.reset_ledger();
    assert_eq!(poll(&world)["idle_streams"], 1);
    assert_eq!(world.sim.ledger()["total"], 0);
    let printed = world.syncctl(&["attendee", "transcript", made[0]["id"].as_str().expect("an id")]).expect(0);
    assert!(printed.stdout.contains("Ben Baker: 1: the customer wants the draft"), "{}", printed.stdout);
}

#[test]
fn what_was_said_so_far_is_there_while_the_meeting_goes_on() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    pass(&world, 33);
    poll(&world);
    let so_far = world.count("SELECT count(*) FROM attendee_utterances");
    assert!(so_far > 0 && so_far < 12, "{so_far}");
    assert_eq!(world.count("SELECT count(*) FROM documents"), 0);
    let meeting = text(&world, "SELECT id::text FROM meetings");
    let printed = world.syncctl(&["attendee", "transcript", &meeting, "--json"]).expect(0).json();
    assert_eq!(printed["is_final"], false, "{printed}");
    assert!(printed["text"].as_str().is_some_and(|text| text.contains("the customer wants")), "{printed}");
}

#[test]
fn twenty_five_bots_are_one_call_and_one_that_the_list_lacks_one_more() {
    let world = world();
    for number in 0..30 {
        let link = format!("https://meet.google.com/aaa-bbbb-c{}{}", (b'a' + number / 10) as char, (b'a' + number % 10) as char);
        let event = event(&format!("e{number}"), ahead(20), json!({ "hangoutLink": link }));
        world.sim.admin("events", json!({ "user": ANN, "calendar": "primary", "event": event }));
    }
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert_eq!(counts(&schedule(&world)), [30, 0, 0, 0]);
    pass(&world, 17);
    world.sim.admin("attendee/act", json!({ "bot": bots(&world)[3]["id"], "do": "fail" }));
    world.sim.reset_ledger();
    poll(&world);
    let ledger = world.sim.ledger();
    // The failed one is asked for its words too.
    assert_eq!(ledger["by_method"], json!({ "bots.list": 2, "bots.get": 1, "bots.transcript": 1 }), "{ledger}");
    assert_eq!(world.count("SELECT count(*) FROM meetings WHERE bot_status = 'failed'"), 1);
    assert_eq!(world.count("SELECT total_meetings::int8 FROM attendee_cron_results ORDER BY start_time DESC LIMIT 1"), 30);
}

#[test]
fn a_moved_meeting_takes_its_bot_along_and_a_cancelled_one_gives_it_back() {
    let world = world();
    put(&world, ANN, event("standup", ahead(60), json!({})));
    schedule(&world);
    put(&world, ANN, event("standup", ahead(120), json!({ "hangoutLink": "https://meet.google.com/xyz-wxyz-xyz" })));
    assert_eq!(counts(&schedule(&world)), [0, 1, 0, 0]);
    let all = bots(&world);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["join_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok()), Some(ahead(118)), "{all:?}");
    assert!(all[0]["meeting_url"].as_str().is_some_and(|url| url.contains("xyz-wxyz-xyz")), "{all:?}");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 1]);
    cancel(&world, ANN, "standup");
    assert_eq!(text(&world, "SELECT event_status FROM meetings"), "cancelled", "a meeting with a bot is kept");
    assert_eq!(counts(&schedule(&world)), [0, 0, 1, 0]);
    assert_eq!(bots(&world)[0]["deleted"], true);
    assert_eq!(text(&world, "SELECT bot_status FROM meetings"), "none");
    // It comes back, and so does its bot.
    put(&world, ANN, event("standup", ahead(120), json!({})));
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(bots(&world).iter().filter(|bot| bot["deleted"] == false).count(), 1);
}

#[test]
fn a_bot_in_the_meeting_stays_when_the_meeting_is_cancelled() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    pass(&world, 25);
    // Not polled since: the bot is believed to be scheduled still.
    cancel(&world, ANN, "standup");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 1]);
    poll(&world);
    assert_eq!(bots(&world)[0]["deleted"], false);
    assert_eq!(text(&world, "SELECT bot_status || ' ' || event_status FROM meetings"), "transcribing cancelled");
}

#[test]
fn a_meeting_of_two_users_has_one_bot_and_each_gets_the_transcript() {
    let world = world();
    world.syncctl(&["attendee", "enable", BOB]).expect(0);
    for user in [ANN, BOB] {
        put(&world, user, event("standup", ahead(20), json!({ "hangoutLink": format!("{LINK}?authuser={}", user.len()) })));
    }
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    pass(&world, 80);
    poll(&world);
    assert_eq!(bots(&world).len(), 1);
    assert_eq!(world.count("SELECT count(DISTINCT user_id) FROM documents WHERE kind = 'transcript'"), 2);
    assert_eq!(world.count("SELECT count(*) FROM meetings WHERE bot_status = 'completed' AND transcript_id IS NOT NULL"), 2);
    assert_eq!(world.count("SELECT count(*) FROM outbox_events"), 2);
}

#[test]
fn each_occurrence_of_a_series_has_its_bot_and_exceptions_theirs() {
    let mut world = world();
    world.set("SYNCCTL_ATTENDEE_WINDOW", "3days");
    let start = ahead(60);
    let series = event("daily", start, json!({ "recurrence": ["RRULE:FREQ=DAILY"] }));
    put(&world, ANN, series);
    assert_eq!(counts(&schedule(&world)), [3, 0, 0, 0]);
    let (second, third) = (start + Duration::days(1), start + Duration::days(2));
    let moved = json!({
        "recurringEventId": "daily", "originalStartTime": { "dateTime": stamp(second), "timeZone": "UTC" }, "iCalUID": "daily@google.com",
    });
    put(&world, ANN, event("daily_2", second + Duration::hours(2), moved));
    let cancelled = json!({
        "id": "daily_3", "status": "cancelled", "recurringEventId": "daily", "originalStartTime": { "dateTime": stamp(third), "timeZone": "UTC" },
    });
    put(&world, ANN, cancelled);
    assert_eq!(counts(&schedule(&world)), [0, 1, 1, 1]);
    let mut times: Vec<DateTime<Utc>> = bots(&world)
        .iter()
        .filter(|bot| bot["deleted"] == false)
        .filter_map(|bot| bot["join_at"].as_str()?.parse().ok())
        .collect();
    times.sort();
    assert_eq!(times, [start - Duration::minutes(2), second + Duration::minutes(118)]);
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 2]);
}

#[test]
fn a_virtual_address_among_the_attendees_asks_for_a_bot_and_one_that_names_nobody_does_not() {
    let world = world();
    world.execute("UPDATE users SET username = 'bob' WHERE email = 'bob@example.com'");
    world.syncctl(&["attendee", "disable", ANN]).expect(0);
    let invited = |address: &str| json!({ "attendees": [{ "email": ANN }, { "email": address }], "hangoutLink": format!("https://meet.google.com/{}", &address[3..6]) });
    put(&world, ANN, event("a", ahead(20), invited("AI+Bob@example.com")));
    put(&world, ANN, event("b", ahead(25), invited("ai+nobody@example.com")));
    put(&world, ANN, event("c", ahead(30), json!({})));
    let dry = world.syncctl(&["attendee", "schedule", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("Meeting a (wanted by address)") && dry.contains("names no user"), "{dry}");
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    pass(&world, 80);
    poll(&world);
    assert_eq!(text(&world, "SELECT u.email FROM documents d JOIN users u ON u.id = d.user_id"), BOB);
}

#[test]
fn a_refused_key_is_named_with_its_remedy_and_a_new_one_mends_it() {
    let world = world();
    world.sim.admin("attendee/projects", json!({ "name": "main", "key": "another" }));
    put(&world, ANN, event("standup", ahead(20), json!({})));
    let refused = world.syncctl(&["attendee", "schedule"]).expect(77);
    assert!(refused.stderr.contains("syncctl attendee project add"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("key-of-main"), "a key in a message");
    world.syncctl_with_input(&["attendee", "project", "add", "main"], "another").expect(0);
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(bots(&world).len(), 1);
}

#[test]
fn keys_are_sealed_and_sealed_again() {
    let world = world();
    assert_eq!(world.count("SELECT count(*) FROM attendee_projects WHERE position('key-of-main'::bytea IN api_key) > 0"), 0);
    let before: Vec<u8> = world.query("SELECT api_key FROM attendee_projects")[0].get(0);
    let told = world.syncctl(&["accounts", "rekey", "--new-key", "--json"]).expect(0).json();
    assert_eq!((&told["resealed"], &told["resealed_projects"], &told["failed"]), (&json!(2), &json!(1), &json!(0)), "{told}");
    let after: Vec<u8> = world.query("SELECT api_key FROM attendee_projects")[0].get(0);
    assert_ne!(before, after);
    put(&world, ANN, event("standup", ahead(20), json!({})));
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
}

#[test]
fn a_state_that_is_not_known_is_stored_as_it_is_and_told() {
    let world = world();
    world.sim.admin("attendee/script", json!({ "course": { "state": "dancing" } }));
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    pass(&world, 30);
    let run = poll(&world);
    assert!(run["details"]["unknown_states"]["dancing"].is_array(), "{run}");
    assert_eq!(text(&world, "SELECT raw_state || ' ' || status FROM attendee_bots"), "dancing dancing");
    pass(&world, 60);
    poll(&world);
    assert_eq!(text(&world, "SELECT bot_status FROM meetings"), "completed");
}

#[test]
fn a_transcript_that_never_comes_is_given_up_after_a_day_with_what_was_heard() {
    let world = world();
    world.sim.admin("attendee/script", json!({ "course": { "transcript": "never" } }));
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    pass(&world, 300);
    for _ in 0..2 {
        poll(&world);
        assert_eq!(text(&world, "SELECT state FROM attendee_bots"), "ended");
    }
    world.execute("UPDATE attendee_bots SET ended_at = now() - interval '25 hours'");
    poll(&world);
    assert_eq!(text(&world, "SELECT state FROM attendee_bots"), "settled");
    assert_eq!(world.count("SELECT count(*) FROM documents WHERE kind = 'transcript'"), 1);
}

#[test]
fn a_notification_of_attendee_makes_its_project_due_and_the_drain_polls_it() {
    let mut world = world();
    let secret = data_encoding::BASE64.encode(b"a secret of theirs");
    world.sim.admin("attendee/projects", json!({ "name": "main", "key": "key-of-main", "secret": secret }));
    world.set("SYNCCTL_WEBHOOK_ATTENDEE_SECRET", secret);
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    poll(&world);
    let server = crate::webhook::server::Server::start(&world, &[]);
    world.sim.admin("attendee/webhooks", json!({ "project": "main", "url": format!("http://{}/attendee", server.address) }));
    pass(&world, 30);
    let told = "SELECT count(*) FROM notifications WHERE source = 'attendee' AND stream_id IS NOT NULL";
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while world.count(told) == 0 {
        assert!(std::time::Instant::now() < until, "no notification came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let drained = world.syncctl(&["webhook", "drain", "--json"]).expect(0).json();
    assert_eq!(drained["runs"][0]["job"], "attendee drain", "{drained}");
    assert_eq!(text(&world, "SELECT bot_status FROM meetings"), "transcribing");
    assert!(server.stop().success());
}
