//! Which meetings get bots, and how bots follow changes of the meetings.

use chrono::{DateTime, Duration, Utc};
use serde_json::json;

use super::ground::{ANN, BOB, LINK, ahead, bots, cancel, counts, event, invitation, pass, poll, put, schedule, stamp, world};
use crate::support::World;

#[test]
fn a_moved_meeting_takes_its_bot_along_and_a_cancelled_one_gives_it_back() {
    let world = world();
    put(&world, ANN, event("standup", ahead(60), json!({})));
    schedule(&world);
    let later = ahead(120);
    put(&world, ANN, event("standup", later, json!({ "hangoutLink": "https://meet.google.com/xyz-wxyz-xyz" })));
    assert_eq!(counts(&schedule(&world)), [0, 1, 0, 0]);
    let all = bots(&world);
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0]["join_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok()),
        Some(later - Duration::minutes(2)),
        "{all:?}"
    );
    assert!(all[0]["meeting_url"].as_str().is_some_and(|url| url.contains("xyz-wxyz-xyz")), "{all:?}");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 1]);
    cancel(&world, ANN, "standup");
    assert_eq!(world.meeting().event_status, "cancelled", "a meeting with a bot is kept");
    assert_eq!(counts(&schedule(&world)), [0, 0, 1, 0]);
    assert_eq!(bots(&world)[0]["deleted"], true);
    assert_eq!(world.meeting().bot_status, "none");
    // It is restored, and so is its bot.
    put(&world, ANN, event("standup", later, json!({})));
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(bots(&world).iter().filter(|bot| bot["deleted"] == false).count(), 1);
}

#[test]
fn a_bot_in_the_meeting_stays_when_the_meeting_is_cancelled() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    pass(&world, 25);
    // Not polled since: the bot's stored state is still scheduled.
    cancel(&world, ANN, "standup");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 1]);
    poll(&world);
    assert_eq!(bots(&world)[0]["deleted"], false);
    let meeting = world.meeting();
    assert_eq!([meeting.bot_status, meeting.event_status], ["transcribing", "cancelled"]);
}

#[test]
fn a_staged_bot_that_attendee_does_not_take_back_is_shown_as_refused() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    // It joins two minutes before the meeting, and is staged five minutes before that.
    pass(&world, 15);
    assert_eq!(bots(&world)[0]["state"], "staged");
    cancel(&world, ANN, "standup");
    let run = schedule(&world);
    assert_eq!(counts(&run), [0, 0, 0, 1]);
    let meetings = &run["details"]["meetings"];
    assert_eq!((&meetings[0]["action"], meetings.as_array().map(Vec::len)), (&json!("refused"), Some(1)), "{run}");
    let why = meetings[0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("does not remove it: it is staged, joins within five minutes"), "{why}");
    assert_eq!(world.meeting().bot_reason, why);
    // It is followed like any other.
    pass(&world, 80);
    poll(&world);
    assert_eq!(world.rows("documents WHERE kind = 'transcript'"), 1);
}

#[test]
fn a_meeting_of_two_users_has_one_bot_and_each_gets_the_transcript() {
    let world = world();
    world.syncctl(&["attendee", "enable", BOB]).expect(0);
    let start = ahead(20);
    for (nth, user) in [ANN, BOB].into_iter().enumerate() {
        let mut more = invitation(ANN, &[ANN, BOB]);
        more["hangoutLink"] = json!(format!("{LINK}?authuser={nth}"));
        put(&world, user, event("standup", start, more));
    }
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    pass(&world, 80);
    poll(&world);
    assert_eq!(bots(&world).len(), 1);
    assert_eq!(world.count("SELECT count(DISTINCT user_id) FROM documents WHERE kind = 'transcript'"), 2);
    assert_eq!(world.rows("meetings WHERE bot_status = 'completed' AND transcript_id IS NOT NULL"), 2);
    assert_eq!(world.outbox_events(), 2);
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
fn a_virtual_address_among_the_attendees_requests_a_bot_and_one_without_a_user_does_not() {
    let world = world();
    world.set_username("bob@example.com", "bob");
    world.syncctl(&["attendee", "disable", ANN]).expect(0);
    let invited = |address: &str| json!({ "attendees": [{ "email": ANN }, { "email": address }], "hangoutLink": format!("https://meet.google.com/{}", &address[3..6]) });
    put(&world, ANN, event("a", ahead(20), invited("AI+Bob@example.com")));
    put(&world, ANN, event("b", ahead(25), invited("ai+nobody@example.com")));
    put(&world, ANN, event("c", ahead(30), json!({})));
    let dry = world.syncctl(&["attendee", "schedule", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("Meeting a (wanted by address)") && dry.contains("matches no user"), "{dry}");
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    pass(&world, 80);
    poll(&world);
    assert_eq!(world.text("SELECT u.email FROM documents d JOIN users u ON u.id = d.user_id"), BOB);
}

#[test]
fn a_virtual_address_brings_a_bot_if_its_users_calendar_is_off_and_none_if_the_inviting_one_is() {
    let world = world();
    world.set_username("bob@example.com", "bob");
    world.syncctl(&["attendee", "disable", ANN]).expect(0);
    put(&world, ANN, event("a", ahead(20), json!({ "attendees": [{ "email": ANN }, { "email": "ai+bob@example.com" }] })));
    world.syncctl(&["accounts", "set", BOB, "calendar=off"]).expect(0);
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    world.syncctl(&["accounts", "set", ANN, "calendar=off"]).expect(0);
    assert_eq!(counts(&schedule(&world)), [0, 0, 1, 0]);
}

/// The state left by a process that dies during a call that takes effect.
fn killed_during(world: &World, method: &str) {
    world.sim.fault(json!({ "fault": "stall_answer", "at_call": 1, "times": 1, "method": method }));
    let mut child = world.spawn(&["attendee", "schedule"]);
    world.wait_for_stall();
    child.kill().expect("killing the run");
    child.wait().expect("the run ends");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    world.wait_until_leases_lapse();
}

fn alive(world: &World) -> usize {
    bots(world).iter().filter(|bot| bot["deleted"] == false).count()
}

#[test]
fn a_run_that_dies_between_the_call_and_the_commit_leaves_no_second_bot_and_no_orphan() {
    let mut world = world();
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    let start = ahead(60);
    put(&world, ANN, event("standup", start, json!({})));
    killed_during(&world, "bots.create");
    assert_eq!(world.rows("attendee_bots WHERE state = 'creating' AND bot_id IS NULL"), 1);
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(bots(&world).len(), 1);
    // The meeting is cancelled, and the run that removes the bot dies; then the meeting takes place after all.
    cancel(&world, ANN, "standup");
    killed_during(&world, "bots.delete");
    put(&world, ANN, event("standup", start, json!({})));
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(alive(&world), 1);
    // Cancelled after a run that died while requesting: the unknown bot is found and removed.
    put(&world, ANN, event("review", ahead(90), json!({})));
    killed_during(&world, "bots.create");
    assert_eq!(alive(&world), 2);
    cancel(&world, ANN, "review");
    assert_eq!(counts(&schedule(&world)), [0, 0, 1, 1]);
    assert_eq!(alive(&world), 1);
}

#[test]
fn an_answer_that_was_lost_is_found_again_by_the_key() {
    let world = world();
    put(&world, ANN, event("standup", ahead(60), json!({})));
    world.sim.fault(json!({ "fault": "answer_lost", "at_call": 1, "times": 1, "method": "bots.create" }));
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
    assert_eq!(bots(&world).len(), 1);
    assert_eq!(world.rows("meetings WHERE bot_status = 'bot_scheduled'"), 1);
}

#[test]
fn a_bot_that_is_taken_back_says_why() {
    let mut world = world();
    world.set("SYNCCTL_ATTENDEE_WINDOW", "2days");
    let link = |n: u8| json!({ "hangoutLink": format!("https://meet.google.com/aaa-bbbb-cc{}", char::from(b'a' + n)) });
    for n in 0..3_u8 {
        put(&world, ANN, event(&format!("m{n}"), ahead(60 + i64::from(n)), link(n)));
    }
    schedule(&world);
    put(&world, ANN, event("m0", ahead(10 * 24 * 60), link(0)));
    cancel(&world, ANN, "m1");
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    let dry = world.syncctl(&["attendee", "schedule", "--dry-run", "--json"]).expect(0).json();
    let whys = |run: &serde_json::Value| {
        let meetings = run["details"]["meetings"].as_array().expect("meetings").clone();
        let mut whys: Vec<String> = meetings
            .iter()
            .filter(|one| one["action"] == "remove")
            .map(|one| one["why"].as_str().unwrap_or_default().to_owned())
            .collect();
        whys.sort();
        whys
    };
    let beyond = format!("the meeting moved to {}, beyond attendee.window", ahead(10 * 24 * 60).format("%F %R UTC"));
    for run in [&dry, &schedule(&world)] {
        let whys = whys(run);
        assert_eq!(whys.len(), 2, "{run}");
        assert_eq!(whys[0], "it is no longer wanted", "{run}");
        assert!(whys[1].starts_with(&beyond), "{run}");
    }
}
