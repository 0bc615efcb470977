//! Other people's meetings: a user who knows the link and the time, or forges a copy, gets a separate bot, and never hears what another one
//! heard.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use crate::bots::ground::{self, ANN, BOB, ahead, bots, counts, event, invitation, pass, poll, put, schedule, stamp};
use crate::support::World;

const EVE: &str = "eve@example.com";
const OUTSIDE: &str = "host@partner.example";

/// Ann, Bob and Eve have bots enabled.
fn world() -> World {
    let world = ground::world();
    world.sim.admin("users", json!({ "email": EVE }));
    world.import();
    for user in [BOB, EVE] {
        world.syncctl(&["attendee", "enable", user]).expect(0);
    }
    world
}

/// A meeting of Ann and Bob; `organizer` has invited them.
fn talk(world: &World, organizer: &str, start: DateTime<Utc>) {
    for user in [ANN, BOB] {
        put(world, user, event("talk", start, invitation(organizer, &[ANN, BOB])));
    }
}

/// The users of each bot that was not removed, such as `ann bob`, in order.
fn shared(world: &World) -> Vec<String> {
    let rows = world.query(
        "SELECT string_agg(DISTINCT split_part(u.email, '@', 1), ' ' ORDER BY split_part(u.email, '@', 1)) AS who
         FROM attendee_bots b JOIN attendee_bot_meetings bm ON bm.bot = b.id JOIN users u ON u.id = bm.user_id
         WHERE b.state <> 'removed' GROUP BY b.id ORDER BY who",
    );
    rows.iter().map(|row| row.get(0)).collect()
}

/// The meetings take place. Eve has a transcript, but none of a bot whose transcript the other user has.
#[track_caller]
fn assert_eve_has_read_nothing_of(other: &str, world: &World) {
    pass(world, 90);
    poll(world);
    poll(world);
    let read = |of: &str| {
        let bots = |whose: &str| {
            format!(
                "SELECT d.source_id FROM documents d JOIN users u ON u.id = d.user_id WHERE d.kind = 'transcript' AND u.email = '{whose}'"
            )
        };
        world.count(&format!("SELECT count(*) FROM ({} INTERSECT {}) AS both_of_them", bots(EVE), bots(of)))
    };
    assert_eq!((read(EVE), read(other)), (1, 0), "she has what her own bot heard");
}

#[test]
fn a_private_event_with_the_link_and_the_start_of_a_meeting_gets_its_own_bot() {
    let world = world();
    let start = ahead(20);
    // Hers is stored first.
    put(&world, EVE, event("trap", start, json!({ "summary": "Eve was here" })));
    talk(&world, ANN, start);
    assert_eq!(counts(&schedule(&world)), [2, 0, 0, 0]);
    assert_eq!(shared(&world), ["ann bob", "eve"]);
    assert_eq!(bots(&world).len(), 2, "a participant that everybody sees");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 2]);
    assert_eve_has_read_nothing_of(ANN, &world);
    let titles = "SELECT string_agg(title, ', ' ORDER BY title) FROM documents WHERE kind = 'transcript'";
    assert_eq!(world.text(titles), "Eve was here, Meeting talk, Meeting talk");
}

#[test]
fn a_forged_copy_of_an_invitation_opens_no_transcript() {
    for organizer in [ANN, OUTSIDE] {
        let world = world();
        let start = ahead(20);
        talk(&world, organizer, start);
        let mut forged = event("forged", start, invitation(organizer, &[ANN, BOB, EVE]));
        (forged["iCalUID"], forged["summary"]) = (json!("talk@google.com"), json!("Eve was here"));
        put(&world, EVE, forged);
        assert_eq!(counts(&schedule(&world)), [2, 0, 0, 0], "{organizer}");
        assert_eq!(shared(&world), ["ann bob", "eve"], "{organizer}");
        assert_eq!(counts(&schedule(&world)), [0, 0, 0, 2], "{organizer}");
        assert_eve_has_read_nothing_of(ANN, &world);
        assert_eq!(world.rows("documents WHERE title = 'Meeting talk'"), 2, "{organizer}");
    }
}

#[test]
fn a_guest_of_one_occurrence_shares_the_bot_of_that_one_alone() {
    let mut world = world();
    world.set("SYNCCTL_ATTENDEE_WINDOW", "2days");
    let start = ahead(60);
    let second = start + Duration::days(1);
    let exception = |guests: &[&str], original: DateTime<Utc>| {
        let mut more = invitation(ANN, guests);
        more["recurringEventId"] = json!("daily");
        more["originalStartTime"] = json!({ "dateTime": stamp(original), "timeZone": "UTC" });
        more["iCalUID"] = json!("daily@google.com");
        let id = format!("daily_{}", original.format("%Y%m%dT%H%M%SZ"));
        event(&id, original, more)
    };
    let mut series = invitation(ANN, &[ANN, BOB]);
    series["recurrence"] = json!(["RRULE:FREQ=DAILY;COUNT=2"]);
    for user in [ANN, BOB] {
        put(&world, user, event("daily", start, series.clone()));
        put(&world, user, exception(&[ANN, BOB, EVE], second));
    }
    put(&world, EVE, exception(&[ANN, BOB, EVE], second));
    schedule(&world);
    assert_eq!(shared(&world), ["ann bob", "ann bob eve"]);
    // Only her own calendar says that she was invited to the first one, too.
    put(&world, EVE, exception(&[ANN, BOB, EVE], start));
    schedule(&world);
    assert_eq!(shared(&world), ["ann bob", "ann bob eve", "eve"]);
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 3]);
}

#[test]
fn an_invitation_to_another_event_in_the_same_room_shares_no_existing_bot() {
    let world = world();
    world.syncctl(&["attendee", "disable", EVE]).expect(0);
    let start = ahead(4);
    talk(&world, ANN, start);
    let mut trap = invitation(EVE, &[ANN, EVE]);
    trap["attendees"][0]["responseStatus"] = json!("needsAction");
    for user in [EVE, ANN] {
        put(&world, user, event("trap", start, trap.clone()));
    }
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0], "Ann has one for both, that of the event which she organizes");
    // The bot is in the meeting, and has not been polled since; by the calendars the meeting is over, and Ann is left with Eve in the other
    // event.
    pass(&world, 3);
    for user in [ANN, BOB] {
        ground::cancel(&world, user, "talk");
    }
    world.syncctl(&["attendee", "enable", EVE]).expect(0);
    schedule(&world);
    schedule(&world);
    assert_eq!(shared(&world), ["ann bob", "ann eve"], "{:#?}", bots(&world));
    assert_eve_has_read_nothing_of("bob@example.com", &world);
}

/// Eve overlays Ann's calendar.
fn overlay(world: &World, role: &str, more: Value, start: DateTime<Utc>) {
    world.sim.admin("calendars", json!({ "user": EVE, "id": ANN, "summary": "Ann", "selected": true, "access_role": role }));
    world.sim.admin("events", json!({ "user": EVE, "calendar": ANN, "event": event("talk", start, more) }));
    // First the list, then the calendars it names.
    for _ in 0..2 {
        world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    }
}

#[test]
fn meetings_of_an_overlaid_calendar_are_not_ones_own_unless_one_is_invited() {
    for role in ["reader", "owner"] {
        let mut world = world();
        let start = ahead(20);
        talk(&world, ANN, start);
        overlay(&world, role, invitation(ANN, &[ANN, BOB]), start);
        assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0], "{role}");
        assert_eq!(shared(&world), ["ann bob"], "{role}");
        let why = "SELECT m.bot_reason FROM meetings m JOIN users u ON u.id = m.user_id WHERE u.email = 'eve@example.com'";
        assert!(world.text(why).contains("attendee.overlaid_calendars"), "{}", world.text(why));
        // If bots for overlaid calendars are enabled, the bot is her own.
        world.set("SYNCCTL_ATTENDEE_OVERLAID_CALENDARS", "true");
        assert_eq!(counts(&schedule(&world)), [1, 0, 0, 1], "{role}");
        assert_eq!(shared(&world), ["ann bob", "eve"], "{role}");
        // She is invited.
        let invited = invitation(ANN, &[ANN, BOB, EVE]);
        put(&world, ANN, event("talk", start, invited.clone()));
        overlay(&world, role, invited, start);
        assert_eq!(counts(&schedule(&world)), [0, 0, 1, 1], "{role}");
        assert_eq!(shared(&world), ["ann bob eve"], "{role}");
    }
}

#[test]
fn a_bot_that_an_older_version_shared_stays_with_those_who_take_part() {
    let world = world();
    let start = ahead(60);
    talk(&world, ANN, start);
    schedule(&world);
    put(&world, EVE, event("trap", start, json!({})));
    world.execute(
        "UPDATE attendee_bots SET audience = NULL;
         INSERT INTO attendee_bot_meetings (bot, user_id, stream_id, event_id, original_start, meeting_event_id, wanted_by)
         SELECT b.id, m.user_id, m.stream_id, m.event_id, 'epoch', m.event_id, 'setting' FROM attendee_bots b, meetings m WHERE m.event_id = 'trap'",
    );
    // By the second run at the latest: she must leave the first one before she gets the other.
    schedule(&world);
    schedule(&world);
    assert_eq!(shared(&world), ["ann bob", "eve"]);
    let all = bots(&world);
    assert_eq!(all.iter().filter(|bot| bot["deleted"] == false).count(), 2, "{all:#?}");
    let of_ann = "SELECT m.bot_id FROM meetings m JOIN users u ON u.id = m.user_id WHERE u.email = 'ann@example.com'";
    assert_eq!(all[0]["id"], json!(world.text(of_ann)), "the first one is theirs still");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 2]);
}
