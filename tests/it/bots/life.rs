//! A bot from its schedule to its document.

use chrono::{DateTime, Duration, Utc};
use serde_json::json;

use super::ground::{ANN, ahead, bots, counts, event, pass, poll, put, schedule, world};
use crate::support::waiting::until;

#[test]
fn a_meeting_gets_a_bot_and_the_bot_a_transcript_and_that_a_document() {
    let world = world();
    // Longer than the steps below, so that one of them falls into it.
    world.sim.admin("attendee/script", json!({ "course": { "post_processing_seconds": 240 } }));
    let start = ahead(20);
    put(&world, ANN, event("standup", start, json!({})));
    let dry = world.syncctl(&["attendee", "schedule", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(dry["details"]["meetings"][0]["action"], "create", "{dry}");
    assert!(bots(&world).is_empty(), "a dry run asks for nothing");
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    let made = bots(&world);
    assert_eq!(
        made[0]["join_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok()),
        Some(start - Duration::minutes(2)),
        "{made:?}"
    );
    assert_eq!(world.meeting().bot_status, "bot_scheduled");
    // No calls before the bot joins.
    world.sim.reset_ledger();
    world.syncctl(&["attendee", "cron"]).expect(0);
    assert_eq!(world.sim.ledger()["total"], 0);
    let mut statuses = vec![];
    for _ in 0..30 {
        pass(&world, 3);
        poll(&world);
        statuses.push(world.meeting().bot_status);
    }
    statuses.dedup();
    assert_eq!(statuses, ["bot_scheduled", "transcribing", "post_processing", "completed"]);
    let utterances = world.utterances();
    assert_eq!(utterances as usize, bots(&world)[0]["transcript"].as_array().map_or(0, Vec::len));
    let row = &world.query("SELECT d.kind, d.title, d.body LIKE '%Ann Archer: 0: let us begin%', t.id = m.transcript_id, jsonb_array_length(t.participants), t.duration_ms > 0
        FROM documents d, attendee_transcripts t, meetings m")[0];
    let row: (String, String, bool, bool, i32, bool) = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
    assert_eq!(row, ("transcript".into(), "Meeting standup".into(), true, true, 3, true));
    assert_eq!(world.outbox_events_of("attendee.transcript.created"), 1);
    // A finished bot costs no more calls.
    world.sim.reset_ledger();
    assert_eq!(poll(&world)["idle_streams"], 1);
    assert_eq!(world.sim.ledger()["total"], 0);
    let printed = world.syncctl(&["attendee", "transcript", made[0]["id"].as_str().expect("an id")]).expect(0);
    assert!(printed.stdout.contains("Ben Baker: 1: the customer wants the draft"), "{}", printed.stdout);
}

#[test]
fn utterances_are_stored_while_the_meeting_goes_on() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    pass(&world, 33);
    poll(&world);
    let so_far = world.utterances();
    assert!(so_far > 0 && so_far < 12, "{so_far}");
    assert_eq!(world.documents(), 0);
    let meeting = world.meeting().id;
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
    // The transcript of the failed one is requested too.
    assert_eq!(ledger["by_method"], json!({ "bots.list": 2, "bots.get": 1, "bots.transcript": 1 }), "{ledger}");
    assert_eq!(world.rows("meetings WHERE bot_status = 'failed'"), 1);
    assert_eq!(world.count("SELECT total_meetings::int8 FROM attendee_cron_results ORDER BY start_time DESC LIMIT 1"), 30);
}

#[test]
fn an_unknown_state_is_stored_unchanged_and_reported() {
    let world = world();
    world.sim.admin("attendee/script", json!({ "course": { "state": "dancing" } }));
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    pass(&world, 30);
    let run = poll(&world);
    assert!(run["details"]["unknown_states"]["dancing"].is_array(), "{run}");
    let bot = world.bot();
    assert_eq!([bot.raw_state, bot.status], ["dancing", "dancing"]);
    pass(&world, 60);
    poll(&world);
    assert_eq!(world.meeting().bot_status, "completed");
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
        assert_eq!(world.bot().state, "ended");
    }
    world.execute("UPDATE attendee_bots SET ended_at = now() - interval '25 hours'");
    poll(&world);
    assert_eq!(world.bot().state, "settled");
    assert_eq!(world.rows("documents WHERE kind = 'transcript'"), 1);
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
    let notifications = "notifications WHERE source = 'attendee' AND stream_id IS NOT NULL";
    until("a notification comes", || world.rows(notifications) > 0);
    let drained = world.syncctl(&["webhook", "drain", "--json"]).expect(0).json();
    assert_eq!(drained["runs"][0]["job"], "attendee drain", "{drained}");
    // Each change of the bot's state is announced when it happens: the first notification may come before the last change.
    until("the bot records", || {
        world.syncctl(&["webhook", "drain"]).expect(0);
        world.meeting().bot_status == "transcribing"
    });
    assert!(server.stop().success());
}

#[test]
fn a_bot_that_a_poll_did_not_know_of_is_polled_when_it_joins() {
    let world = world();
    put(&world, ANN, event("standup", ahead(1), json!({})));
    schedule(&world);
    // The state after a poll that began before the bot was requested and ended after.
    world.execute("UPDATE streams SET due_at = now() + interval '1 hour' WHERE service = 'attendee'");
    let run = world.syncctl(&["attendee", "cron", "--json"]).expect(0).json();
    assert_eq!((&run["streams"], &run["api_calls"].as_u64().map(|calls| calls > 0)), (&json!(1), &Some(true)), "{run}");
}

#[test]
fn a_refused_bot_is_reported_and_not_requested_by_every_run() {
    let world = world();
    put(&world, ANN, event("standup", ahead(300), json!({})));
    world.sim.fault(json!({ "fault": "bad_request_400", "probability": 1.0, "method": "bots.create" }));
    let refused = world.syncctl(&["attendee", "schedule", "--json"]).expect(1).json();
    assert!(refused["details"]["meetings"][0]["error"].as_str().is_some_and(|error| error.contains("HTTP 400")), "{refused}");
    // The longer it is refused, the longer the interval.
    world.execute("UPDATE attendee_bots SET created_at = now() - interval '20 minutes'");
    world.syncctl(&["attendee", "schedule"]).expect(1);
    world.sim.reset_ledger();
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 1]);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "bots.list": 1 }), "it is only looked for");
    world.sim.clear_faults();
    world.execute("UPDATE attendee_bots SET look_at = now()");
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(bots(&world).len(), 1);
}
