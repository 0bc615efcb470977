//! Decodes utterances and participants, and formats transcripts as text. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Maximum pause in milliseconds within a speaker's paragraph.
const PARAGRAPH_MS: i64 = 30_000;

/// An utterance (`GET /bots/{id}/transcript`).
#[derive(Debug, Clone)]
pub struct Utterance {
    pub said: RawUtterance,
    /// As received.
    pub raw: Box<RawValue>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RawUtterance {
    #[serde(default)]
    pub speaker_name: Option<String>,
    #[serde(default)]
    pub speaker_uuid: Option<String>,
    #[serde(default)]
    pub speaker_is_host: Option<bool>,
    pub timestamp_ms: i64,
    #[serde(default)]
    pub duration_ms: i64,
    #[serde(default)]
    transcription: Option<Transcription>,
}

#[derive(Debug, Clone, Deserialize)]
struct Transcription {
    #[serde(default)]
    transcript: String,
}

impl RawUtterance {
    /// Its words.
    pub fn text(&self) -> &str {
        self.transcription.as_ref().map_or("", |transcription| transcription.transcript.trim())
    }
}

/// A participant of the meeting (`GET /bots/{id}/participants`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    pub name: Option<String>,
    pub uuid: String,
    #[serde(default)]
    pub is_host: Option<bool>,
}

/// Decodes participants.
///
/// # Errors
/// Returns a message if one of them is invalid.
pub fn present(raws: &[Box<RawValue>]) -> Result<Vec<Participant>, String> {
    raws.iter().map(|raw| serde_json::from_str(raw.get()).map_err(|error| format!("not a participant: {error}"))).collect()
}

/// Decodes utterances. Leaves out empty ones, as Attendee does.
///
/// # Errors
/// Returns a message if one of them is invalid.
pub fn read(raws: Vec<Box<RawValue>>) -> Result<Vec<Utterance>, String> {
    let read = |raw: Box<RawValue>| match serde_json::from_str::<RawUtterance>(raw.get()) {
        Ok(said) => Ok(Utterance { said, raw }),
        Err(error) => Err(format!("not an utterance: {error}")),
    };
    let all: Vec<Utterance> = raws.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|one| !one.said.text().is_empty()).collect())
}

/// A stored line of the transcript.
#[derive(Debug, Clone)]
pub struct Line {
    pub speaker: Option<String>,
    /// Attendee's id of the speaker; names need not be unique.
    pub speaker_uuid: String,
    pub is_host: Option<bool>,
    pub at_ms: i64,
    pub duration_ms: i64,
    pub text: String,
}

/// A speaker, and how much they spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Speaker {
    pub name: String,
    pub uuid: String,
    pub is_host: Option<bool>,
    pub utterances: u64,
    pub duration_ms: i64,
}

/// A transcript as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    /// From the first utterance to the end of the last.
    pub duration_ms: i64,
    /// In the order in which they first spoke.
    pub speakers: Vec<Speaker>,
}

/// Formats a transcript; `lines` must be in chronological order.
pub fn write(lines: &[Line]) -> Written {
    let first = lines.iter().map(|line| line.at_ms).min().unwrap_or(0);
    let last = lines.iter().map(|line| line.at_ms + line.duration_ms).max().unwrap_or(0);
    let mut text = String::new();
    let mut indexes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut speakers: Vec<Speaker> = Vec::new();
    let mut before: Option<&Line> = None;
    for line in lines {
        let name = line.speaker.as_deref().filter(|name| !name.is_empty()).unwrap_or("Unknown speaker");
        let index = *indexes.entry(&line.speaker_uuid).or_insert(speakers.len());
        if index == speakers.len() {
            let uuid = line.speaker_uuid.clone();
            speakers.push(Speaker { name: name.to_owned(), uuid, is_host: line.is_host, utterances: 0, duration_ms: 0 });
        }
        speakers[index].utterances += 1;
        speakers[index].duration_ms += line.duration_ms;
        let goes_on = before.is_some_and(|before| {
            before.speaker_uuid == line.speaker_uuid && line.at_ms - (before.at_ms + before.duration_ms) < PARAGRAPH_MS
        });
        if goes_on {
            text.push(' ')
        } else {
            if before.is_some() {
                text.push('\n');
            }
            let seconds = (line.at_ms - first) / 1000;
            let _ = write!(text, "[{:02}:{:02}:{:02}] {name}: ", seconds / 3600, seconds / 60 % 60, seconds % 60);
        }
        text.push_str(&line.text);
        before = Some(line);
    }
    Written { text, duration_ms: last - first, speakers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(speaker: &str, at_ms: i64, text: &str) -> Line {
        Line {
            speaker: Some(speaker.to_uppercase()),
            speaker_uuid: speaker.to_owned(),
            is_host: None,
            at_ms,
            duration_ms: 2_000,
            text: text.to_owned(),
        }
    }

    #[test]
    fn consecutive_utterances_of_a_speaker_form_one_paragraph() {
        let start = 1_700_000_000_000;
        let lines = [
            line("a", start, "Good morning."),
            line("a", start + 3_000, "Shall we?"),
            line("b", start + 3_700_000, "Yes."),
            line("a", start + 3_703_000, "Well."),
        ];
        let written = write(&lines);
        assert_eq!(written.text, "[00:00:00] A: Good morning. Shall we?\n[01:01:40] B: Yes.\n[01:01:43] A: Well.");
        assert_eq!(written.duration_ms, 3_705_000);
        let spoke: Vec<(&str, u64)> = written.speakers.iter().map(|one| (one.name.as_str(), one.utterances)).collect();
        assert_eq!(spoke, [("A", 3), ("B", 1)]);
    }

    #[test]
    fn two_participants_with_one_name_stay_separate_speakers() {
        let mut lines = [line("a", 0, "One."), line("b", 1, "Two.")];
        lines[1].speaker = Some("A".into());
        assert_eq!(write(&lines).speakers.len(), 2);
    }

    #[test]
    fn empty_utterances_are_dropped_and_broken_ones_reported() {
        let raws = |texts: &[&str]| texts.iter().map(|text| RawValue::from_string((*text).into()).expect("JSON")).collect();
        let good = read(raws(&[
            r#"{"speaker_name":"A","speaker_uuid":"1","timestamp_ms":5,"duration_ms":1,"transcription":{"transcript":" hi "}}"#,
            r#"{"speaker_name":"A","speaker_uuid":"1","timestamp_ms":6,"duration_ms":1,"transcription":null}"#,
        ]));
        assert_eq!(good.expect("utterances").iter().map(|one| one.said.text()).collect::<Vec<_>>(), ["hi"]);
        assert!(read(raws(&[r#"{"speaker_name":"A"}"#])).is_err());
    }
}
