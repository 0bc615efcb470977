//! Questions about time, compared with what `events.list` returns with `singleEvents=true`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, Duration, NaiveDate, SecondsFormat, TimeZone as _, Utc};
use serde_json::{Value, json};

use super::{ANN, BOB, EVE, Question, set, text, time};
use crate::agenda::{ZONE, begins, times};
use crate::instances::{Client, accounts};
use crate::support::World;
use crate::support::sim::field;

const TEAM: &str = "team@group.calendar.google.com";

/// An event as a user's own client shows it.
struct Shown {
    user: String,
    calendar: Value,
    event: Value,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Shown {
    fn is_within(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        self.start < until && (self.end > from || (self.start == self.end && self.start >= from))
    }

    fn attendees(&self) -> impl Iterator<Item = &Value> {
        self.event["attendees"].as_array().into_iter().flatten()
    }

    /// The user's own response; empty for someone who is not invited.
    fn response(&self) -> String {
        self.attendees().find(|one| one["self"] == true).map(|one| text(one, "responseStatus")).unwrap_or_default()
    }

    /// It takes time of its user: in the primary calendar, not shown as free and not declined.
    fn is_busy(&self) -> bool {
        self.calendar["primary"] == true && self.event["transparency"] != "transparent" && self.response() != "declined"
    }

    fn is_all_day(&self) -> bool {
        self.event["start"]["date"].is_string()
    }

    fn title(&self) -> String {
        text(&self.event, "summary")
    }
}

/// What the clients of all users show in a span.
fn shown(world: &World, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Shown> {
    // Google's days begin in the zone of each calendar.
    let client = Client { world, from: from - Duration::days(2), until: until + Duration::days(2) };
    let of = |account: &Value| {
        let user = field(account, "email");
        let events = client.events(account).into_iter();
        let events = events.map(move |(calendar, event)| {
            let (start, end) = times(&calendar, &event);
            Shown { user: user.clone(), calendar, event, start, end }
        });
        events.filter(|event| event.is_within(from, until)).collect::<Vec<_>>()
    };
    accounts(world).iter().flat_map(of).collect()
}

/// The Monday of the week.
fn monday(now: DateTime<Utc>) -> NaiveDate {
    now.with_timezone(&ZONE).date_naive().week(chrono::Weekday::Mon).first_day()
}

/// A local time this many days after a day.
fn at(day: NaiveDate, days: i64, (hour, minute): (u32, u32)) -> DateTime<Utc> {
    let local = (day + Duration::days(days)).and_hms_opt(hour, minute, 0).expect("a time");
    ZONE.from_local_datetime(&local).earliest().expect("a time of the zone").to_utc()
}

/// A span of time in Google's format.
fn span(start: DateTime<Utc>, minutes: i64) -> Value {
    let at =
        |time: DateTime<Utc>| json!({ "dateTime": time.to_rfc3339_opts(SecondsFormat::Secs, true), "timeZone": ZONE.name() });
    json!({ "start": at(start), "end": at(start + Duration::minutes(minutes)) })
}

/// Puts an event with more fields into the calendars of those of its guests who are users, as each of them sees it.
fn meet(world: &World, id: &str, time: Value, guests: &[(&str, &str)], more: Value) {
    for (user, _) in guests.iter().filter(|(guest, _)| [ANN, BOB, EVE].contains(guest)) {
        let seen = |(email, response): &(&str, &str)| json!({ "email": email, "responseStatus": response, "self": email == user, "resource": email.starts_with("room") });
        let mut event =
            json!({ "id": id, "summary": format!("Meeting {id}"), "attendees": guests.iter().map(seen).collect::<Vec<_>>() });
        for fields in [&time, &more] {
            event.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
        }
        world.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }));
    }
}

/// Ann, Bob and Eve with the mix of working calendars, and everything in the weeks around now that a query could count wrongly.
fn office() -> World {
    let world = World::with_users(3, 90);
    let monday = monday(Utc::now());
    let (ann, bob, eve) = ((ANN, "accepted"), (BOB, "accepted"), (EVE, "accepted"));
    let none = json!({});
    for week in 0..4 {
        let id = format!("review{week}");
        meet(
            &world,
            &id,
            span(at(monday, 3 - 7 * week, (14, 0)), 90),
            &[ann, bob, ("carol@customer.example", "tentative")],
            none.clone(),
        );
    }
    let standup = json!({ "recurrence": ["RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE"] });
    meet(&world, "standup", span(at(monday, -14, (9, 15)), 15), &[ann, eve], standup);
    // Two at once, one over the end of a week, one declined, one shown as free, one with a room only, one that takes no time.
    meet(&world, "clash", span(at(monday, -4, (14, 30)), 60), &[ann, eve], none.clone());
    meet(&world, "night", span(at(monday, -1, (23, 30)), 60), &[ann, bob], none.clone());
    meet(&world, "declined", span(at(monday, 1, (11, 0)), 60), &[(ANN, "declined"), bob], none.clone());
    meet(&world, "free", span(at(monday, 1, (12, 0)), 60), &[bob, eve], json!({ "transparency": "transparent" }));
    meet(
        &world,
        "room",
        span(at(monday, 1, (13, 0)), 60),
        &[ann, ("room-7@resource.calendar.google.com", "accepted")],
        none.clone(),
    );
    meet(&world, "point", span(at(monday, 8, (14, 0)), 0), &[bob, ann], none.clone());
    // On Tuesday of next week.
    meet(&world, "board", span(at(monday, 8, (9, 0)), 90), &[ann, bob, eve, ("dan@partner.example", "accepted")], none.clone());
    meet(&world, "refused", span(at(monday, 8, (11, 0)), 60), &[ann, (EVE, "declined")], none.clone());
    meet(
        &world,
        "flexible",
        span(at(monday, 8, (12, 30)), 60),
        &[(BOB, "tentative"), eve],
        json!({ "transparency": "transparent" }),
    );
    let day = |days| (monday + Duration::days(days)).to_string();
    meet(&world, "fair", json!({ "start": { "date": day(8) }, "end": { "date": day(9) } }), &[eve], none.clone());
    meet(&world, "trip", json!({ "start": { "date": day(13) }, "end": { "date": day(16) } }), &[ann], none);
    // A calendar that Ann shows: its events are in her agenda, and do not take her time.
    world.sim.admin(
        "calendars",
        json!({ "user": ANN, "id": TEAM, "summary": "Team", "selected": true, "time_zone": "America/New_York" }),
    );
    for (id, days) in [("retro", 8), ("past", -5)] {
        let mut event = span(at(monday, days, (15, 0)), 60);
        event["id"] = json!(id);
        event["attendees"] = json!([{ "email": "dan@partner.example" }, { "email": BOB }]);
        world.sim.admin("events", json!({ "user": ANN, "calendar": TEAM, "event": event }));
    }
    world.sync_all().expect(0);
    world
}

#[test]
fn my_events_of_next_week_are_those_that_google_shows() {
    let world = office();
    let answer = Question::of("What are my events next week?").ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    let monday = monday(answer.now);
    let (from, until) = (begins(monday + Duration::days(7), ZONE), begins(monday + Duration::days(14), ZONE));
    let events = shown(&world, from, until);
    let mut expected: Vec<_> = events
        .iter()
        .filter(|one| one.user == ANN)
        .map(|one| (one.start, one.end, one.title(), one.is_all_day(), text(&one.calendar, "summary"), one.response()))
        .collect();
    let row = |row: &Value| {
        let all_day = row["all_day"].as_bool().expect("a flag");
        (time(row, "start_at"), time(row, "end_at"), text(row, "title"), all_day, text(row, "calendar"), text(row, "response"))
    };
    let mut found: Vec<_> = answer.rows.iter().map(row).collect();
    assert!(found.is_sorted_by_key(|event| event.0), "{found:#?}");
    expected.sort();
    found.sort();
    assert!(found.len() >= 8 && found.iter().any(|event| event.4 == "Team"), "too little to compare: {found:#?}");
    assert_eq!(found, expected);
}

/// Who is free in each hour of Tuesday next week, by what their clients show.
fn free(world: &World, now: DateTime<Utc>, people: &[&str]) -> BTreeMap<DateTime<Utc>, BTreeSet<String>> {
    let monday = monday(now);
    let events = shown(world, at(monday, 8, (9, 0)), at(monday, 8, (17, 0)));
    let hours = (9..17).map(|hour| at(monday, 8, (hour, 0)));
    let free = hours.map(|hour| {
        let is_taken = |person: &str| {
            let mut own = events.iter().filter(|event| event.user == person && event.is_busy() && event.start < event.end);
            own.any(|event| event.is_within(hour, hour + Duration::hours(1)))
        };
        (hour, people.iter().filter(|person| !is_taken(person)).map(|person| (*person).to_owned()).collect::<BTreeSet<_>>())
    });
    free.filter(|(_, people)| !people.is_empty()).collect()
}

#[test]
fn free_hours_are_those_in_which_google_shows_no_event_that_takes_time() {
    let world = office();
    let ask = || {
        let answer = Question::of("Who is free on Tuesday?").ask(&world);
        assert_eq!(answer.scanned, [""; 0]);
        let free: BTreeMap<_, _> = answer.rows.iter().map(|row| (time(row, "hour"), set(row, "free"))).collect();
        (answer.now, free)
    };
    let (now, found) = ask();
    let expected = free(&world, now, &[ANN, BOB, EVE]);
    let hours = |person: &str| expected.values().filter(|people| people.contains(person)).count();
    assert!(hours(ANN) > 0 && hours(BOB) > 0 && hours(EVE) == 0, "{expected:#?}");
    assert_eq!(found, expected);
    // What is not known is not called free.
    world.execute(&format!("UPDATE streams s SET state = 'revoked' FROM users u WHERE u.id = s.user_id AND u.email = '{BOB}'"));
    let (now, found) = ask();
    assert_eq!(found, free(&world, now, &[ANN]));
}

#[test]
fn hours_in_meetings_count_each_minute_once_and_neither_declined_nor_free_nor_other_peoples_meetings() {
    let world = office();
    let answer = Question::of("How many hours does each user spend in meetings?").ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    let monday = monday(answer.now);
    let events = shown(&world, begins(monday - Days::new(21), ZONE), begins(monday + Days::new(7), ZONE));
    let is_person = |one: &Value| one["self"] != true && one["resource"] != true;
    let meetings: Vec<_> =
        events.iter().filter(|one| one.is_busy() && !one.is_all_day() && one.attendees().any(is_person)).collect();
    let mut expected = BTreeMap::new();
    for week in (0..4).map(|back| monday - Days::new(7 * back)) {
        let (from, until) = (begins(week, ZONE), begins(week + Days::new(7), ZONE));
        for user in [ANN, BOB, EVE] {
            let own: Vec<_> = meetings.iter().filter(|one| one.user == user && one.is_within(from, until)).collect();
            let minute = |time: DateTime<Utc>| time.timestamp() / 60;
            let minutes: BTreeSet<i64> =
                own.iter().flat_map(|one| minute(one.start.max(from))..minute(one.end.min(until))).collect();
            if !own.is_empty() {
                expected.insert((user.to_owned(), week.to_string()), (own.len(), minutes.len()));
            }
        }
    }
    let row = |row: &Value| {
        let minutes = (row["hours"].as_f64().expect("hours") * 60.0).round() as usize;
        let meetings = row["meetings"].as_u64().expect("a count") as usize;
        ((text(row, "email"), text(row, "week")), (meetings, minutes))
    };
    let found: BTreeMap<_, _> = answer.rows.iter().map(row).collect();
    assert!(found.len() >= 8 && found.values().any(|(meetings, _)| *meetings > 3), "too little to compare: {found:#?}");
    assert_eq!(found, expected);
}

#[test]
fn meetings_with_outsiders_are_found_once_with_all_who_are_invited() {
    let world = office();
    let answer = Question::of("Which meetings are with people outside the company?").ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    // Days of the session's zone.
    let until = answer.now.with_timezone(&ZONE).checked_add_days(Days::new(30)).expect("a time").to_utc();
    let mut meetings = BTreeMap::new();
    for one in shown(&world, answer.now, until) {
        let original = match &one.event["originalStartTime"] {
            Value::Null => one.event["start"].to_string(),
            original => original.to_string(),
        };
        let people = one.attendees().filter(|one| one["resource"] != true).map(|one| field(one, "email"));
        let (inside, outside): (BTreeSet<_>, BTreeSet<_>) = people.partition(|email| email.ends_with("@example.com"));
        meetings.insert((field(&one.event, "iCalUID"), original), (one.start, one.title(), outside, inside));
    }
    let mut expected: Vec<_> = meetings.into_values().filter(|(_, _, outside, _)| !outside.is_empty()).collect();
    let row = |row: &Value| (time(row, "start_at"), text(row, "title"), set(row, "outsiders"), set(row, "colleagues"));
    let mut found: Vec<_> = answer.rows.iter().map(row).collect();
    expected.sort();
    found.sort();
    let board = found.iter().find(|meeting| meeting.1 == "Meeting board").expect("a meeting in three calendars");
    assert_eq!(board.3.len(), 3);
    assert!(found.len() > 8, "too little to compare: {found:#?}");
    assert_eq!(found, expected);
}
