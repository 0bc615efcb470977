//! `calendar_instances`, compared with what the simulator's `singleEvents=true` returns.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use super::World;
use super::sim::field;

/// Start, end and title by address, calendar and id; days of all-day events as dates.
pub type Agenda = BTreeMap<(String, String, String), (String, String, String)>;

/// A date, or an instant in UTC.
pub fn when(when: &Value) -> String {
    match when["dateTime"].as_str() {
        Some(time) => time.parse::<DateTime<Utc>>().expect("a time").to_rfc3339_opts(SecondsFormat::Secs, true),
        None => when["date"].as_str().unwrap_or_default().to_owned(),
    }
}

/// What the database shows in a span.
pub fn stored(world: &World, from: DateTime<Utc>, until: DateTime<Utc>) -> Agenda {
    let statement = format!(
        "SELECT u.email, s.resource, i.instance_id,
           CASE WHEN i.all_day THEN i.start_date::text ELSE to_char(lower(i.during) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') END,
           CASE WHEN i.all_day THEN i.end_date::text ELSE to_char(upper(i.during) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') END,
           coalesce(i.title, '')
         FROM calendar_instances i JOIN users u ON u.id = i.user_id JOIN streams s ON s.id = i.stream_id
         WHERE i.during && tstzrange('{from}', '{until}')"
    );
    let rows = world.query(&statement);
    rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), (row.get(3), row.get(4), row.get(5)))).collect()
}

/// Days at the edges of the span that are not compared: Google's days begin in each calendar's zone.
const EDGE: i64 = 2;

/// The calendars that are synced and whose last pass listed the whole span, each with whether its instances in it are all there.
fn synced(world: &World, from: &str, until: &str) -> BTreeMap<(String, String), bool> {
    let rows = world.query(&format!(
        "SELECT u.email, s.resource, w.rebuilt_to IS NULL AND w.covered @> span AND w.listed @> span AS is_complete
         FROM streams s JOIN users u ON u.id = s.user_id LEFT JOIN calendar_windows w ON w.stream_id = s.id, tstzrange('{from}', '{until}') AS span
         WHERE s.service = 'calendar' AND s.kind = 'events' AND s.state = 'active' AND s.cursor IS NOT NULL AND coalesce(w.listed @> span, true)"
    ));
    rows.iter().map(|row| ((row.get(0), row.get(1)), row.get::<_, Option<bool>>(2) == Some(true))).collect()
}

/// Asserts that every calendar whose instances are complete shows what the simulator shows, except for events that could not be read, and that there is
/// such a calendar if any is synced.
#[track_caller]
pub fn check(world: &World) {
    let now = Utc::now();
    let (from, until) = (now - chrono::Duration::days(20), now + chrono::Duration::days(300));
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let synced = synced(world, &time(from), &time(until));
    let unread: BTreeSet<(String, String, String)> = world
        .query(
            "SELECT u.email, s.resource, e.event_id FROM calendar_events e JOIN streams s ON s.id = e.stream_id JOIN users u ON u.id = e.user_id
             WHERE e.unread IS NOT NULL
             UNION SELECT u.email, s.resource, q.item_id FROM quarantined_items q JOIN streams s ON s.id = q.stream_id
             JOIN users u ON u.id = s.user_id",
        )
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    // Whether the event is compared. None: it could not be read, or its calendar is not synced.
    let is_compared = |(user, calendar, id): &(String, String, String)| {
        let is_unread = |id: &str| unread.contains(&(user.clone(), calendar.clone(), id.to_owned()));
        let is_complete = *synced.get(&(user.clone(), calendar.clone()))?;
        (!is_unread(id) && !is_unread(id.split('_').next().unwrap_or(id))).then_some(is_complete)
    };
    let path = format!("agenda?from={}&to={}", time(from), time(until));
    let text = world.sim.text(&path);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let shown: Agenda = lines
        .map(|event| {
            let title = event["summary"].as_str().unwrap_or_default().to_owned();
            let key = (field(&event, "user"), field(&event, "calendar"), field(&event, "id"));
            (key, (when(&event["start"]), when(&event["end"]), title))
        })
        .collect();
    let of_synced: Vec<bool> = shown.keys().filter_map(is_compared).collect();
    assert!(of_synced.is_empty() || of_synced.contains(&true), "none of {} events was compared: {synced:#?}", of_synced.len());
    // Read further than shown: an all-day event ends at its zone's midnight, before or after the simulator's.
    let edge = chrono::Duration::days(EDGE);
    let stored = stored(world, from - edge, until + edge);
    let wrong = shown.iter().filter(|(key, event)| is_compared(key) == Some(true) && stored.get(*key) != Some(event));
    let wrong: Vec<_> = wrong.map(|(key, event)| (key, event, stored.get(key))).take(5).collect();
    assert!(wrong.is_empty(), "instances that differ or are missing: {wrong:#?}");
    let inner = (time(from + edge), time(until - edge));
    let excess = stored
        .iter()
        .filter(|(key, _)| is_compared(key) == Some(true) && !shown.contains_key(*key))
        .filter(|(_, event)| event.0 >= inner.0 && event.1 <= inner.1);
    let excess: Vec<_> = excess.take(5).collect();
    assert!(excess.is_empty(), "instances that should not be there: {excess:#?}");
}
