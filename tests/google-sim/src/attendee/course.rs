//! The future course of a bot: how long it waits, whether it is admitted, what it hears, and when the transcript arrives.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The course of a bot's life, in seconds of the simulated clock.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// How long before it joins a scheduled bot is staged; from then on it cannot be moved or deleted.
    pub stage_seconds: i64,
    /// From joining to reaching the meeting.
    pub join_seconds: i64,
    /// In the waiting room; 0: no waiting room.
    pub waiting_seconds: i64,
    /// Whether it is admitted; if not, it fails after `waiting_seconds`.
    pub admitted: bool,
    /// Whether it may record.
    pub recorded: bool,
    /// From the start of the recording to the end of the meeting.
    pub meeting_seconds: i64,
    pub post_processing_seconds: i64,
    /// Number of utterances, evenly spread over the meeting.
    pub utterances: u32,
    /// Percentage of them that is transcribed only after the meeting.
    pub late_percent: u32,
    /// From the end of the bot to the end of its transcription.
    pub transcript_seconds: i64,
    pub transcript: Transcript,
    /// If it fails: from the end of the bot to the late words; absent: never.
    pub words_seconds: Option<i64>,
    /// Each pair of utterances has the same speaker and begins in the same millisecond.
    pub at_once: bool,
    pub speakers: Vec<String>,
    /// Number of chat messages during the meeting, evenly spread.
    pub chat_messages: u32,
    /// Shown instead of the state, from joining until the bot is done.
    pub state: Option<String>,
}

/// How the transcription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transcript {
    Complete,
    /// Permanently, when the bot ends: some of it was not transcribed by then.
    Failed,
    /// It stays in progress.
    Never,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            stage_seconds: 300,
            join_seconds: 10,
            waiting_seconds: 20,
            admitted: true,
            recorded: true,
            meeting_seconds: 1_800,
            post_processing_seconds: 60,
            utterances: 12,
            late_percent: 25,
            transcript_seconds: 120,
            transcript: Transcript::Complete,
            words_seconds: None,
            at_once: false,
            speakers: ["Ann Archer", "Ben Baker", "Zoë Žižek"].map(str::to_owned).into(),
            chat_messages: 2,
            state: None,
        }
    }
}

impl Course {
    /// This course with some values changed.
    pub fn with(&self, changes: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut fields = serde_json::to_value(self)?;
        if let Some(fields) = fields.as_object_mut() {
            fields.extend(changes.clone());
        }
        serde_json::from_value(fields)
    }
}
