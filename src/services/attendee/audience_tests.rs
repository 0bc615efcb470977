//! Tests of who shares a bot, without I/O.

use std::sync::Arc;

use chrono::DateTime;

use super::super::plan::{Event, Part};
use super::*;

/// An occurrence in the calendar of a user (`ann`), from a copy of an event with these guests.
fn copy(user: &str, event: &str, guests: &[&str]) -> Occurrence {
    let address = |name: &&str| format!("{name}@example.com");
    let of = |text: &str| Uuid::from_u128(text.bytes().fold(0, |number, byte| number << 8 | u128::from(byte)));
    Occurrence {
        user: of(user),
        event: Event { stream: 1, id: event.into(), original_start: DateTime::UNIX_EPOCH },
        meeting: of(event),
        shown_by: event.into(),
        title: Some(format!("{event} of {user}")),
        link: "https://meet.google.com/abc-defg-hij".into(),
        room: "meet.google.com/abc-defg-hij".into(),
        start: DateTime::UNIX_EPOCH,
        end: DateTime::UNIX_EPOCH,
        wanted_by: "setting",
        project: None,
        part: Part {
            identity: identity(event, "org@example.org"),
            goes_by: vec![address(&user)],
            guests: Arc::new(guests.iter().map(address).collect()),
            is_decided: false,
            is_sure: true,
        },
        audience: String::new(),
    }
}

/// Like `copy`, but from the organizer's own copy.
fn decided(user: &str, event: &str, guests: &[&str]) -> Occurrence {
    let mut one = copy(user, event, guests);
    one.part.is_decided = true;
    one
}

/// The indexes of the occurrences that share each bot.
fn circles(mut all: Vec<Occurrence>) -> Vec<Vec<usize>> {
    assign(&mut all);
    let mut circles: Vec<Vec<usize>> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        match circles.iter_mut().find(|circle| all[circle[0]].audience == one.audience) {
            Some(circle) => circle.push(index),
            None => circles.push(vec![index]),
        }
    }
    circles
}

#[test]
fn only_users_in_the_organizers_guest_list_share_a_bot() {
    let list = ["ann", "bob"];
    let all = ["ann", "eve", "bob"].map(|user| decided(user, "talk", &list));
    assert_eq!(circles(all.into()), [vec![0, 2], vec![1]]);
}

#[test]
fn without_the_organizers_copy_two_users_share_if_each_lists_the_other() {
    let all =
        vec![copy("ann", "talk", &["ann", "bob"]), copy("bob", "talk", &["ann", "bob"]), copy("eve", "talk", &["ann", "eve"])];
    assert_eq!(circles(all), [vec![0, 1], vec![2]]);
    // A user whom all others list, but who is not in their own copy, stays alone.
    let all = vec![copy("ann", "talk", &["ann", "bob"]), copy("bob", "talk", &["ann"])];
    assert_eq!(circles(all), [vec![0], vec![1]]);
    // Guests who are added later appear in some copies before others.
    let all = vec![
        copy("ann", "talk", &["ann", "bob"]),
        copy("bob", "talk", &["ann", "bob", "cid"]),
        copy("cid", "talk", &["ann", "bob", "cid"]),
    ];
    assert_eq!(circles(all), [vec![0, 1, 2]]);
}

#[test]
fn another_event_in_the_same_room_at_the_same_time_is_another_meeting() {
    let everybody = ["ann", "eve"];
    assert_eq!(circles(vec![copy("ann", "talk", &everybody), copy("eve", "private", &everybody)]), [vec![0], vec![1]]);
    let mut forged = copy("eve", "talk", &everybody);
    forged.part.identity = identity("talk", "eve@example.com");
    assert_eq!(circles(vec![copy("ann", "talk", &everybody), forged]), [vec![0], vec![1]], "another organizer");
}

#[test]
fn a_user_with_two_events_in_one_room_has_one_bot_by_the_one_that_was_accepted() {
    let talk = copy("ann", "talk", &["ann", "bob"]);
    let mut trap = copy("ann", "trap", &["ann", "eve", "cid"]);
    trap.part.is_sure = false;
    let guests = ["ann", "eve", "cid"];
    let mut all =
        vec![trap, copy("eve", "trap", &guests), copy("cid", "trap", &guests), talk, copy("bob", "talk", &["ann", "bob"])];
    assert_eq!(circles(all.clone()), [vec![0, 3, 4], vec![1, 2]]);
    assign(&mut all);
    assert_eq!(all[0].title.as_deref(), Some("talk of ann"), "the meeting shows the title of the event that the bot is for");
}
