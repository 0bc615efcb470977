//! What is said and written in a meeting, as a function of the bot's course: deterministic.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::bot::{Bot, time};
use super::course::Transcript;

const SENTENCES: [&str; 8] = [
    "let us begin with the numbers of last week",
    "the customer wants the draft by Thursday",
    "I can take the part about the budget",
    "could somebody share the screen, please",
    "that is a risk that we should write down",
    "we agreed on this in March already",
    "the new release goes out on Monday",
    "naïve questions first: who decides this?",
];
/// One in this many utterances is corrected later.
const CORRECTED: u32 = 5;

pub struct Utterance {
    pub speaker: Value,
    spoken: DateTime<Utc>,
    duration_ms: i64,
    text: String,
    /// When it becomes readable; `None`: never.
    heard: Option<DateTime<Utc>>,
    /// When its words change.
    corrected: Option<DateTime<Utc>>,
}

impl Utterance {
    /// When it arrived or changed.
    pub fn changes(&self) -> Vec<DateTime<Utc>> {
        self.heard.into_iter().chain(self.corrected.filter(|_| self.heard.is_some())).collect()
    }

    /// Its last change up to now; `None`: it does not exist yet.
    pub fn updated_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.changes().into_iter().rfind(|at| *at <= now)
    }

    /// Its representation in the API.
    pub fn shown(&self, now: DateTime<Utc>) -> Value {
        let draft = self.corrected.is_some_and(|at| now < at);
        let text = if draft { format!("{} um", self.text) } else { self.text.clone() };
        let words: Vec<Value> = text
            .split_whitespace()
            .enumerate()
            .map(|(nth, word)| json!({ "word": word, "start": nth as f64 * 0.25, "end": nth as f64 * 0.25 + 0.2 }))
            .collect();
        json!({ "speaker_name": self.speaker["name"], "speaker_uuid": self.speaker["uuid"], "speaker_user_uuid": self.speaker["user_uuid"],
            "speaker_is_host": self.speaker["is_host"], "timestamp_ms": self.spoken.timestamp_millis(), "duration_ms": self.duration_ms,
            "transcription": { "transcript": text, "words": words } })
    }
}

/// The people in the meeting; the first is its host, and signed in.
pub fn participants(bot: &Bot) -> Vec<Value> {
    let people = bot.course.speakers.iter().enumerate().filter(|_| bot.joined_at.is_some() && bot.state != "data_deleted");
    people
        .map(|(nth, name)| {
            let id = hash(&(&bot.meeting_url, nth));
            let user = (nth == 0).then(|| format!("user-{:08x}", hash(&name) as u32));
            json!({ "id": format!("par_{id:016x}"), "name": name, "uuid": format!("spaces/{id:x}/devices/{nth}"), "user_uuid": user, "is_host": nth == 0 })
        })
        .collect()
}

/// All utterances while the bot records, whether readable yet or not.
pub fn utterances(bot: &Bot) -> Vec<Utterance> {
    let Some(from) = bot.recorded_from else { return Vec::new() };
    let speakers = participants(bot);
    let count = bot.course.utterances;
    let between = Duration::milliseconds(bot.course.meeting_seconds * 1_000 / i64::from(count + 1));
    let late = |nth: u32| nth * 37 % 100 < bot.course.late_percent;
    let in_time = |at: &DateTime<Utc>| bot.left_at.is_none_or(|left| *at < left);
    let slot = |nth: u32| if bot.course.at_once { nth / 2 } else { nth };
    (0..count)
        .map(|nth| (nth, from + between * i32::try_from(slot(nth) + 1).unwrap_or(i32::MAX)))
        .filter(|(_, spoken)| in_time(spoken))
        .filter_map(|(nth, spoken)| {
            let speaker = speakers.get(slot(nth) as usize % speakers.len().max(1))?.clone();
            let duration_ms = 1_500 + i64::from(slot(nth) % 7) * 250;
            let soon = spoken + Duration::milliseconds(duration_ms + 2_000);
            let heard = if late(nth) { late_words(bot) } else { Some(soon) };
            let corrected = (!late(nth) && nth % CORRECTED == CORRECTED - 1).then(|| soon + Duration::seconds(30));
            let text = format!("{nth}: {}", SENTENCES[nth as usize % SENTENCES.len()]);
            Some(Utterance { speaker, spoken, duration_ms, text, heard, corrected })
        })
        .collect()
}

/// When the words not transcribed during the meeting arrive; `None`: never.
fn late_words(bot: &Bot) -> Option<DateTime<Utc>> {
    match bot.course.transcript {
        Transcript::Complete => bot.transcribed_at(),
        Transcript::Failed => Some(bot.ended_at? + Duration::seconds(bot.course.words_seconds?)),
        Transcript::Never => None,
    }
}

/// Whether anything has been said by now, transcribed or not.
pub fn began(bot: &Bot, now: DateTime<Utc>) -> bool {
    utterances(bot).iter().any(|utterance| utterance.spoken <= now)
}

/// The chat by now, each with its time.
pub fn chat(bot: &Bot, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, Value)> {
    let Some(from) = bot.joined_at else { return Vec::new() };
    let people = participants(bot);
    let count = bot.course.chat_messages;
    let between = Duration::milliseconds(bot.course.meeting_seconds * 1_000 / i64::from(count + 1));
    let written = (0..count).filter_map(|nth| {
        let at = from + between * i32::try_from(nth + 1).ok()?;
        let sender = people.get(nth as usize % people.len().max(1))?;
        let id = hash(&(&bot.id, "chat", nth));
        let message = json!({ "id": format!("msg_{id:016x}"), "text": format!("https://example.com/notes/{nth}"),
            "timestamp_ms": at.timestamp() * 1_000, "timestamp": at.timestamp(), "to": "everyone", "sender_name": sender["name"],
            "sender_uuid": sender["uuid"], "sender_user_uuid": sender["user_uuid"], "additional_data": null });
        Some((at, message))
    });
    let mut all: Vec<_> = written.chain(bot.wrote.iter().cloned()).collect();
    all.retain(|(at, _)| *at <= now && bot.left_at.is_none_or(|left| *at < left));
    all.sort_by_key(|(at, _)| *at);
    all
}

/// Participant events up to now, each with its time.
pub fn movements(bot: &Bot, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, Value)> {
    let moves = [("join", bot.joined_at), ("leave", bot.left_at)].into_iter().filter_map(|(kind, at)| Some((kind, at?)));
    moves
        .filter(|(_, at)| *at <= now)
        .flat_map(|(kind, at)| {
            let shown = move |person: Value| {
                let id = hash(&(person["id"].as_str(), kind, time(at)));
                let event = json!({ "id": format!("pe_{id:016x}"), "participant_name": person["name"], "participant_uuid": person["uuid"],
                    "participant_user_uuid": person["user_uuid"], "participant_is_host": person["is_host"], "event_type": kind,
                    "event_data": {}, "timestamp_ms": at.timestamp_millis() });
                (at, event)
            };
            participants(bot).into_iter().map(shown)
        })
        .collect()
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
