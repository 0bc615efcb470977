//! Whether an event is a meeting, and by which rule. Pure.

use super::event::Event;
use crate::links::{self, Kind, Link};

/// A detected meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// `meetings.detected_by`
    pub rule: &'static str,
    /// The link to join it.
    pub link: Option<Link>,
}

/// Applies the rules in their order: cancelled, event type, link, people, title.
pub fn meeting(event: &Event, words: &[String]) -> Option<Detected> {
    if event.is_cancelled() {
        return None;
    }
    if matches!(event.event_type.as_deref(), Some("outOfOffice" | "focusTime" | "workingLocation" | "birthday")) {
        return None;
    }
    if let Some((rule, link)) = link(event) {
        return Some(Detected { rule, link: Some(link) });
    }
    if event.people() >= 2 {
        return Some(Detected { rule: "attendees", link: None });
    }
    let title = event.summary.as_deref().unwrap_or_default().to_lowercase();
    let matches = title.split(|c: char| !c.is_alphanumeric()).any(|part| words.iter().any(|word| word.to_lowercase() == part));
    matches.then_some(Detected { rule: "title", link: None })
}

/// The meeting link, in the order: video entry point, hangoutLink, location, description. A link that a bot can join takes precedence, and
/// among links to the same room one with a passcode.
pub fn link(event: &Event) -> Option<(&'static str, Link)> {
    let video = event
        .conference_data
        .iter()
        .flat_map(|conference| &conference.entry_points)
        .filter(|entry| entry.entry_point_type.as_deref() == Some("video"))
        .filter_map(|entry| entry.uri.as_deref());
    let declared = video.map(|uri| ("conference", uri)).chain(event.hangout_link.as_deref().map(|uri| ("hangout_link", uri)));
    let declared = declared
        .filter(|(_, uri)| !uri.is_empty())
        .map(|(rule, uri)| (rule, links::of(uri).unwrap_or_else(|| Link { url: uri.to_owned(), kind: Kind::Other })));
    let prose = [("location", &event.location), ("description", &event.description)];
    let prose = prose.into_iter().filter_map(|(rule, text)| Some((rule, text.as_deref()?)));
    let written = prose.flat_map(|(rule, text)| links::find(text).into_iter().map(move |link| (rule, link)));
    let all: Vec<(&str, Link)> = declared.chain(written).collect();
    // `max_by_key` returns the last maximum; reversed, that is the first link.
    let (rule, best) = all.iter().rev().max_by_key(|(_, link)| link.rank())?;
    let room = links::room(&best.url);
    let lets_in = |link: &Link| link.has_passcode() && link.rank() == best.rank() && links::room(&link.url) == room;
    let better = all.iter().find(|(_, link)| !best.has_passcode() && lets_in(link));
    let (rule, link) = better.map_or((*rule, best), |(rule, link)| (*rule, link));
    Some((rule, link.clone()))
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

    fn chosen(json: &str) -> (&'static str, String) {
        let event: Event = serde_json::from_str(json).expect("an event");
        let (rule, link) = link(&event).expect("a link");
        (rule, link.url)
    }

    #[test]
    fn a_link_that_bots_can_join_wins() {
        let rows = [
            (
                r#""location":"https://zoom.us/j/1","description":"https://zoom.us/wc/join/1?pwd=x""#,
                "description",
                "https://zoom.us/wc/join/1?pwd=x",
            ),
            (r#""location":"https://zoom.us/j/1","description":"https://zoom.us/j/2?pwd=x""#, "location", "https://zoom.us/j/1"),
            (r#""location":"https://acme.webex.com/meet/a","description":"zoom.us/j/2""#, "description", "https://zoom.us/j/2"),
            (r#""location":"https://zoom.us/my/ann","description":"https://zoom.us/j/2""#, "description", "https://zoom.us/j/2"),
            (
                r#""location":"https://acme.webex.com/meet/a","description":"https://meet.jit.si/b""#,
                "location",
                "https://acme.webex.com/meet/a",
            ),
            (
                r#""hangoutLink":"https://meet.google.com/abc-defg-hij","description":"https://zoom.us/j/2?pwd=x""#,
                "hangout_link",
                "https://meet.google.com/abc-defg-hij",
            ),
            (
                r#""location":"https://teams.microsoft.com/meet/2","description":"https://teams.microsoft.com/meet/2?p=x""#,
                "description",
                "https://teams.microsoft.com/meet/2?p=x",
            ),
            (
                r#""conferenceData":{"entryPoints":[{"entryPointType":"video","uri":"https://call.example/1"}]},"location":"https://zoom.us/j/2""#,
                "location",
                "https://zoom.us/j/2",
            ),
        ];
        for (fields, rule, url) in rows {
            assert_eq!(chosen(&format!(r#"{{"id":"1",{fields}}}"#)), (rule, url.to_owned()), "{fields}");
        }
    }

    #[test]
    fn a_phone_number_is_not_a_video_link() {
        let phone = r#"{"id":"1","conferenceData":{"entryPoints":[{"entryPointType":"phone","uri":"tel:+1-555"}]}}"#;
        assert_eq!(rule(phone), None);
    }
}
