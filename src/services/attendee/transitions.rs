//! Executes the steps of a schedule: each records its intention, calls Attendee, and records the result. A run that dies in between leaves a row
//! that shows it.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::api::{Ask, Changed, CreateOutcome};
use super::bot::{Bot, SCHEDULED};
use super::plan::{ExistingBot, Meeting};
use super::schedule::{REFUSED, Run};
use super::{failure, reasons, rows, store};
use crate::engine::{Calls, Counts};
use crate::error::{Class, Failure};
use crate::state::BotState;

/// A bot that should join sooner than this is requested without a time: Attendee rejects times in the past.
const AT_ONCE: chrono::Duration = chrono::Duration::seconds(10);

/// How far ahead Attendee's clock may be for a meeting that is about to begin to still get its bot.
const SOON: chrono::Duration = chrono::Duration::minutes(5);

/// The row id, project and deduplication key of a bot.
struct Asking<'a> {
    id: Uuid,
    project: Uuid,
    key: &'a str,
}

impl Run<'_> {
    /// Runs a small transaction if this run still holds the job. No connection is held during calls to Attendee.
    async fn write<T>(&self, work: impl AsyncFnOnce(&Transaction<'_>) -> anyhow::Result<T>) -> Result<T, Failure> {
        let mut client = self.runner.pool().get().await?;
        let tx = client.begin("beginning to write a bot").await?;
        self.runner.keep_job(&tx).await?;
        let done = work(&tx).await?;
        tx.commit().await.context("writing a bot")?;
        Ok(done)
    }

    pub(super) async fn create(&self, calls: &Calls, meeting: &Meeting) -> Result<Counts, Failure> {
        let join_at = self.join_at(meeting);
        let intended = self
            .write(async |tx| {
                let intended = rows::intend(tx, meeting, join_at).await?;
                if let Some((id, _)) = &intended {
                    rows::link(tx, *id, meeting, true).await?;
                }
                Ok(intended)
            })
            .await?;
        let Some((id, key)) = intended else {
            log::info!(project:% = meeting.project; "another run has requested the bot of a meeting: skipping it");
            return Ok(Counts { unchanged: 1, ..Counts::default() });
        };
        let done = self.request(calls, &Asking { id, project: meeting.project, key: &key }, meeting).await;
        if let Err(failure) = &done
            && failure.class != Class::LeaseLost
        {
            rows::failed(self.runner.pool(), id, failure, REFUSED).await?;
        }
        done
    }

    /// Requests a bot that Attendee does not have yet.
    async fn request(&self, calls: &Calls, asking: &Asking<'_>, meeting: &Meeting) -> Result<Counts, Failure> {
        let Asking { id, project, key } = *asking;
        let join_at = self.join_at(meeting);
        let ask = Ask {
            meeting_url: &meeting.link,
            bot_name: &self.attendee.settings.bot_name,
            join_at: (join_at > Utc::now() + AT_ONCE).then_some(join_at),
            dedup_key: key,
            bot: id,
        };
        let answer = match self.attendee.api.create(project, calls, &ask).await {
            // Attendee's clock is ahead of ours, or the call was slow.
            Err(failure) if failure::is_past(&failure) && join_at < Utc::now() + SOON => {
                self.attendee.api.create(project, calls, &Ask { join_at: None, ..ask }).await
            }
            answer => answer,
        };
        let (bot, raw) = match answer? {
            CreateOutcome::Made(raw) => (read(&raw)?, raw),
            // The answer to an earlier attempt was lost.
            CreateOutcome::KeyTaken => self.find(calls, asking).await?.ok_or_else(|| {
                Failure::new(
                    Class::Transient,
                    "bots.create: the deduplication key is in use, but no bot has it; the next run tries again",
                )
            })?,
        };
        self.write(async |tx| rows::opened(tx, id, project, &bot, raw.get(), join_at).await).await?;
        Ok(Counts { created: 1, ..Counts::default() })
    }

    /// Finds the bot of a key: the active one, or else the latest.
    async fn find(&self, calls: &Calls, asking: &Asking<'_>) -> Result<Option<(Bot, Box<RawValue>)>, Failure> {
        let raws = self.attendee.api.by_key(asking.project, calls, asking.key).await?;
        let mut latest = None;
        for raw in raws {
            let bot = read(&raw)?;
            if !bot.is_over() {
                return Ok(Some((bot, raw)));
            }
            latest = Some((bot, raw));
        }
        Ok(latest)
    }

    pub(super) async fn keep(&self, calls: &Calls, bot: &ExistingBot, meeting: &Meeting) -> Result<Counts, Failure> {
        if bot.state == BotState::Settled {
            return Ok(Counts { unchanged: 1, ..Counts::default() });
        }
        let links = meeting.occurrences.iter().map(|one| (one.user, one.event.clone())).collect();
        let is_same = bot.links == links && bot.audience.as_ref() == Some(&meeting.audience) && bot.title == meeting.title;
        if !is_same || bot.state == BotState::Creating {
            let exactly = bot.is_ahead();
            self.write(async |tx| {
                rows::link(tx, bot.id, meeting, exactly).await?;
                store::show(tx, &[bot.id]).await
            })
            .await?;
        }
        let asking = Asking { id: bot.id, project: bot.project, key: &bot.dedup_key };
        let (bot_id, raw_state) = match (bot.state, &bot.bot_id) {
            (BotState::Creating, _) => match self.find(calls, &asking).await? {
                Some((existing, raw)) => {
                    let join_at = self.join_at(meeting);
                    self.write(async |tx| rows::opened(tx, bot.id, bot.project, &existing, raw.get(), join_at).await).await?;
                    (existing.id, Some(existing.state))
                }
                // Looked for even after a refusal: an earlier request may have succeeded although its answer was lost.
                None if bot.refused_until.is_some() && !bot.is_elsewhere(meeting) => {
                    return Ok(Counts { unchanged: 1, ..Counts::default() });
                }
                None => {
                    let join_at = self.join_at(meeting);
                    self.write(async |tx| rows::moved(tx, bot.id, bot.project, meeting, join_at).await).await?;
                    return self.request(calls, &asking, meeting).await;
                }
            },
            (_, Some(id)) => (id.clone(), bot.raw_state.clone()),
            (state, None) => return Err(Failure::new(Class::Internal, format!("a bot in state {state} has no id"))),
        };
        let adopted = bot.state == BotState::Creating;
        if !bot.is_elsewhere(meeting) || raw_state.as_deref() != Some(SCHEDULED) {
            return Ok(if adopted {
                Counts { created: 1, ..Counts::default() }
            } else {
                Counts { unchanged: 1, ..Counts::default() }
            });
        }
        self.move_bot(calls, bot, &bot_id, meeting, &asking).await
    }

    /// Moves a bot to the current time and room of its meeting.
    async fn move_bot(
        &self,
        calls: &Calls,
        bot: &ExistingBot,
        bot_id: &str,
        meeting: &Meeting,
        asking: &Asking<'_>,
    ) -> Result<Counts, Failure> {
        let join_at = self.join_at(meeting);
        let time = join_at.max(Utc::now() + AT_ONCE);
        self.write(async |_| Ok(())).await?;
        let link = (bot.room != meeting.room).then_some(meeting.link.as_str());
        match self.attendee.api.reschedule(bot.project, calls, bot_id, time, link).await? {
            Changed::Done => {
                self.write(async |tx| rows::moved(tx, bot.id, bot.project, meeting, join_at).await).await?;
                Ok(Counts { updated: 1, ..Counts::default() })
            }
            // A poll reads its state; then the meeting gets another bot for its new time.
            Changed::TooLate => {
                self.write(async |tx| rows::look_now(tx, bot.id, bot.project).await).await?;
                self.refuse(bot, "Attendee can no longer move it: it joins at its old time and link");
                Ok(Counts { unchanged: 1, ..Counts::default() })
            }
            Changed::Gone => {
                self.write(async |tx| {
                    rows::unsure(tx, bot.id).await?;
                    rows::moved(tx, bot.id, bot.project, meeting, join_at).await
                })
                .await?;
                self.request(calls, asking, meeting).await
            }
        }
    }

    pub(super) async fn remove(&self, calls: &Calls, bot: &ExistingBot) -> Result<Counts, Failure> {
        let asking = Asking { id: bot.id, project: bot.project, key: &bot.dedup_key };
        let join_at = bot.start;
        let bot_id = match (bot.state, &bot.bot_id) {
            (BotState::Open, Some(bot_id)) => {
                self.write(async |tx| rows::unsure(tx, bot.id).await).await?;
                Some(bot_id.clone())
            }
            _ => {
                let existing = self.find(calls, &asking).await?;
                self.write(async |_| Ok(())).await?;
                existing.map(|(existing, _)| existing.id)
            }
        };
        let removed = match &bot_id {
            Some(bot_id) => self.attendee.api.remove(bot.project, calls, bot_id).await?,
            None => Changed::Gone,
        };
        match removed {
            Changed::Done | Changed::Gone => {
                self.write(async |tx| rows::removed(tx, bot.id).await).await?;
                Ok(Counts { deleted: 1, ..Counts::default() })
            }
            // It is or was in the meeting: it stays, and is followed like any other bot.
            Changed::TooLate => {
                let mut why = "Attendee can no longer remove it".to_owned();
                if let Some((existing, raw)) = self.find(calls, &asking).await? {
                    why = kept(&existing.state);
                    self.write(async |tx| {
                        rows::opened(tx, bot.id, bot.project, &existing, raw.get(), join_at).await?;
                        reasons::explained(tx, bot.id, &why).await
                    })
                    .await?;
                }
                self.refuse(bot, &why);
                Ok(Counts { unchanged: 1, ..Counts::default() })
            }
        }
    }

    /// Logs and notes that Attendee left a bot unchanged, and what will happen.
    fn refuse(&self, bot: &ExistingBot, why: &str) {
        self.runner.digest().add("bot left unchanged", None, format!("bot {} of project {}", bot.id, bot.project), why);
        self.attendee.notes.meeting(json!({
            "action": "refused", "bot_id": bot.bot_id, "title": bot.title, "start_at": bot.start, "why": why,
        }));
    }

    fn join_at(&self, meeting: &Meeting) -> DateTime<Utc> {
        // The setting is at most an hour.
        let before = chrono::Duration::from_std(self.attendee.settings.join_before).unwrap_or_default();
        (meeting.start - before).max(Utc::now())
    }
}

/// Explains what happens to an unwanted bot that Attendee does not remove.
fn kept(state: &str) -> String {
    match state {
        "staged" => {
            "Attendee does not remove it: it is staged, joins within five minutes, and is followed until it ends".to_owned()
        }
        state => format!("Attendee does not remove it: it is {state}, and is followed until it ends"),
    }
}

fn read(raw: &RawValue) -> Result<Bot, Failure> {
    Bot::read(raw).map_err(|poison| Failure::new(Class::Permanent, poison.error))
}
