//! Tests of plans, without I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::plan::{Event, Part, dedup_key};
use super::*;
use crate::config;
use crate::links::room;

const LINK: &str = "https://meet.google.com/abc-defg-hij?authuser=0";

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::Duration::days(10_000) + chrono::Duration::minutes(minute)
}

fn projects() -> Projects {
    Projects { by_name: HashMap::from([("main".into(), id(1)), ("other".into(), id(2))]), default: Some(id(1)) }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn occurrence(user: u128, event: &str, start: DateTime<Utc>) -> Occurrence {
    Occurrence {
        user: id(user),
        event: Event { stream: user as i64, id: event.into(), original_start: DateTime::UNIX_EPOCH },
        meeting: id(100 + user),
        shown_by: event.into(),
        title: Some("Standup".into()),
        link: LINK.into(),
        room: room(LINK),
        start,
        end: start + chrono::Duration::minutes(30),
        wanted_by: "setting",
        project: None,
        part: part(user, event),
        audience: String::new(),
    }
}

/// Every user is invited to every event, and the organizer is not a user.
fn part(user: u128, event: &str) -> Part {
    let everybody = (0..10).map(|user| format!("{user}@example.com")).collect();
    Part {
        identity: audience::identity(event, "eve@example.org"),
        goes_by: vec![format!("{user}@example.com")],
        guests: Arc::new(everybody),
        is_decided: false,
        is_sure: true,
    }
}

fn audience_of(all: &[&Occurrence]) -> Option<String> {
    let mut all: Vec<Occurrence> = all.iter().map(|one| (*one).clone()).collect();
    audience::assign(&mut all);
    all.first().map(|one| one.audience.clone())
}

fn known(start: DateTime<Utc>, state: BotState, raw_state: &str, events: &[&Occurrence]) -> ExistingBot {
    ExistingBot {
        id: id(50),
        project: id(1),
        dedup_key: dedup_key(&room(LINK), start, "x", 0),
        state,
        room: room(LINK),
        start,
        title: None,
        bot_id: Some("bot_1".into()),
        raw_state: Some(raw_state.into()),
        refused_until: None,
        audience: audience_of(events),
        links: events.iter().map(|one| (one.user, one.event.clone())).collect(),
    }
}

fn plan_steps(occurrences: Vec<Occurrence>, known: Vec<ExistingBot>) -> Vec<Step> {
    plan(occurrences, known, &projects(), Bounds::from(&config::Attendee::default()), at(0)).0
}

#[test]
fn the_same_meeting_in_two_calendars_gets_one_bot_for_both() {
    let mut guest = occurrence(2, "a", at(60));
    guest.link = "https://meet.google.com/abc-defg-hij".into();
    guest.room = room(&guest.link);
    let steps = plan_steps(vec![occurrence(1, "a", at(60)), guest], vec![]);
    assert!(matches!(steps.as_slice(), [Step::Create(meeting)] if meeting.occurrences.len() == 2), "{steps:?}");
}

#[test]
fn one_room_at_two_times_gets_two_bots() {
    assert_eq!(plan_steps(vec![occurrence(1, "a", at(60)), occurrence(1, "b", at(90))], vec![]).len(), 2);
}

#[test]
fn existing_bots_are_kept_in_any_state() {
    let one = occurrence(1, "a", at(60));
    for (state, raw) in [
        (BotState::Creating, ""),
        (BotState::Open, "scheduled"),
        (BotState::Open, "joined_recording"),
        (BotState::Ended, "ended"),
        (BotState::Settled, "ended"),
    ] {
        let steps = plan_steps(vec![one.clone()], vec![known(at(60), state, raw, &[&one])]);
        assert!(matches!(steps.as_slice(), [Step::Keep(..)]), "{state}: {steps:?}");
    }
}

#[test]
fn a_moved_meeting_keeps_its_bot_until_the_bot_has_joined() {
    let moved = occurrence(1, "a", at(120));
    let before = known(at(60), BotState::Open, "scheduled", &[&moved]);
    assert!(matches!(plan_steps(vec![moved.clone()], vec![before.clone()]).as_slice(), [Step::Keep(bot, meeting)]
        if bot.start == at(60) && meeting.start == at(120)));
    let at_work = ExistingBot { raw_state: Some("joined_recording".into()), ..before };
    assert!(matches!(plan_steps(vec![moved], vec![at_work]).as_slice(), [Step::Create(_)]));
}

#[test]
fn two_meetings_that_swap_times_keep_one_bot_each() {
    let (a, b) = (occurrence(1, "a", at(120)), occurrence(1, "b", at(60)));
    let bots = vec![known(at(60), BotState::Open, "scheduled", &[&a]), known(at(120), BotState::Open, "scheduled", &[&b])];
    assert!(
        plan_steps(vec![a, b], bots).iter().all(|step| matches!(step, Step::Keep(bot, meeting) if bot.start == meeting.start))
    );
}

#[test]
fn unwanted_bots_are_removed_unless_they_have_joined() {
    let one = occurrence(1, "a", at(60));
    assert!(matches!(
        plan_steps(vec![], vec![known(at(60), BotState::Open, "scheduled", &[&one])]).as_slice(),
        [Step::Remove(_, Why::Unwanted)]
    ));
    assert!(matches!(
        plan_steps(vec![], vec![known(at(60), BotState::Creating, "", &[&one])]).as_slice(),
        [Step::Remove(_, Why::Unwanted)]
    ));
    for (state, raw) in [
        (BotState::Open, "joined_recording"),
        (BotState::Open, "joining"),
        (BotState::Open, "dancing"),
        (BotState::Ended, "ended"),
        (BotState::Settled, "ended"),
    ] {
        assert!(plan_steps(vec![], vec![known(at(60), state, raw, &[&one])]).is_empty(), "{raw}");
    }
    // Its join time has passed: the next poll will see it joining.
    assert!(plan_steps(vec![], vec![known(at(-1), BotState::Open, "scheduled", &[&one])]).is_empty());
}

#[test]
fn the_named_project_is_used_and_a_missing_one_is_reported() {
    let named = Occurrence { project: Some("other".into()), ..occurrence(2, "a", at(60)) };
    assert!(
        matches!(plan_steps(vec![occurrence(1, "a", at(60)), named], vec![]).as_slice(), [Step::Create(meeting)] if meeting.project == id(2))
    );
    let nowhere = Occurrence { project: Some("gone".into()), ..occurrence(1, "a", at(60)) };
    let (steps, homeless) = plan(vec![nowhere], vec![], &projects(), Bounds::from(&config::Attendee::default()), at(0));
    assert!(steps.is_empty());
    assert!(homeless[0].why.contains("gone"), "{homeless:?}");
}

#[test]
fn rooms_are_identified_by_host_and_path() {
    assert_eq!(room("https://Meet.google.com/abc-defg-hij?hs=1#x"), "meet.google.com/abc-defg-hij");
    assert_eq!(room("https://acme.zoom.us/j/42?pwd=x"), room("http://acme.zoom.us/j/42/"));
    assert_ne!(room("https://acme.zoom.us/j/42"), room("https://acme.zoom.us/j/43"));
}

#[test]
fn a_key_is_the_same_for_the_same_room_time_and_audience_and_for_no_other() {
    let room = room(LINK);
    assert_eq!(dedup_key(&room, at(0), "x", 0), dedup_key(&room, at(0), "x", 0));
    let keys = BTreeSet::from([
        dedup_key(&room, at(0), "x", 0),
        dedup_key(&room, at(1), "x", 0),
        dedup_key("x", at(0), "x", 0),
        dedup_key(&room, at(0), "y", 0),
        dedup_key(&room, at(0), "x", 1),
    ]);
    assert_eq!(keys.len(), 5);
}

#[test]
fn a_running_bot_is_reassigned_only_within_its_audience() {
    let (ann, bob, eve) = (occurrence(1, "a", at(60)), occurrence(2, "a", at(60)), occurrence(3, "a", at(60)));
    let bot = known(at(60), BotState::Open, "joined_recording", &[&ann, &bob]);
    let kept = |occurrences: Vec<Occurrence>| matches!(plan_steps(occurrences, vec![bot.clone()]).as_slice(), [Step::Keep(..)]);
    assert!(kept(vec![bob.clone()]), "it is still for one of them");
    assert!(kept(vec![occurrence(1, "again", at(60))]), "the event was recreated");
    assert!(kept(vec![ann, eve]), "the event has another guest");
    assert!(
        !kept(vec![occurrence(1, "other", at(60)), occurrence(3, "other", at(60))]),
        "another event, with a user the bot was not for"
    );
    assert!(!kept(vec![occurrence(3, "private", at(60))]), "another user in the same room");
}

#[test]
fn bots_without_a_stored_audience_stay_with_their_users() {
    let (ann, eve) = (occurrence(1, "a", at(60)), occurrence(3, "private", at(60)));
    let bot = ExistingBot { audience: None, ..known(at(60), BotState::Open, "scheduled", &[&ann]) };
    let steps = plan_steps(vec![eve, ann], vec![bot]);
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(steps.iter().any(|step| matches!(step, Step::Keep(_, meeting) if meeting.users() == BTreeSet::from([id(1)]))));
    assert!(steps.iter().any(|step| matches!(step, Step::Create(meeting) if meeting.users() == BTreeSet::from([id(3)]))));
}
