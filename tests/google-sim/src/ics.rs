//! Real calendars: `.ics` files, and folders of them as Takeout exports them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use data_encoding::BASE32HEX_NOPAD;
use icalendar::parser::{Component, Property, read_calendar, unfold};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event;
use crate::state::{World, lock};

/// What to load: POST it to `/admin/load`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub path: PathBuf,
    #[serde(default = "you")]
    pub user: String,
}

fn you() -> String {
    "you@example.com".into()
}

/// What was read, and what failed.
#[derive(Default, Serialize)]
pub struct Loaded {
    pub user: String,
    pub calendars: BTreeMap<String, u64>,
    pub events: u64,
    pub skipped: BTreeMap<String, u64>,
}

/// Loads a file or every `.ics` below a folder; the first calendar becomes the primary one.
pub fn load(world: &World, order: &Order) -> anyhow::Result<Loaded> {
    let mut files = Vec::new();
    collect(&order.path, &mut files)?;
    files.sort();
    anyhow::ensure!(!files.is_empty(), "{} holds no .ics file", order.path.display());
    let user = world.add_user(&order.user);
    let mut loaded = Loaded { user: order.user.clone(), ..Loaded::default() };
    for (index, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let text = unfold(&String::from_utf8_lossy(&bytes));
        let name = file.file_stem().map_or_else(|| "calendar".into(), |name| name.to_string_lossy().into_owned());
        let parsed = match read_calendar(&text) {
            Ok(parsed) => parsed,
            Err(_) => {
                *loaded.skipped.entry(format!("{name}: not an iCalendar file")).or_default() += 1;
                continue;
            }
        };
        let own = |wanted: &str| {
            parsed.properties.iter().find(|property| property.name == wanted).map(|property| property.val.to_string())
        };
        let name = own("X-WR-CALNAME").unwrap_or(name);
        let zone = own("X-WR-TIMEZONE").unwrap_or_else(|| "UTC".into());
        let calendar = match index {
            0 => user.calendar("primary").context("a user without a primary calendar")?,
            _ => {
                let id = format!("{}@group.calendar.google.com", BASE32HEX_NOPAD.encode(name.as_bytes()).to_lowercase());
                user.add_calendar(&id, &name, false, true, &zone, world.now())
            }
        };
        let mut feed = lock(&calendar.events);
        let mut count = 0;
        for component in parsed.components.iter().filter(|component| component.name == "VEVENT") {
            match convert(component, &zone) {
                Ok(event) => {
                    event::put(&mut feed, &calendar.id, event, world.now());
                    count += 1;
                }
                Err(reason) => *loaded.skipped.entry(reason).or_default() += 1,
            }
        }
        *loaded.calendars.entry(name).or_default() += count;
        loaded.events += count;
    }
    Ok(loaded)
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
            collect(&entry?.path(), into)?;
        }
    } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ics")) {
        into.push(path.to_owned());
    }
    Ok(())
}

fn find<'a>(component: &'a Component<'_>, name: &str) -> Option<&'a Property<'a>> {
    component.properties.iter().find(|property| property.name == name)
}

fn parameter(property: &Property<'_>, name: &str) -> Option<String> {
    let matching = property.params.iter().find(|parameter| parameter.key == name)?;
    matching.val.as_ref().map(|value| value.to_string().trim_matches('"').to_owned())
}

fn convert(component: &Component<'_>, calendar_zone: &str) -> Result<Value, String> {
    let text = |name: &str| find(component, name).map(|property| unescape(property.val.as_ref()));
    let uid = text("UID").filter(|uid| !uid.is_empty()).ok_or("no UID")?;
    let start = find(component, "DTSTART").ok_or("no DTSTART")?;
    let start = when(start, calendar_zone).ok_or("DTSTART cannot be read")?;
    let end = match find(component, "DTEND") {
        Some(end) => when(end, calendar_zone).ok_or("DTEND cannot be read")?,
        None => after(&start, text("DURATION").as_deref()),
    };
    // Google's IDs are base32hex in lower case; a long UID is cut at the maximum length of an ID.
    let mut id: String = BASE32HEX_NOPAD.encode(uid.as_bytes()).to_lowercase();
    id.truncate(900);
    let mut event = json!({ "iCalUID": uid, "start": start, "end": end });
    if let Some(original) = find(component, "RECURRENCE-ID") {
        let original = when(original, calendar_zone).ok_or("RECURRENCE-ID cannot be read")?;
        let stamp = match (original["date"].as_str(), original["dateTime"].as_str()) {
            (Some(date), _) => date.replace('-', ""),
            (None, Some(at)) => DateTime::parse_from_rfc3339(at)
                .map_or_else(|_| at.to_owned(), |at| at.to_utc().format("%Y%m%dT%H%M%SZ").to_string()),
            (None, None) => return Err("RECURRENCE-ID cannot be read".into()),
        };
        event["recurringEventId"] = json!(id);
        event["originalStartTime"] = original;
        id = format!("{id}_{stamp}");
    }
    event["id"] = json!(id);
    for (property, name) in
        [("SUMMARY", "summary"), ("DESCRIPTION", "description"), ("LOCATION", "location"), ("TRANSP", "transparency")]
    {
        if let Some(value) = text(property).filter(|value| !value.is_empty()) {
            event[name] = json!(if property == "TRANSP" { value.to_lowercase() } else { value });
        }
    }
    event["status"] = json!(text("STATUS").map_or_else(|| "confirmed".into(), |status| status.to_lowercase()));
    let recurrence: Vec<String> =
        component.properties.iter().filter(|p| ["RRULE", "EXDATE", "RDATE"].contains(&p.name.as_str())).map(line).collect();
    if !recurrence.is_empty() && event.get("recurringEventId").is_none() {
        event["recurrence"] = json!(recurrence);
    }
    let address =
        |property: &Property<'_>| property.val.to_string().trim_start_matches("mailto:").trim_start_matches("MAILTO:").to_owned();
    if let Some(organizer) = find(component, "ORGANIZER") {
        event["organizer"] = json!({ "email": address(organizer) });
    }
    let attendees: Vec<Value> = component
        .properties
        .iter()
        .filter(|property| property.name == "ATTENDEE")
        .map(|property| {
            let is_room = parameter(property, "CUTYPE").is_some_and(|kind| kind == "RESOURCE" || kind == "ROOM");
            let mut attendee = json!({ "email": address(property), "responseStatus": "needsAction" });
            if is_room {
                attendee["resource"] = json!(true);
            }
            attendee
        })
        .collect();
    if !attendees.is_empty() {
        event["attendees"] = json!(attendees);
    }
    Ok(event)
}

/// The unchanged line with its parameters: Google keeps recurrence lines that way.
fn line(property: &Property<'_>) -> String {
    let mut line = property.name.to_string();
    for parameter in &property.params {
        let value = parameter.val.as_ref().map(ToString::to_string).unwrap_or_default();
        line.push_str(&format!(";{}={value}", parameter.key));
    }
    format!("{line}:{}", property.val)
}

fn when(property: &Property<'_>, calendar_zone: &str) -> Option<Value> {
    let text = property.val.to_string();
    if text.len() == 8 {
        let date = NaiveDate::parse_from_str(&text, "%Y%m%d").ok()?;
        return Some(json!({ "date": date }));
    }
    let local = NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y%m%dT%H%M%S").ok()?;
    // A TZID that is not an IANA name (Outlook's) and a floating time fall back to the calendar's zone.
    let named = parameter(property, "TZID");
    let zone: chrono_tz::Tz = if text.ends_with('Z') {
        chrono_tz::UTC
    } else {
        named.and_then(|name| name.parse().ok()).or_else(|| calendar_zone.parse().ok()).unwrap_or(chrono_tz::UTC)
    };
    let at = zone.from_local_datetime(&local).earliest().unwrap_or_else(|| Utc.from_utc_datetime(&local).with_timezone(&zone));
    Some(json!({ "dateTime": at.to_rfc3339(), "timeZone": zone.name() }))
}

/// The end of an event without one: after its DURATION, or immediately; an all-day event lasts its day.
fn after(start: &Value, duration: Option<&str>) -> Value {
    let length = duration.and_then(period);
    if let Some(date) = start["date"].as_str().and_then(|date| date.parse::<NaiveDate>().ok()) {
        return json!({ "date": date + length.unwrap_or(chrono::Duration::days(1)).max(chrono::Duration::days(1)) });
    }
    let mut end = start.clone();
    if let Some(at) = start["dateTime"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok()) {
        end["dateTime"] = json!((at + length.unwrap_or_default()).to_rfc3339());
    }
    end
}

/// `P1DT2H30M` and similar (RFC 5545, 3.3.6).
fn period(text: &str) -> Option<chrono::Duration> {
    let mut total = chrono::Duration::zero();
    let mut number = String::new();
    for c in text.trim_start_matches('+').strip_prefix('P')?.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            'T' => continue,
            'W' => chrono::Duration::weeks(1),
            'D' => chrono::Duration::days(1),
            'H' => chrono::Duration::hours(1),
            'M' => chrono::Duration::minutes(1),
            'S' => chrono::Duration::seconds(1),
            _ => return None,
        };
        total += unit * number.parse::<i32>().ok()?;
        number.clear();
    }
    Some(total)
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\N", "\n").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
}
