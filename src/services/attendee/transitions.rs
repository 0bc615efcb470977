//! The steps of a schedule: each writes down what it is about to do, asks Attendee, and writes down what came of it. A run that dies in between
//! leaves a row that says so.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
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

/// A bot that is to join earlier than this from now joins at once: Attendee takes no time that is over when it gets it.
const AT_ONCE: chrono::Duration = chrono::Duration::seconds(10);

/// By how much Attendee's clock may be ahead of ours so that a meeting that begins gets its bot.
const SOON: chrono::Duration = chrono::Duration::minutes(5);

/// One small transaction, as long as the job is this run's: no connection is held while Attendee is asked.
macro_rules! written {
    ($run:expr, $tx:ident, $work:expr) => {{
        let mut client = $run.runner.pool().get().await?;
        let $tx = client.begin("beginning to write a bot").await?;
        $run.runner.keep_job(&$tx).await?;
        let done = $work;
        $tx.commit().await.context("writing a bot")?;
        done
    }};
}

/// A bot's row, whose it is, and its key.
struct Asking<'a> {
    id: Uuid,
    project: Uuid,
    key: &'a str,
}

impl Run<'_> {
    pub(super) async fn create(&self, calls: &Calls, meeting: &Meeting) -> Result<Counts, Failure> {
        let join_at = self.join_at(meeting);
        let intended = written!(self, tx, {
            let intended = rows::intend(&tx, meeting, join_at).await?;
            if let Some((id, _)) = &intended {
                rows::link(&tx, *id, meeting, true).await?;
            }
            intended
        });
        let Some((id, key)) = intended else {
            log::info!(project:% = meeting.project; "another run has asked for the bot of a meeting: it is left alone");
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

    /// Asks for a bot of which nothing is known at Attendee.
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
            // Its clock is ahead of ours, or the call took its time.
            Err(failure) if failure::is_past(&failure) && join_at < Utc::now() + SOON => {
                self.attendee.api.create(project, calls, &Ask { join_at: None, ..ask }).await
            }
            answer => answer,
        };
        let (bot, raw) = match answer? {
            CreateOutcome::Made(raw) => (read(&raw)?, raw),
            // The answer to an earlier try was lost.
            CreateOutcome::KeyTaken => self.find(calls, asking).await?.ok_or_else(|| {
                Failure::new(
                    Class::Transient,
                    "bots.create: the deduplication key is in use, but no bot has it; the next run tries again",
                )
            })?,
        };
        written!(self, tx, rows::opened(&tx, id, project, &bot, raw.get(), join_at).await?);
        Ok(Counts { created: 1, ..Counts::default() })
    }

    /// The bot of a key: the living one, or else the last one.
    async fn find(&self, calls: &Calls, asking: &Asking<'_>) -> Result<Option<(Bot, Box<RawValue>)>, Failure> {
        let raws = self.attendee.api.by_key(asking.project, calls, asking.key).await?;
        let mut found = None;
        for raw in raws {
            let bot = read(&raw)?;
            if !bot.is_over() {
                return Ok(Some((bot, raw)));
            }
            found = Some((bot, raw));
        }
        Ok(found)
    }

    pub(super) async fn keep(&self, calls: &Calls, bot: &ExistingBot, meeting: &Meeting) -> Result<Counts, Failure> {
        if bot.state == "settled" {
            return Ok(Counts { unchanged: 1, ..Counts::default() });
        }
        let wanted = meeting.occurrences.iter().map(|one| (one.user, one.event.clone())).collect();
        let is_same = bot.links == wanted && bot.audience.as_ref() == Some(&meeting.audience) && bot.title == meeting.title;
        if !is_same || bot.state == "creating" {
            let exactly = bot.is_ahead();
            written!(self, tx, {
                rows::link(&tx, bot.id, meeting, exactly).await?;
                store::show(&tx, &[bot.id]).await?;
            });
        }
        let asking = Asking { id: bot.id, project: bot.project, key: &bot.dedup_key };
        let (found, raw_state) = match (bot.state.as_str(), &bot.bot_id) {
            ("creating", _) => match self.find(calls, &asking).await? {
                Some((found, raw)) => {
                    let join_at = self.join_at(meeting);
                    written!(self, tx, rows::opened(&tx, bot.id, bot.project, &found, raw.get(), join_at).await?);
                    (found.id, Some(found.state))
                }
                // What was refused may have come after an answer that was lost: it is looked for all the same.
                None if bot.refused_until.is_some() && !bot.is_elsewhere(meeting) => {
                    return Ok(Counts { unchanged: 1, ..Counts::default() });
                }
                None => {
                    let join_at = self.join_at(meeting);
                    written!(self, tx, rows::moved(&tx, bot.id, bot.project, meeting, join_at).await?);
                    return self.request(calls, &asking, meeting).await;
                }
            },
            (_, Some(id)) => (id.clone(), bot.raw_state.clone()),
            (state, None) => return Err(Failure::new(Class::Internal, format!("a bot that is {state} has no id"))),
        };
        let adopted = bot.state == "creating";
        if !bot.is_elsewhere(meeting) || raw_state.as_deref() != Some(SCHEDULED) {
            return Ok(if adopted {
                Counts { created: 1, ..Counts::default() }
            } else {
                Counts { unchanged: 1, ..Counts::default() }
            });
        }
        self.take_along(calls, bot, &found, meeting, &asking).await
    }

    /// Moves a bot to where its meeting is now.
    async fn take_along(
        &self,
        calls: &Calls,
        bot: &ExistingBot,
        bot_id: &str,
        meeting: &Meeting,
        asking: &Asking<'_>,
    ) -> Result<Counts, Failure> {
        let join_at = self.join_at(meeting);
        let time = join_at.max(Utc::now() + AT_ONCE);
        written!(self, tx, ());
        let link = (bot.room != meeting.room).then_some(meeting.link.as_str());
        match self.attendee.api.reschedule(bot.project, calls, bot_id, time, link).await? {
            Changed::Done => {
                written!(self, tx, rows::moved(&tx, bot.id, bot.project, meeting, join_at).await?);
                Ok(Counts { updated: 1, ..Counts::default() })
            }
            // What it does where it is, a poll tells; then the meeting gets another one for its new time.
            Changed::TooLate => {
                written!(self, tx, rows::look_now(&tx, bot.id, bot.project).await?);
                self.refuse(bot, "Attendee does not move it any more: it joins at the time and link that it has");
                Ok(Counts { unchanged: 1, ..Counts::default() })
            }
            Changed::Gone => {
                written!(self, tx, {
                    rows::unsure(&tx, bot.id).await?;
                    rows::moved(&tx, bot.id, bot.project, meeting, join_at).await?;
                });
                self.request(calls, asking, meeting).await
            }
        }
    }

    pub(super) async fn remove(&self, calls: &Calls, bot: &ExistingBot) -> Result<Counts, Failure> {
        let asking = Asking { id: bot.id, project: bot.project, key: &bot.dedup_key };
        let join_at = bot.start;
        let bot_id = match (bot.state.as_str(), &bot.bot_id) {
            ("open", Some(bot_id)) => {
                written!(self, tx, rows::unsure(&tx, bot.id).await?);
                Some(bot_id.clone())
            }
            _ => {
                let found = self.find(calls, &asking).await?;
                written!(self, tx, ());
                found.map(|(found, _)| found.id)
            }
        };
        let removed = match &bot_id {
            Some(bot_id) => self.attendee.api.remove(bot.project, calls, bot_id).await?,
            None => Changed::Gone,
        };
        match removed {
            Changed::Done | Changed::Gone => {
                written!(self, tx, rows::removed(&tx, bot.id).await?);
                Ok(Counts { deleted: 1, ..Counts::default() })
            }
            // It is in the meeting, or was: it stays, and is followed like any other.
            Changed::TooLate => {
                let mut why = "Attendee does not take it back any more".to_owned();
                if let Some((found, raw)) = self.find(calls, &asking).await? {
                    why = kept(&found.state);
                    written!(self, tx, {
                        rows::opened(&tx, bot.id, bot.project, &found, raw.get(), join_at).await?;
                        reasons::explained(&tx, bot.id, &why).await?;
                    });
                }
                self.refuse(bot, &why);
                Ok(Counts { unchanged: 1, ..Counts::default() })
            }
        }
    }

    /// Says of a bot that Attendee left it as it is, and what will happen.
    fn refuse(&self, bot: &ExistingBot, why: &str) {
        self.runner.digest().add("bot left as it is", None, format!("bot {} of project {}", bot.id, bot.project), why);
        self.attendee.notes.meeting(json!({
            "action": "refused", "bot_id": bot.bot_id, "title": bot.title, "start_at": bot.start, "why": why,
        }));
    }

    fn join_at(&self, meeting: &Meeting) -> DateTime<Utc> {
        // A setting of an hour at the most.
        let before = chrono::Duration::from_std(self.attendee.settings.join_before).unwrap_or_default();
        (meeting.start - before).max(Utc::now())
    }
}

/// What becomes of a bot that nobody wants any more and that is not taken back.
fn kept(state: &str) -> String {
    match state {
        "staged" => {
            "Attendee does not take it back: it is staged, joins within five minutes, and is followed to its end".to_owned()
        }
        state => format!("Attendee does not take it back: it is {state}, and is followed to its end"),
    }
}

fn read(raw: &RawValue) -> Result<Bot, Failure> {
    Bot::read(raw).map_err(|poison| Failure::new(Class::Permanent, poison.error))
}
