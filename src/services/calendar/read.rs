//! Parses Google's JSON of an event. Optional fields that are malformed count as absent; malformed necessary fields give a readable error.
//! Pure.

use chrono::{DateTime, Datelike as _};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Change;
use super::event::{Event, Instant, When};
use crate::db::items::Poison;
use crate::engine::Item;
use crate::http::without_addresses;
use crate::nul;

/// Fields that identify the event and its time. Without its series, for example, an instance would get two bots.
const NECESSARY: [&str; 6] = ["id", "status", "start", "recurrence", "recurringEventId", "originalStartTime"];
/// Maximum number of malformed optional fields; an event with more is rejected.
const MAX_MALFORMED: usize = 20;
/// Maximum number of characters shown of a malformed value.
const MAX_SHOWN: usize = 60;

/// Parses an event.
///
/// # Errors
/// Returns what is wrong with it, such as `start.dateTime: "2026-13-40T09:00:00Z" is not a time`.
pub fn event(json: &str) -> Result<Event, String> {
    // serde would accept an array as the fields of a struct.
    let strict = json.trim_start().starts_with('{').then(|| serde_json::from_str(json).ok()).flatten();
    let mut event = match strict {
        Some(event) => event,
        None => leniently(json)?,
    };
    check(&mut event)?;
    if !event.is_cancelled() && !event.recurrence.is_empty() && event.rules(None).is_none() {
        event.unread.push("recurrence".into());
    }
    Ok(event)
}

/// Parses an event's JSON into an item.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let raw = nul::without(raw);
    let event = event(raw.get()).map_err(|error| Poison::of(&raw, error))?;
    Ok(Item { id: event.id.clone(), changed_at: event.updated, raw, change: Change::Event(Box::new(event)) })
}

/// Removes malformed fields until the rest can be parsed.
fn leniently(json: &str) -> Result<Event, String> {
    let mut value: Value = serde_json::from_str(json).map_err(|_| "the event is not JSON".to_owned())?;
    if !value.is_object() {
        return Err(format!("the event: {} is not an object", shown(&value)));
    }
    without_nulls(&mut value);
    let mut unread = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, Event>(&value) {
            Ok(event) => return Ok(Event { unread, ..event }),
            Err(error) => error,
        };
        let path: Vec<String> = error.path().iter().filter_map(segment).collect();
        let name = path.join(".");
        let Some(wrong) = path.split_last().and_then(|(last, above)| take(&mut value, above, last)) else {
            return Err(format!("the event cannot be read at {name:?}"));
        };
        if unread.len() == MAX_MALFORMED
            || path.first().is_some_and(|field| NECESSARY.contains(&field.as_str()) && !is_zone(&path))
        {
            return Err(format!("{name}: {} is not {}", shown(&wrong), kind(&path)));
        }
        unread.push(name);
    }
}

/// Whether the field is a time zone, which is dispensable: times have an offset too.
fn is_zone(path: &[String]) -> bool {
    path.last().is_some_and(|name| name == "timeZone")
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    match segment {
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
        _ => None,
    }
}

fn take(value: &mut Value, above: &[String], last: &str) -> Option<Value> {
    let mut value = value;
    for name in above {
        value = match value {
            Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?)?,
            other => other.get_mut(name)?,
        };
    }
    match value {
        Value::Array(items) => {
            let index = last.parse().ok()?;
            (index < items.len()).then(|| items.remove(index))
        }
        Value::Object(fields) => fields.remove(last),
        _ => None,
    }
}

/// The expected type of a field, for messages.
fn kind(path: &[String]) -> &'static str {
    let last = path.iter().rfind(|name| name.parse::<usize>().is_err()).map_or("", String::as_str);
    let is_item = path.last().is_some_and(|name| name.parse::<usize>().is_ok());
    match last {
        "date" => "a date",
        "dateTime" | "updated" => "a time",
        "recurrence" | "attendees" | "entryPoints" if !is_item => "a list",
        "start" | "end" | "originalStartTime" | "organizer" | "conferenceData" | "attendees" | "entryPoints" => "an object",
        "resource" | "self" => "true or false",
        _ => "text",
    }
}

/// Formats a value for a message.
fn shown(value: &Value) -> String {
    let text = without_addresses(&value.to_string());
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Removes nulls, which Google uses for absent fields.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Checks what types do not express: the event has an id and a start, and its times are in the years of RFC 3339.
fn check(event: &mut Event) -> Result<(), String> {
    if event.id.is_empty() {
        return Err("id: the event has no id".into());
    }
    when("originalStartTime", event.original_start_time.as_ref())?;
    if event.end.as_ref().is_some_and(|end| when("end", Some(end)).is_err()) {
        event.end = None;
        event.unread.push("end".into());
    }
    if event.updated.is_some_and(|at| !is_known(at.year())) {
        event.updated = None;
        event.unread.push("updated".into());
    }
    when("start", event.start.as_ref())?;
    let has_start = event.start.as_ref().is_some_and(|start| start.date.is_some() || start.date_time.is_some());
    if has_start || event.is_cancelled() { Ok(()) } else { Err("start: the event has neither a date nor a dateTime".into()) }
}

/// Checks a date or a time.
fn when(name: &str, when: Option<&When>) -> Result<(), String> {
    let Some(when) = when else { return Ok(()) };
    if let Some(date) = when.date.filter(|date| !is_known(date.year())) {
        return Err(format!("{name}.date: \"{date}\" is not a date in the years 0 to 9999"));
    }
    match (&when.date_time, when.instant()) {
        (None, _) => Ok(()),
        (Some(_), Some(at)) if is_known(at.year()) => Ok(()),
        (Some(Instant::Local(local)), None) => {
            let zone = without_addresses(when.time_zone.as_deref().unwrap_or_default());
            Err(format!("{name}.dateTime: \"{local}\" has no offset, and {zone:?} is not a known time zone"))
        }
        (Some(Instant::Fixed(at)), _) => Err(out_of_range(name, at)),
        (Some(Instant::Local(_)), Some(at)) => Err(out_of_range(name, &at.fixed_offset())),
    }
}

fn out_of_range(name: &str, at: &DateTime<chrono::FixedOffset>) -> String {
    format!("{name}.dateTime: \"{at}\" is not a time in the years 0 to 9999")
}

fn is_known(year: i32) -> bool {
    (0..=9_999).contains(&year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_required_field_is_named() {
        let table = [
            (
                r#"{"id":"a","start":{"dateTime":"2026-13-40T09:00:00Z"}}"#,
                r#"start.dateTime: "2026-13-40T09:00:00Z" is not a time"#,
            ),
            (r#"{"id":"a","start":{"date":"2026-02-30"}}"#, r#"start.date: "2026-02-30" is not a date"#),
            (r#"{"id":"a","start":5}"#, "start: 5 is not an object"),
            (r#"{"id":5}"#, "id: 5 is not text"),
            (r#"{"id":"a","status":true}"#, "status: true is not text"),
            (r#"{"id":"a"}"#, "start: the event has neither a date nor a dateTime"),
            (r#"{"start":{"date":"2026-01-01"}}"#, "id: the event has no id"),
            (r#"["a"]"#, r#"the event: ["a"] is not an object"#),
            (r#"{"id":"a","start":{"date":"2026-01-01"},"recurrence":"RRULE"}"#, r#"recurrence: "RRULE" is not a list"#),
            (r#"{"id":"a","start":{"date":"2026-01-01"},"recurrence":[5]}"#, "recurrence.0: 5 is not text"),
            (
                r#"{"id":"a","start":{"date":"2026-01-01"},"originalStartTime":{"dateTime":"ann@example.com"}}"#,
                "originalStartTime.dateTime: <address> is not a time",
            ),
            (
                r#"{"id":"a","start":{"dateTime":"2026-01-01T09:00:00","timeZone":"Nowhere"}}"#,
                r#"start.dateTime: "2026-01-01 09:00:00" has no offset, and "Nowhere" is not a known time zone"#,
            ),
            (
                r#"{"id":"a","start":{"dateTime":"+20000-01-01T09:00:00Z"}}"#,
                r#"start.dateTime: "+20000-01-01 09:00:00 +00:00" is not a time in the years 0 to 9999"#,
            ),
        ];
        for (json, expected) in table {
            assert_eq!(event(json).map(|event| event.id), Err(expected.to_owned()), "{json}");
        }
        let long = format!(r#"{{"id":"a","start":{{"dateTime":"{}"}}}}"#, "é".repeat(500));
        assert!(event(&long).is_err_and(|error| error.len() < 200 && error.contains('…')));
    }

    #[test]
    fn invalid_optional_fields_count_as_absent_and_are_named() {
        let table = [
            (r#""updated":"yesterday""#, "updated"),
            (r#""end":{"dateTime":"2026-13-40T09:00:00Z"}"#, "end.dateTime"),
            (r#""end":{"dateTime":"+20000-01-01T09:00:00Z"}"#, "end"),
            (r#""summary":5"#, "summary"),
            (r#""attendees":{}"#, "attendees"),
            (r#""attendees":[{"email":"a@x"},{"email":5}]"#, "attendees.1.email"),
            (r#""organizer":"ann""#, "organizer"),
            (r#""conferenceData":{"entryPoints":["x"]}"#, "conferenceData.entryPoints.0"),
            (r#""etag":5"#, "etag"),
            (r#""recurrence":["RRULE:FREQ=SOMETIMES"]"#, "recurrence"),
        ];
        for (field, name) in table {
            let json = format!(r#"{{"id":"a","start":{{"date":"2026-01-01"}},"location":"here",{field}}}"#);
            let event = event(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!((event.unread, event.location.as_deref()), (vec![name.to_owned()], Some("here")), "{json}");
        }
        let nulls = event(r#"{"id":"a","start":{"date":"2026-01-01","dateTime":null},"attendees":null,"recurrence":null}"#);
        assert_eq!(nulls.map(|event| event.unread), Ok(vec![]));
        let zone = event(r#"{"id":"a","start":{"dateTime":"2026-01-01T09:00:00Z","timeZone":5}}"#);
        assert_eq!(zone.map(|event| event.unread), Ok(vec!["start.timeZone".to_owned()]));
    }
}
