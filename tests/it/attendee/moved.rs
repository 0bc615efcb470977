//! Meetings that move or are cancelled when their bots are already on the way.

use crate::support::World;

const USER: &str = "user00000@example.com";

#[test]
fn a_bot_that_can_no_longer_be_removed_is_followed_to_its_end() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(54);
    assert_eq!(world.only_bot(&link)["state"], "staged");
    world.sim.delete_event(USER, "standup");
    for _ in 0..2 {
        world.schedule().expect(0);
        world.poll_bots().expect(0);
    }
    world.pass(60);
    world.schedule().expect(0);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    assert_eq!(world.only_bot(&link)["state"], "ended");
    let meeting = world.meeting();
    assert_eq!([meeting.bot_status, meeting.event_status], ["completed", "cancelled"]);
    assert_eq!(world.unsettled_bots(), 0);
}

#[test]
fn a_meeting_that_moves_when_its_bot_is_on_the_way_gets_one_for_its_new_time() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(54);
    world.meet(USER, "standup", 180);
    for _ in 0..3 {
        world.schedule().expect(0);
        world.poll_bots().expect(0);
    }
    let bots: Vec<_> = world.bots().into_iter().filter(|bot| bot["meeting_url"] == link).collect();
    assert_eq!(bots.len(), 2, "one on the way, and one for the new time: {bots:#?}");
    assert_eq!((&bots[0]["state"], &bots[1]["state"]), (&"staged".into(), &"scheduled".into()));
    let shown = world.meeting().bot_id;
    assert!(bots.iter().any(|bot| bot["id"] == shown));
}

#[test]
fn a_user_who_disables_bots_or_is_removed_has_no_bots_left() {
    let world = World::with_attendee(2);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let links: Vec<String> = users.iter().map(|user| world.meet(user, &user[..9], 60)).collect();
    world.schedule().expect(0);
    world.syncctl(&["attendee", "disable", &users[0]]).expect(0);
    world.syncctl(&["accounts", "remove", &users[1], "--yes"]).expect(0);
    world.syncctl(&["attendee", "schedule"]).expect(0);
    for link in links {
        assert_eq!(world.only_bot(&link)["deleted"], true);
    }
}

/// Number of bots that were not removed.
fn live_bots(world: &World, link: &str) -> usize {
    world.bots().iter().filter(|bot| bot["meeting_url"] == link && bot["deleted"] == false).count()
}

#[test]
fn a_user_whose_calendar_is_switched_off_gets_no_bots_until_it_is_switched_on() {
    let world = World::with_attendee(2);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let soon = world.meet(&users[0], "soon", 60);
    let shared = world.meet_all(&[&users[0], &users[1]], "shared", 60);
    world.schedule().expect(0);
    // Stored, and without a bot so far.
    let later = world.meet(&users[0], "later", 120);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.syncctl(&["accounts", "set", &users[0], "calendar=off"]).expect(0);
    for _ in 0..2 {
        world.syncctl(&["attendee", "schedule"]).expect(0);
        assert_eq!([&soon, &later, &shared].map(|link| live_bots(&world, link)), [0, 0, 1]);
    }
    let transcripts = format!(
        "attendee_bot_meetings bm JOIN users u ON u.id = bm.user_id JOIN attendee_bots b ON b.id = bm.bot
        WHERE u.email = '{}' AND b.state = 'open'",
        users[0]
    );
    assert_eq!(world.rows(&transcripts), 0, "the shared meeting's bot is no longer for this user");
    world.syncctl(&["accounts", "set", &users[0], "calendar=on"]).expect(0);
    world.schedule().expect(0);
    assert_eq!([&soon, &later, &shared].map(|link| live_bots(&world, link)), [1, 1, 1]);
    assert_eq!(world.rows(&transcripts), 3);
}

#[test]
fn a_meeting_that_is_moved_to_another_day_and_back_keeps_one_bot() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 180);
    world.schedule().expect(0);
    for minutes in [600, 180, 240, 180] {
        world.meet(USER, "standup", minutes);
        world.schedule().expect(0);
        world.poll_bots().expect(0);
        world.assert_in_step();
    }
    world.only_bot(&link);
}

#[test]
fn one_meeting_in_the_calendars_of_two_users_has_one_bot_and_two_documents() {
    let world = World::with_attendee(2);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let both = [users[0].as_str(), users[1].as_str()];
    world.meet_all(&both, "shared", 60);
    world.schedule().expect(0);
    let link = crate::support::attendee::link("shared");
    world.only_bot(&link);
    world.pass(180);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
    assert_eq!(world.count("SELECT count(DISTINCT user_id) FROM documents WHERE source = 'attendee'"), 2);
    // One of them declines a later one: the other still has a bot.
    world.meet_all(&both, "later", 60);
    world.schedule().expect(0);
    world.sim.delete_event(&users[0], "later");
    world.schedule().expect(0);
    assert_eq!(world.only_bot(&crate::support::attendee::link("later"))["deleted"], false);
    world.sim.delete_event(&users[1], "later");
    world.schedule().expect(0);
    assert_eq!(world.only_bot(&crate::support::attendee::link("later"))["deleted"], true);
}

#[test]
fn a_meeting_that_begins_in_a_minute_gets_its_bot_at_once() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "now", 1);
    world.schedule().expect(0);
    assert_eq!(world.only_bot(&link)["deleted"], false);
    world.pass(60);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
}
