//! Whether an event is a meeting, and by which rule. Pure.

use super::event::Event;
use super::links::{self, Kind};

/// A detected meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// `meetings.detected_by`
    pub rule: &'static str,
    /// Where it can be joined.
    pub link: Option<(String, Kind)>,
}

/// Applies the rules in their order: cancelled, event type, link, people, title.
pub fn meeting(event: &Event, words: &[String]) -> Option<Detected> {
    if event.is_cancelled() {
        return None;
    }
    if matches!(event.event_type.as_deref(), Some("outOfOffice" | "focusTime" | "workingLocation" | "birthday")) {
        return None;
    }
    if let Some((rule, link, kind)) = link(event) {
        return Some(Detected { rule, link: Some((link, kind)) });
    }
    if event.people() >= 2 {
        return Some(Detected { rule: "attendees", link: None });
    }
    let title = event.summary.as_deref().unwrap_or_default().to_lowercase();
    let said = title.split(|c: char| !c.is_alphanumeric()).any(|said| words.iter().any(|word| word.to_lowercase() == said));
    said.then_some(Detected { rule: "title", link: None })
}

/// The meeting link, in the order: video entry point, hangoutLink, location, description.
fn link(event: &Event) -> Option<(&'static str, String, Kind)> {
    let video = event
        .conference_data
        .iter()
        .flat_map(|conference| &conference.entry_points)
        .filter(|entry| entry.entry_point_type.as_deref() == Some("video"))
        .find_map(|entry| entry.uri.as_deref());
    if let Some(uri) = video {
        return Some(("conference", uri.to_owned(), links::kind(uri).unwrap_or(Kind::Other)));
    }
    if let Some(uri) = event.hangout_link.as_deref().filter(|uri| !uri.is_empty()) {
        return Some(("hangout_link", uri.to_owned(), links::kind(uri).unwrap_or(Kind::Other)));
    }
    let prose = [("location", &event.location), ("description", &event.description)];
    prose.into_iter().find_map(|(rule, text)| {
        let (link, kind) = links::find(text.as_deref()?)?;
        Some((rule, link, kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Option<&'static str> {
        let event: Event = serde_json::from_str(json).expect("an event");
        let words = ["sync", "review"].map(str::to_owned);
        meeting(&event, &words).map(|detected| detected.rule)
    }

    #[test]
    fn the_rules_apply_in_their_order() {
        let meet = r#""hangoutLink":"https://meet.google.com/a-b-c""#;
        assert_eq!(rule(&format!(r#"{{"id":"1","status":"cancelled",{meet}}}"#)), None);
        assert_eq!(rule(&format!(r#"{{"id":"1","eventType":"focusTime",{meet}}}"#)), None);
        assert_eq!(rule(&format!(r#"{{"id":"1","location":"https://zoom.us/j/1",{meet}}}"#)), Some("hangout_link"));
        assert_eq!(rule(r#"{"id":"1","location":"https://zoom.us/j/1","description":"https://zoom.us/j/2"}"#), Some("location"));
        assert_eq!(rule(r#"{"id":"1","attendees":[{"email":"a@x"},{"email":"b@x"}]}"#), Some("attendees"));
        assert_eq!(rule(r#"{"id":"1","summary":"Design REVIEW: part 2"}"#), Some("title"));
    }

    #[test]
    fn a_room_is_not_a_person_and_a_part_of_a_word_is_not_a_word() {
        assert_eq!(rule(r#"{"id":"1","attendees":[{"email":"a@x"},{"email":"r@x","resource":true}]}"#), None);
        assert_eq!(rule(r#"{"id":"1","summary":"Asynchronous reading"}"#), None);
    }

    #[test]
    fn a_phone_number_is_no_video_link() {
        let phone = r#"{"id":"1","conferenceData":{"entryPoints":[{"entryPointType":"phone","uri":"tel:+1-555"}]}}"#;
        assert_eq!(rule(phone), None);
    }
}
