//! One bot: its state, and its transitions as time passes. Its representation in the API is in `bot/shown.rs`.

mod shown;

pub use shown::time;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::course::{Course, Transcript};
use super::speech;

/// Every state that the API can filter bots by.
pub const STATES: [&str; 16] = [
    "ready",
    "joining",
    "joined_not_recording",
    "joined_recording",
    "leaving",
    "post_processing",
    "fatal_error",
    "waiting_room",
    "ended",
    "data_deleted",
    "scheduled",
    "staged",
    "joined_recording_paused",
    "joining_breakout_room",
    "leaving_breakout_room",
    "joined_recording_permission_denied",
];

/// Seconds from leaving to having left.
const LEAVING: i64 = 5;
/// Seconds from joining to recording.
const PERMISSION: i64 = 1;

pub struct Bot {
    pub id: String,
    pub project: String,
    pub name: String,
    pub meeting_url: String,
    pub metadata: Value,
    pub join_at: Option<DateTime<Utc>>,
    pub deduplication_key: Option<String>,
    pub created_at: DateTime<Utc>,
    pub course: Course,
    pub state: &'static str,
    since: DateTime<Utc>,
    events: Vec<Event>,
    /// When it entered and left the meeting.
    pub joined_at: Option<DateTime<Utc>>,
    pub recorded_from: Option<DateTime<Utc>>,
    pub left_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// The chat messages it sent.
    pub wrote: Vec<(DateTime<Utc>, Value)>,
    /// Utterances that changed until then have been reported.
    reported_until: DateTime<Utc>,
    /// No further transitions will happen without a command.
    quiet: bool,
    /// Removed while it was scheduled: only the test's side still sees it.
    pub deleted: bool,
}

/// A change of state.
struct Event {
    kind: &'static str,
    sub_type: Option<&'static str>,
    at: DateTime<Utc>,
}

/// The content of a webhook.
pub struct Notice {
    pub at: DateTime<Utc>,
    pub trigger: &'static str,
    pub data: Value,
}

/// A bot to create.
pub struct New {
    pub project: String,
    pub name: String,
    pub meeting_url: String,
    pub metadata: Value,
    pub join_at: Option<DateTime<Utc>>,
    pub deduplication_key: Option<String>,
}

impl Bot {
    /// Scheduled, or on its way immediately. Returns the notices to send.
    pub fn new(new: New, course: Course, now: DateTime<Utc>) -> (Self, Vec<Notice>) {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let letter = || char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
        let id = (0..16).map(|_| letter()).collect::<String>();
        let mut bot = Self {
            id: format!("bot_{id}"),
            project: new.project,
            name: new.name,
            meeting_url: new.meeting_url,
            metadata: new.metadata,
            join_at: new.join_at,
            deduplication_key: new.deduplication_key,
            created_at: now,
            course,
            state: if new.join_at.is_some() { "scheduled" } else { "ready" },
            since: now,
            events: Vec::new(),
            joined_at: None,
            recorded_from: None,
            left_at: None,
            ended_at: None,
            wrote: Vec::new(),
            reported_until: now,
            quiet: false,
            deleted: false,
        };
        let notices = match bot.state {
            "ready" => vec![bot.go("joining", "join_requested", None, now)],
            _ => Vec::new(),
        };
        (bot, notices)
    }

    /// Changes its future course.
    pub fn follow(&mut self, course: Course) {
        self.course = course;
        self.quiet = false;
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, "ended" | "fatal_error" | "data_deleted")
    }

    pub fn is_in_meeting(&self) -> bool {
        matches!(
            self.state,
            "joined_not_recording" | "joined_recording" | "joined_recording_paused" | "joined_recording_permission_denied"
        )
    }

    /// When the present state ends by itself.
    fn due(&self) -> Option<DateTime<Utc>> {
        let after = |seconds: i64| Some(self.since + Duration::seconds(seconds));
        let due = match self.state {
            "scheduled" => self.join_at.map(|at| at - Duration::seconds(self.course.stage_seconds)),
            "staged" => self.join_at,
            "joining" => after(self.course.join_seconds),
            "waiting_room" => after(self.course.waiting_seconds),
            "joined_not_recording" => after(PERMISSION),
            "joined_recording" | "joined_recording_permission_denied" => after(self.course.meeting_seconds),
            "leaving" => after(LEAVING),
            "post_processing" => after(self.course.post_processing_seconds),
            _ => None,
        };
        // Transitions that are overdue when the bot is created happen then, not before.
        due.map(|due| due.max(self.since))
    }

    /// The transition out of the present state.
    fn step(&mut self, at: DateTime<Utc>) -> Notice {
        let waits = self.course.waiting_seconds > 0 || !self.course.admitted;
        match self.state {
            "scheduled" => self.go("staged", "staged", None, at),
            "staged" => self.go("joining", "join_requested", None, at),
            "joining" if waits => self.go("waiting_room", "put_in_waiting_room", None, at),
            "waiting_room" if !self.course.admitted => self.fail("could_not_join_meeting", "waiting_room_timeout_exceeded", at),
            "joining" | "waiting_room" => {
                self.joined_at = Some(at);
                self.go("joined_not_recording", "joined_meeting", None, at)
            }
            "joined_not_recording" if !self.course.recorded => {
                self.go("joined_recording_permission_denied", "recording_permission_denied", None, at)
            }
            "joined_not_recording" => {
                self.recorded_from = Some(at);
                self.go("joined_recording", "recording_permission_granted", None, at)
            }
            "leaving" => {
                self.left_at = Some(at);
                self.go("post_processing", "left_meeting", None, at)
            }
            "post_processing" => {
                self.ended_at = Some(at);
                self.go("ended", "post_processing_completed", None, at)
            }
            // All other participants have left.
            _ => self.go("leaving", "leave_requested", Some("auto_leave_only_participant_in_meeting"), at),
        }
    }

    fn go(&mut self, state: &'static str, kind: &'static str, sub_type: Option<&'static str>, at: DateTime<Utc>) -> Notice {
        let old = std::mem::replace(&mut self.state, state);
        self.since = at;
        self.events.push(Event { kind, sub_type, at });
        let data = json!({ "new_state": state, "old_state": old, "created_at": at.to_rfc3339_opts(SecondsFormat::Micros, false),
            "event_type": kind, "event_sub_type": sub_type, "event_metadata": {} });
        Notice { at, trigger: "bot.state_change", data }
    }

    pub fn fail(&mut self, kind: &'static str, sub_type: &'static str, at: DateTime<Utc>) -> Notice {
        self.left_at = self.joined_at.map(|_| at);
        self.go("fatal_error", kind, Some(sub_type), at)
    }

    /// The meeting is over for all participants.
    pub fn end_meeting(&mut self, at: DateTime<Utc>) -> Option<Notice> {
        let allowed = self.is_in_meeting() || matches!(self.state, "waiting_room" | "joining" | "leaving");
        self.left_at = self.joined_at.filter(|_| allowed).map(|_| at).or(self.left_at);
        allowed.then(|| self.go("post_processing", "meeting_ended", None, at))
    }

    /// Told to leave by a command.
    pub fn leave(&mut self, at: DateTime<Utc>) -> Option<Notice> {
        let allowed = self.is_in_meeting() || matches!(self.state, "waiting_room" | "joining");
        allowed.then(|| self.go("leaving", "leave_requested", Some("user_requested"), at))
    }

    pub fn delete_data(&mut self, at: DateTime<Utc>) -> Option<Notice> {
        matches!(self.state, "ended" | "fatal_error").then(|| self.go("data_deleted", "data_deleted", None, at))
    }

    /// Lets time pass until now; returns what happened, in order.
    pub fn settle(&mut self, now: DateTime<Utc>) -> Vec<Notice> {
        let mut notices = Vec::new();
        if self.quiet {
            return notices;
        }
        while let Some(due) = self.due().filter(|due| *due <= now) {
            notices.push(self.step(due));
        }
        for utterance in speech::utterances(self) {
            let changes = utterance.changes().into_iter().filter(|at| *at > self.reported_until && *at <= now);
            notices.extend(changes.map(|at| Notice { at, trigger: "transcript.update", data: utterance.shown(at) }));
        }
        self.reported_until = self.reported_until.max(now);
        self.quiet = self.is_done() && self.next_at().is_none();
        notices.sort_by_key(|notice| notice.at);
        notices
    }

    /// Time of the next transition.
    pub fn next_at(&self) -> Option<DateTime<Utc>> {
        if self.quiet {
            return None;
        }
        let spoken = speech::utterances(self).into_iter().flat_map(|utterance| utterance.changes());
        spoken.filter(|at| *at > self.reported_until).chain(self.due()).min()
    }

    /// When the transcription ends, with any outcome.
    pub fn transcribed_at(&self) -> Option<DateTime<Utc>> {
        let ended = self.ended_at.filter(|_| self.course.transcript != Transcript::Never)?;
        Some(ended + Duration::seconds(self.course.transcript_seconds))
    }
}
