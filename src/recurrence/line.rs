//! Parses one line of a series (`RRULE:…`, `EXDATE;TZID=…:…`). Accepts what calendar programs write and Google keeps. Pure.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::zone::Zone;

/// The content of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// `RRULE`: its parts by name, in upper case.
    Rule(Vec<(String, String)>),
    /// `EXRULE`, the same.
    Exception(Vec<(String, String)>),
    /// `RDATE`
    More(Vec<Value>),
    /// `EXDATE`
    Without(Vec<Value>),
    /// A line that does not affect the times.
    Other,
}

/// A value of a list of dates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Date(NaiveDate),
    /// In the zone that the line names, or else in that of the series.
    Local(NaiveDateTime, Option<Zone>),
    Instant(DateTime<Utc>),
}

/// Parses a line. `None`: its meaning is unknown.
pub fn read(line: &str) -> Option<Line> {
    let line = line.trim();
    if line.is_empty() {
        return Some(Line::Other);
    }
    let (head, value) = line.split_at(end_of_head(line)?);
    let value = &value[1..];
    let mut head = split_outside_quotes(head, ';').into_iter();
    let name = head.next()?.trim().to_uppercase();
    // Parameters of a rule do not affect its times (`X-EVOLUTION-ENDDATE`).
    match name.as_str() {
        // A list of dates written as a rule: `RRULE:DATE;TZID=Europe/Berlin:20261202T090000`.
        "RRULE" if value.trim_start().to_uppercase().starts_with("DATE") => read(&format!("RDATE;VALUE={}", value.trim_start())),
        "RRULE" => parts(value).map(Line::Rule),
        "EXRULE" => parts(value).map(Line::Exception),
        "RDATE" | "EXDATE" => {
            let zone = head.find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                name.trim().eq_ignore_ascii_case("TZID").then(|| Zone::from_name(value))?
            });
            let values = value.split(',').map(str::trim).filter(|value| !value.is_empty());
            let values = values.map(|value| self::value(value, zone)).collect::<Option<Vec<_>>>()?;
            Some(if name == "RDATE" { Line::More(values) } else { Line::Without(values) })
        }
        // The event has its own start.
        "DTSTART" | "DTEND" | "DURATION" => Some(Line::Other),
        name if name.starts_with("X-") => Some(Line::Other),
        _ => None,
    }
}

/// Parses a date or a time; of a period (`START/END`, `START/PT1H`), its start.
pub fn value(text: &str, zone: Option<Zone>) -> Option<Value> {
    let text = text.split('/').next()?.trim().to_uppercase();
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text.as_str(), None),
    };
    let date = NaiveDate::parse_from_str(&date.replace('-', ""), "%Y%m%d").ok()?;
    let Some(time) = time else { return Some(Value::Date(date)) };
    let (clock, utc) = time.strip_suffix('Z').map_or((time, false), |clock| (clock, true));
    let clock = clock.replace(':', "");
    let time = ["%H%M%S", "%H%M"].iter().find_map(|form| NaiveTime::parse_from_str(&clock, form).ok())?;
    let local = date.and_time(time);
    Some(if utc { Value::Instant(local.and_utc()) } else { Value::Local(local, zone) })
}

fn parts(value: &str) -> Option<Vec<(String, String)>> {
    let parts = value.split(';').map(str::trim).filter(|part| !part.is_empty());
    let parts = parts.map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_uppercase(), value.trim().to_uppercase().replace(' ', "")))
    });
    // A part without a value restricts nothing.
    let parts: Vec<_> = parts.collect::<Option<Vec<_>>>()?.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    parts.iter().any(|(name, _)| name == "FREQ").then_some(parts)
}

/// The index of the first colon outside quotes, which precedes the value of a line.
fn end_of_head(line: &str) -> Option<usize> {
    let mut quoted = false;
    line.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == ':' && !quoted).then_some(at)
    })
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .collect()
}
