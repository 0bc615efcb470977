//! Bots at a stranger's cost: unaccepted invitations, endless series, and links that imitate a provider's.

use std::sync::LazyLock;

use chrono::{DateTime, Duration, NaiveTime, Utc};
use serde_json::{Value, json};

use crate::bots::ground::{ANN, ahead, bots, counts, event, invitation, put, schedule, stamp, world};
use crate::support::World;

/// The first instant of a day that is still ahead when the tests end, even if they run over midnight.
fn day() -> DateTime<Utc> {
    static DAY: LazyLock<DateTime<Utc>> =
        LazyLock::new(|| (Utc::now().date_naive() + Duration::days(2)).and_time(NaiveTime::MIN).and_utc());
    *DAY
}

/// A series of each full hour of that day, in UTC.
fn hourly(id: &str, link: &str, more: Value) -> Value {
    let mut series = event(id, day(), more);
    series["recurrence"] = json!(["RRULE:FREQ=HOURLY;COUNT=24"]);
    series["hangoutLink"] = json!(format!("https://meet.google.com/{link}-bcde-fgh"));
    series
}

fn all_of_that_day() -> World {
    let mut world = world();
    world.set("SYNCCTL_ATTENDEE_WINDOW", "3days");
    world
}

#[test]
fn unaccepted_invitations_of_strangers_get_no_bots() {
    let world = all_of_that_day();
    let by = |organizer: &str, response: &str| {
        let mut more = invitation(organizer, &[organizer, ANN]);
        more["attendees"][1]["responseStatus"] = json!(response);
        more
    };
    for (nth, response) in
        ["needsAction", "tentative", "needsAction", "needsAction", "tentative", "needsAction"].iter().enumerate()
    {
        put(
            &world,
            ANN,
            hourly(&format!("s{nth}"), &format!("aa{}", char::from(b'a' + nth as u8)), by("eve@evil.example", response)),
        );
    }
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 0]);
    assert!(bots(&world).is_empty());
    let why = world.text("SELECT DISTINCT bot_reason FROM meetings");
    assert!(why.contains("has not accepted the invitation"), "{why}");
    // A colleague's counts immediately; a stranger's when it is accepted.
    put(&world, ANN, event("colleague", ahead(30), by("carl@example.com", "needsAction")));
    put(&world, ANN, event("partner", ahead(40), by("eve@evil.example", "accepted")));
    assert_eq!(counts(&schedule(&world)), [2, 0, 0, 0]);
}

#[test]
fn a_virtual_address_invited_by_a_stranger_counts_once_a_user_has_accepted() {
    let world = world();
    world.syncctl(&["attendee", "disable", ANN]).expect(0);
    let mut more = invitation("eve@evil.example", &[ANN, "ai+bob@example.com"]);
    for (response, made) in [("needsAction", 0), ("accepted", 1)] {
        more["attendees"][0]["responseStatus"] = json!(response);
        put(&world, ANN, event("talk", ahead(30), more.clone()));
        assert_eq!(counts(&schedule(&world)), [made, 0, 0, 0], "{response}");
    }
}

#[test]
fn users_of_configured_domains_are_no_strangers_and_those_of_public_domains_are() {
    let mut world = world();
    world.execute("UPDATE users SET email = 'bob@gmail.com' WHERE email = 'bob@example.com'");
    let by = |organizer: &str| json!({ "organizer": { "email": organizer }, "attendees": [{ "email": ANN, "responseStatus": "needsAction" }] });
    put(&world, ANN, event("a", ahead(30), by("eve@gmail.com")));
    put(&world, ANN, event("b", ahead(40), by("eve@Partner.example")));
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 0]);
    world.set("SYNCCTL_GMAIL_DOMAINS", "example.com,partner.example");
    assert_eq!(counts(&schedule(&world)), [1, 0, 0, 0]);
}

#[test]
fn a_series_a_user_and_a_project_have_only_so_many_bots_a_day() {
    let mut world = all_of_that_day();
    put(&world, ANN, hourly("one", "aaa", json!({})));
    let run = world.syncctl(&["attendee", "schedule", "--json"]).expect(0);
    assert_eq!(counts(&run.json()), [10, 0, 0, 0]);
    assert!(run.stderr.contains("its day already has 10 bots (attendee.series_bots_per_day)"), "{}", run.stderr);
    // Those that begin first have theirs.
    let first = stamp(day() - Duration::minutes(2));
    assert!(bots(&world).iter().any(|bot| bot["join_at"] == json!(first)), "{first}");
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 10]);
    world.set("SYNCCTL_ATTENDEE_SERIES_BOTS_PER_DAY", "100");
    put(&world, ANN, hourly("two", "aab", json!({})));
    let run = world.syncctl(&["attendee", "schedule", "--json"]).expect(0);
    assert_eq!(counts(&run.json()), [20, 0, 0, 10], "thirty in all");
    assert!(run.stderr.contains("its day already has 30 bots (attendee.bots_per_day)"), "{}", run.stderr);
    world.set("SYNCCTL_ATTENDEE_BOTS_PER_DAY", "100");
    world.set("SYNCCTL_ATTENDEE_PROJECT_BOTS_PER_DAY", "35");
    let run = world.syncctl(&["attendee", "schedule", "--json"]).expect(0);
    assert_eq!(counts(&run.json()), [5, 0, 0, 30]);
    assert!(run.stderr.contains("its day already has 35 bots (attendee.project_bots_per_day)"), "{}", run.stderr);
    // Cancelling one frees its place.
    world.sim.delete_event(ANN, "one");
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    let [created, _, deleted, kept] = counts(&schedule(&world));
    assert_eq!((created + kept, deleted + kept), (24, 35));
}

#[test]
fn a_host_that_only_looks_like_a_providers_is_not_accepted() {
    let world = world();
    for (nth, link) in (0..).zip([
        "https://zoom.169.254.169.254.nip.io/j/81234567890",
        "https://zoom.us.evil.example/j/81234567890",
        "https://zoom.us@evil.example/j/81234567890",
        "https://meet.google.com.evil.example/abc-defg-hij",
        "https://teams.microsoft.com.evil.example/l/meetup-join/x/0?context=y",
    ]) {
        put(&world, ANN, event(&format!("e{nth}"), ahead(30 + nth), json!({ "hangoutLink": null, "location": link })));
    }
    assert_eq!(counts(&schedule(&world)), [0, 0, 0, 0]);
    assert_eq!(world.rows("meetings WHERE link_kind IN ('zoom', 'google_meet', 'teams') OR bot_capable"), 0);
}
