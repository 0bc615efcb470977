//! The unfinished bots of a run (table `attendee_bots`), and when each is polled. No network access.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::SERVICE;
use super::bot::Bot;
use crate::db::Pool;
use crate::db::claims::Selection;

/// An unfinished bot.
#[derive(Debug, Clone)]
pub struct OpenBot {
    /// Attendee's id.
    pub bot_id: String,
    pub state: Option<String>,
    pub transcription_state: Option<String>,
    pub join_at: DateTime<Utc>,
    pub heard_until: Option<DateTime<Utc>>,
    /// When it ended; its transcript is awaited since then.
    pub ended_at: Option<DateTime<Utc>>,
    look_at: DateTime<Utc>,
    /// Whether this run polls it.
    due: bool,
}

/// The bots of a run, by project.
#[derive(Debug, Default)]
pub struct OpenBots(HashMap<Uuid, Vec<OpenBot>>);

impl OpenBots {
    /// Loads the bots of the projects that a selection polls. All bots of a project are due if the poll is forced, or if Attendee has sent a
    /// notification since the last poll; otherwise those that are due now or within `slack`, which saves them a separate poll.
    pub async fn load(pool: &Pool, selection: &Selection, slack: Duration) -> anyhow::Result<Self> {
        let rows = pool
            .get()
            .await?
            .query_typed(
                "SELECT b.project_id, b.bot_id, b.raw_state, b.transcription_state, b.join_at, b.heard_until, b.ended_at, b.look_at,
                   $2 OR b.look_at <= now() + make_interval(secs => $4) OR coalesce(s.pushed_at > coalesce(s.polled_at, '-infinity'), false)
                 FROM attendee_bots b JOIN streams s ON s.attendee_project = b.project_id
                 WHERE s.service = $1 AND b.state IN ('open', 'ended') AND b.bot_id IS NOT NULL AND ($3::uuid[] IS NULL OR b.project_id = ANY ($3))
                 ORDER BY b.join_at",
                &[
                    (&SERVICE, Type::TEXT),
                    (&selection.force, Type::BOOL),
                    (&selection.users, Type::UUID_ARRAY),
                    (&slack.as_secs_f64(), Type::FLOAT8),
                ],
            )
            .await
            .context("reading open bots")?;
        let mut opens = Self::default();
        for row in &rows {
            let open = OpenBot {
                bot_id: row.try_get(1)?,
                state: row.try_get(2)?,
                transcription_state: row.try_get(3)?,
                join_at: row.try_get(4)?,
                heard_until: row.try_get(5)?,
                ended_at: row.try_get(6)?,
                look_at: row.try_get(7)?,
                due: row.try_get(8)?,
            };
            opens.0.entry(row.try_get(0)?).or_default().push(open);
        }
        Ok(opens)
    }

    /// Makes streams due earlier if one of their bots is due earlier: while a poll chose its next time, another run may have created a bot that
    /// the poll did not know of.
    pub async fn wake(pool: &Pool) -> anyhow::Result<()> {
        pool.get()
            .await?
            .execute_typed(
                "UPDATE streams s SET due_at = next.look_at
                 FROM (
                   SELECT b.project_id, min(b.look_at) AS look_at
                   FROM attendee_bots b JOIN streams s ON s.attendee_project = b.project_id
                   WHERE b.state IN ('open', 'ended') AND b.look_at > coalesce(s.polled_at, '-infinity') GROUP BY b.project_id) next
                 WHERE s.attendee_project = next.project_id AND s.due_at > next.look_at AND s.failures = 0",
                &[],
            )
            .await
            .context("making projects due for their next bots")?;
        Ok(())
    }

    /// The due bots of a project.
    pub fn due(&self, project: Uuid) -> Vec<&OpenBot> {
        self.0.get(&project).into_iter().flatten().filter(|open| open.due).collect()
    }

    /// Returns a bot of a project.
    pub fn find(&self, project: Uuid, bot_id: &str) -> Option<&OpenBot> {
        self.0.get(&project)?.iter().find(|open| open.bot_id == bot_id)
    }

    /// How long the next poll of a project can wait, after one at `now`.
    pub fn wait(&self, project: Uuid, now: DateTime<Utc>, live: Duration, idle: Duration) -> Duration {
        let next = self
            .0
            .get(&project)
            .into_iter()
            .flatten()
            .map(|open| if open.due { next_look(open.ended_at, now, live) } else { open.look_at });
        let Some(next) = next.min() else { return idle };
        (next - now).to_std().unwrap_or_default().clamp(live.min(Duration::from_secs(1)), idle)
    }
}

/// When to poll a bot next: regularly while it is active; ever less often while its transcript is awaited.
pub fn next_look(ended_at: Option<DateTime<Utc>>, now: DateTime<Utc>, live: Duration) -> DateTime<Utc> {
    let waited = ended_at.and_then(|ended| (now - ended).to_std().ok()).unwrap_or_default();
    now + live.max(waited / 4)
}

/// What to fetch in addition to the bot itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Nothing,
    /// The utterances since then; `None`: all so far.
    News(Option<DateTime<Utc>>),
    /// The transcript.
    Transcript(Sure),
    /// There will be no transcript, and why.
    Over(&'static str),
    /// The transcript was deleted at Attendee.
    Deleted,
}

/// Whether a transcript is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// It is complete.
    Complete,
    /// Final if it has utterances; an empty one may still be filled.
    Perhaps,
    /// Utterances are missing, and may still come.
    Late,
    /// Utterances are missing, and are no longer awaited.
    GivenUp,
}

/// Decides what to fetch for a bot in its current state.
pub fn lookup(open: &OpenBot, bot: &Bot, now: DateTime<Utc>, patience: Duration) -> Lookup {
    if !bot.is_over() {
        return if bot.hears() { Lookup::News(open.heard_until) } else { Lookup::Nothing };
    }
    let waited = open.ended_at.and_then(|ended| (now - ended).to_std().ok()).unwrap_or_default();
    let last = waited >= patience;
    let recording = bot.recording_state.as_deref();
    match (bot.state.as_str(), bot.transcription_state.as_deref()) {
        ("data_deleted", _) => Lookup::Deleted,
        // Some utterances could not be transcribed, or not within five minutes of the meeting. Attendee keeps this state even if they come later.
        (_, Some("failed")) => Lookup::Transcript(if last { Sure::GivenUp } else { Sure::Late }),
        ("fatal_error", _) | (_, Some("complete")) => Lookup::Transcript(Sure::Complete),
        (_, Some("not_started")) if recording == Some("not_started") => Lookup::Over("nothing was recorded"),
        // The first utterance starts the transcription, so no one spoke.
        (_, Some("not_started")) if matches!(recording, Some("complete" | "failed")) => Lookup::Transcript(Sure::Complete),
        (_, Some("not_started" | "in_progress")) if !last => Lookup::Nothing,
        _ if last => Lookup::Transcript(Sure::GivenUp),
        _ => Lookup::Transcript(Sure::Perhaps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(86_400);

    fn open() -> OpenBot {
        OpenBot {
            bot_id: "bot_1".into(),
            state: None,
            transcription_state: None,
            join_at: DateTime::UNIX_EPOCH,
            heard_until: None,
            ended_at: None,
            look_at: DateTime::UNIX_EPOCH,
            due: true,
        }
    }

    fn bot(state: &str, transcription: Option<&str>) -> Bot {
        let text = serde_json::json!({ "id": "bot_1", "state": state, "transcription_state": transcription }).to_string();
        serde_json::from_str(&text).expect("a bot")
    }

    #[test]
    fn transcripts_are_stored_when_complete_and_abandoned_after_a_day() {
        let now = DateTime::UNIX_EPOCH + DAY * 30;
        let since = |ago: Duration| OpenBot { ended_at: Some(now - ago), ..open() };
        let table = [
            (open(), bot("joined_recording", None), Lookup::News(None)),
            (open(), bot("waiting_room", None), Lookup::Nothing),
            (open(), bot("dancing", None), Lookup::Nothing),
            (since(MINUTE), bot("ended", Some("in_progress")), Lookup::Nothing),
            (since(MINUTE), bot("ended", Some("complete")), Lookup::Transcript(Sure::Complete)),
            (since(MINUTE), bot("ended", None), Lookup::Transcript(Sure::Perhaps)),
            (since(MINUTE), bot("ended", Some("failed")), Lookup::Transcript(Sure::Late)),
            (since(MINUTE), bot("fatal_error", Some("failed")), Lookup::Transcript(Sure::Late)),
            (since(DAY), bot("ended", Some("failed")), Lookup::Transcript(Sure::GivenUp)),
            (since(DAY), bot("ended", Some("in_progress")), Lookup::Transcript(Sure::GivenUp)),
            (open(), bot("fatal_error", Some("not_started")), Lookup::Transcript(Sure::Complete)),
            (open(), bot("data_deleted", Some("complete")), Lookup::Deleted),
        ];
        for (open, bot, expected) in table {
            assert_eq!(lookup(&open, &bot, now, DAY), expected, "{bot:?}");
        }
    }

    #[test]
    fn a_meeting_without_speech_is_finished_immediately() {
        let looked_up = |recording: &str| {
            let mut silent = bot("ended", Some("not_started"));
            silent.recording_state = Some(recording.into());
            lookup(&open(), &silent, DateTime::UNIX_EPOCH, DAY)
        };
        assert_eq!(looked_up("complete"), Lookup::Transcript(Sure::Complete));
        assert_eq!(looked_up("failed"), Lookup::Transcript(Sure::Complete));
        assert_eq!(looked_up("not_started"), Lookup::Over("nothing was recorded"));
        assert_eq!(looked_up("in_progress"), Lookup::Nothing);
    }

    #[test]
    fn polls_wait_for_the_next_bot_and_back_off_for_late_transcripts() {
        let now = DateTime::UNIX_EPOCH + DAY;
        let project = Uuid::new_v4();
        let wait = |open: OpenBot| OpenBots(HashMap::from([(project, vec![open])])).wait(project, now, MINUTE, 60 * MINUTE);
        assert_eq!(OpenBots::default().wait(project, now, MINUTE, 60 * MINUTE), 60 * MINUTE);
        assert_eq!(wait(open()), MINUTE);
        assert_eq!(wait(OpenBot { due: false, look_at: now + 10 * MINUTE, ..open() }), 10 * MINUTE);
        assert_eq!(wait(OpenBot { ended_at: Some(now - 4 * 20 * MINUTE), ..open() }), 20 * MINUTE);
    }
}
