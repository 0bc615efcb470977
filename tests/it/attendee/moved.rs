//! Meetings that move or are cancelled when their bots are on the way already.

use crate::support::World;

const USER: &str = "user00000@example.com";

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
    for user in &users {
        world.meet(user, "shared", 60);
    }
    world.schedule().expect(0);
    let link = crate::support::attendee::link("shared");
    world.only_bot(&link);
    world.pass(180);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
    assert_eq!(world.count("SELECT count(DISTINCT user_id) FROM documents WHERE source = 'attendee'"), 2);
    // One of them drops out of a later one: the other still wants it.
    for user in &users {
        world.meet(user, "later", 60);
    }
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
