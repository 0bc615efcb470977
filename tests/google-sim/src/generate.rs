//! Users and events from a seed: the mix of a working calendar, deterministic for a seed.

use chrono::{DateTime, Duration, Timelike as _, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event;
use crate::state::{User, World, lock};

const ZONES: [&str; 5] = ["Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Australia/Sydney"];
const TITLES: [&str; 12] = [
    "Team standup",
    "Design review",
    "Lunch",
    "Quartalsplanung für Süd",
    "1:1",
    "会議 東京",
    "Dentist",
    "Budget planning",
    "Call with Zoë",
    "Write report",
    "Release sync",
    "Réunion d’équipe 🚀",
];

/// What to generate: POST it to `/admin/generate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub users: u32,
    pub events_per_user: u32,
    #[serde(default)]
    pub seed: u64,
    /// Calendars per user, including the primary one.
    #[serde(default = "one")]
    pub calendars_per_user: u32,
    #[serde(default = "domain")]
    pub domain: String,
}

fn one() -> u32 {
    1
}

fn domain() -> String {
    "example.com".into()
}

#[derive(Serialize)]
pub struct Made {
    pub users: u32,
    pub events: u64,
}

/// Creates the users; each gets exactly this many live events, including exceptions of series.
pub fn generate(world: &World, order: &Order) -> Made {
    let mut events = 0;
    for number in 0..order.users {
        let email = format!("user{number:05}@{}", order.domain);
        let user = world.add_user(&email);
        for extra in 1..order.calendars_per_user {
            let id = format!("team{extra}-{number:05}@group.calendar.google.com");
            user.add_calendar(&id, &format!("Team {extra}"), false, true, ZONES[0], world.now());
        }
        let mut chance = StdRng::seed_from_u64(order.seed ^ (u64::from(number) << 20));
        events += fill(world, &user, order.events_per_user, &mut chance);
    }
    Made { users: order.users, events }
}

fn fill(world: &World, user: &User, count: u32, chance: &mut StdRng) -> u64 {
    let calendars = user.all_calendars();
    let mut made = 0;
    while made < count {
        let Some(calendar) = calendars.get(chance.random_range(0..calendars.len())) else { break };
        let id = format!("ev{:010x}{made:06}", chance.random::<u32>());
        let made_at = world.now() - Duration::minutes(chance.random_range(60..60 * 24 * 60));
        let mut feed = lock(&calendar.events);
        let event = event(&id, &user.email, world.now(), chance);
        let series = event.get("recurrence").is_some();
        event::put(&mut feed, &calendar.id, with_updated(event.clone(), made_at), made_at);
        made += 1;
        // A moved instance of a series is a separate event.
        if series
            && made < count
            && chance.random_bool(0.5)
            && let Some(exception) = exception(&event, chance)
        {
            event::put(&mut feed, &calendar.id, with_updated(exception, made_at), made_at);
            made += 1;
        }
    }
    u64::from(made)
}

fn with_updated(mut event: Value, at: DateTime<Utc>) -> Value {
    event["updated"] = json!(at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    event
}

/// A random event around now: within 25 days back and 300 ahead, so that a window of −30 to +365 days holds it.
pub fn event(id: &str, owner: &str, now: DateTime<Utc>, chance: &mut StdRng) -> Value {
    let zone = ZONES.choose(chance).copied().unwrap_or("UTC");
    let title = TITLES.choose(chance).copied().unwrap_or("Event");
    let day = now + Duration::days(chance.random_range(-25..300));
    let start = day.with_hour(chance.random_range(6..18)).and_then(|at| at.with_minute(30)).unwrap_or(day);
    let start = start.with_second(0).and_then(|at| at.with_nanosecond(0)).unwrap_or(start);
    let mut event = json!({ "id": id, "summary": title });
    place_in_time(&mut event, start, zone, chance.random_bool(0.12));
    match chance.random_range(0..100) {
        0..10 => {
            event["eventType"] = json!(["focusTime", "outOfOffice", "workingLocation"].choose(chance));
        }
        10..35 => add_meet(&mut event, chance),
        35..45 => {
            event["location"] =
                json!(format!("https://acme.zoom.us/j/{}?pwd=abc", chance.random_range(100_000_000u64..999_999_999)))
        }
        45..55 => {
            let link = format!("https://teams.microsoft.com/l/meetup-join/19%3ameeting_{}", chance.random::<u32>());
            event["description"] = json!(format!("<p>Agenda</p><a href=\"{link}\">Join</a>"));
        }
        55..60 => event["description"] = json!("Notes from last week, nothing to join."),
        _ => {}
    }
    if chance.random_bool(0.4) {
        add_attendees(&mut event, owner, chance);
    }
    if chance.random_bool(0.1) {
        let rule = ["RRULE:FREQ=WEEKLY", "RRULE:FREQ=WEEKLY;COUNT=40", "RRULE:FREQ=DAILY;COUNT=60"].choose(chance);
        event["recurrence"] = json!([rule]);
    }
    event
}

fn place_in_time(event: &mut Value, start: DateTime<Utc>, zone: &str, all_day: bool) {
    if all_day {
        event["start"] = json!({ "date": start.date_naive() });
        event["end"] = json!({ "date": start.date_naive() + Duration::days(1) });
        return;
    }
    let tz: chrono_tz::Tz = zone.parse().unwrap_or(chrono_tz::UTC);
    let at = |time: DateTime<Utc>| json!({ "dateTime": time.with_timezone(&tz).to_rfc3339(), "timeZone": zone });
    event["start"] = at(start);
    event["end"] = at(start + Duration::minutes(45));
}

/// Moves an event by this many minutes; an all-day one by a day.
pub fn shift(event: &mut Value, minutes: i64) {
    for side in ["start", "end"] {
        if let Some(date) = event[side]["date"].as_str().and_then(|date| date.parse::<chrono::NaiveDate>().ok()) {
            event[side]["date"] = json!(date + Duration::days(1));
        } else if let Some(at) = event[side]["dateTime"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok()) {
            event[side]["dateTime"] = json!((at + Duration::minutes(minutes)).to_rfc3339());
        }
    }
}

fn add_meet(event: &mut Value, chance: &mut StdRng) {
    let link = format!("https://meet.google.com/abc-{:04x}-xyz", chance.random::<u16>());
    event["hangoutLink"] = json!(link);
    event["conferenceData"] = json!({
        "entryPoints": [{ "entryPointType": "video", "uri": link, "label": &link[8..] }, { "entryPointType": "phone", "uri": "tel:+1-555-0100" }],
        "conferenceSolution": { "key": { "type": "hangoutsMeet" }, "name": "Google Meet" } });
}

fn add_attendees(event: &mut Value, owner: &str, chance: &mut StdRng) {
    let mut attendees = vec![json!({ "email": owner, "self": true, "organizer": true, "responseStatus": "accepted" })];
    for number in 0..chance.random_range(0..5) {
        attendees.push(
            json!({ "email": format!("guest{number}@partner.example"), "displayName": "Guest", "responseStatus": "needsAction" }),
        );
    }
    if chance.random_bool(0.3) {
        attendees.push(json!({ "email": "room-1@resource.calendar.google.com", "resource": true, "responseStatus": "accepted" }));
    }
    event["attendees"] = json!(attendees);
}

/// One instance of a series, moved by half an hour.
pub fn exception(series: &Value, chance: &mut StdRng) -> Option<Value> {
    let daily = series["recurrence"][0].as_str()?.contains("DAILY");
    let steps = chance.random_range(1..4) * if daily { 1 } else { 7 };
    let mut exception = series.clone();
    exception.as_object_mut()?.remove("recurrence");
    let id = series["id"].as_str()?;
    if let Some(date) = series["start"]["date"].as_str().and_then(|date| date.parse::<chrono::NaiveDate>().ok()) {
        let original = date + Duration::days(steps);
        exception["id"] = json!(format!("{id}_{}", original.format("%Y%m%d")));
        exception["originalStartTime"] = json!({ "date": original });
        exception["start"]["date"] = json!(original + Duration::days(1));
        exception["end"]["date"] = json!(original + Duration::days(2));
    } else {
        let start = DateTime::parse_from_rfc3339(series["start"]["dateTime"].as_str()?).ok()? + Duration::days(steps);
        exception["id"] = json!(format!("{id}_{}", start.to_utc().format("%Y%m%dT%H%M%SZ")));
        exception["originalStartTime"] = json!({ "dateTime": start.to_rfc3339(), "timeZone": series["start"]["timeZone"] });
        exception["start"]["dateTime"] = json!((start + Duration::minutes(30)).to_rfc3339());
        exception["end"]["dateTime"] = json!((start + Duration::minutes(75)).to_rfc3339());
    }
    exception["recurringEventId"] = json!(id);
    Some(exception)
}
