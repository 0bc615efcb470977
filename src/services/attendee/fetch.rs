//! Fetches the states and utterances of a project's open bots. No database access.

use std::collections::HashMap;

use chrono::Utc;
use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use super::Attendee;
use super::bot::{self, Bot, Change, Heard, LIVING, Transcript};
use super::open::{self, Lookup, OpenBot, Sure};
use super::transcript;
use crate::db::items::Poison;
use crate::engine::{Calls, Item, Next, Page, Stream};
use crate::error::{Class, Failure};

/// Maximum number of bots fetched concurrently.
const AT_ONCE: usize = 8;
/// Allowed clock difference. With a larger one, utterances can be missed until the transcript is complete.
const SKEW: chrono::Duration = chrono::Duration::seconds(30);

/// Polls a project: returns the due bots that have changed. Makes no call if no bot is due.
pub async fn bots(attendee: &Attendee, stream: &Stream, calls: &Calls) -> Result<Page<Change>, Failure> {
    let now = Utc::now();
    let due = attendee.opens.due(stream.user_id);
    let mut page =
        Page { items: Vec::new(), poison: Vec::new(), pinned: None, expected: None, next: Next::Cursor(now.to_rfc3339()) };
    let mut listed = listed(attendee, stream, calls, &due).await?;
    let requests: Vec<_> = due
        .iter()
        .map(|open| (*open, listed.remove(&open.bot_id)))
        .map(|(open, raw)| calls.on(&open.bot_id, one(attendee, stream, calls, open, raw)))
        .collect();
    let answers: Vec<_> = futures_util::stream::iter(requests).buffered(AT_ONCE).collect().await;
    let (mut read, mut unread) = (0, None);
    for (open, answer) in due.iter().zip(answers) {
        match answer {
            Ok(Ok(item)) => {
                read += 1;
                page.items.extend(item);
            }
            Ok(Err(poison)) => page.poison.push(poison),
            // One bot must not hold up the others. It stays open, and the next poll tries again.
            Err(failure) if matches!(failure.class, Class::Permanent | Class::Transient) => {
                calls.digest.failed("bot not read", stream, &failure);
                attendee.notes.unread(&open.bot_id, &failure.message);
                unread = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    match unread {
        Some(failure) if read == 0 => Err(failure),
        _ => Ok(page),
    }
}

/// Lists the bots of a project by id, 25 per call. Makes no call if no due bot is active.
async fn listed(
    attendee: &Attendee,
    stream: &Stream,
    calls: &Calls,
    due: &[&OpenBot],
) -> Result<HashMap<String, Box<RawValue>>, Failure> {
    let living: Vec<&&OpenBot> = due.iter().filter(|open| open.ended_at.is_none()).collect();
    let Some(latest) = living.iter().map(|open| open.join_at).max() else { return Ok(HashMap::new()) };
    // Excludes bots that join later. Bots that were to join immediately have no `join_at`, and are fetched by their ids.
    let before = latest + chrono::Duration::seconds(1);
    let raws = attendee.api.list(stream.user_id, calls, &LIVING, Some(before)).await?;
    let named = |raw: Box<RawValue>| Some((Bot::read(&raw).ok()?.id, raw));
    Ok(raws.into_iter().filter_map(named).collect())
}

type Answer = Result<Option<Item<Change>>, Poison>;

/// Processes a due bot, from the list or else fetched by its id; `None` if nothing has changed.
async fn one(
    attendee: &Attendee,
    stream: &Stream,
    calls: &Calls,
    open: &OpenBot,
    listed: Option<Box<RawValue>>,
) -> Result<Answer, Failure> {
    if calls.is_deadly(&open.bot_id) {
        return Ok(Err(Poison::deadly(&open.bot_id)));
    }
    let raw = match listed {
        Some(raw) => raw,
        None => match attendee.api.get(stream.user_id, calls, &open.bot_id).await? {
            Some(raw) => raw,
            None => return Ok(Ok(Some(bot::gone(&open.bot_id)?))),
        },
    };
    let bot = match Bot::read(&raw) {
        Ok(bot) => bot,
        Err(poison) => return Ok(Err(poison)),
    };
    let heard = match heard(attendee, stream, calls, open, &bot).await? {
        Ok(heard) => heard,
        Err(wrong) => return Ok(Err(Poison { item_id: bot.id, raw: raw.get().to_owned(), error: wrong, unfetched: None })),
    };
    note_problems(attendee, calls, &bot);
    let same = open.state.as_deref() == Some(&bot.state) && open.transcription_state == bot.transcription_state;
    // While a transcript is awaited, every poll is stored, because the time of the next one depends on it.
    let quiet = match &heard {
        Heard::Unasked => !bot.is_over(),
        Heard::News(news, _) => news.is_empty(),
        Heard::Transcript(_) | Heard::Over(_) | Heard::Late(_) | Heard::Deleted => false,
    };
    // If the state is known, so is the last event; newly heard utterances have no change time.
    let is_new = open.state.as_deref() != Some(&bot.state);
    let item = |bot: Bot| {
        let item = bot::item(bot, raw, heard);
        Item { changed_at: item.changed_at.filter(|_| is_new), ..item }
    };
    Ok(Ok((!(same && quiet)).then(|| item(bot))))
}

/// Logs and notes the problems of a bot.
fn note_problems(attendee: &Attendee, calls: &Calls, bot: &Bot) {
    if bot.is_strange() {
        calls.digest.add("unknown state of a bot, stored unchanged", None, &bot.id, &format!("{:?}", bot.state));
        attendee.notes.strange(&bot.id, &bot.state);
    }
    if let Some(reason) = bot.reason() {
        calls.digest.add("bot with a problem", None, &bot.id, &format!("{} ({reason})", bot.state));
        attendee.notes.problem(&bot.id, &reason);
    }
}

/// Fetches what the bot has heard, if it is time to. The inner error describes invalid data.
async fn heard(
    attendee: &Attendee,
    stream: &Stream,
    calls: &Calls,
    open: &OpenBot,
    bot: &Bot,
) -> Result<Result<Heard, String>, Failure> {
    let (project, now) = (stream.user_id, Utc::now());
    Ok(match open::lookup(open, bot, now, attendee.settings.transcript_patience) {
        Lookup::Nothing => Ok(Heard::Unasked),
        Lookup::Over(why) => Ok(Heard::Over(why)),
        Lookup::Deleted => Ok(Heard::Deleted),
        Lookup::News(since) => {
            let raws = attendee.api.transcript(project, calls, &bot.id, since).await?.unwrap_or_default();
            transcript::read(raws).map(|news| Heard::News(news, now - SKEW))
        }
        Lookup::Transcript(sure) => transcript(attendee, stream, calls, bot, sure).await?,
    })
}

/// Fetches the transcript. The inner error describes invalid data.
async fn transcript(
    attendee: &Attendee,
    stream: &Stream,
    calls: &Calls,
    bot: &Bot,
    sure: Sure,
) -> Result<Result<Heard, String>, Failure> {
    let project = stream.user_id;
    let raws = attendee.api.transcript(project, calls, &bot.id, None).await?.unwrap_or_default();
    let said = match transcript::read(raws) {
        Ok(said) if said.is_empty() => return Ok(Ok(interpret_empty(bot, sure))),
        Ok(said) => said,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let raws = attendee.api.participants(project, calls, &bot.id).await?.unwrap_or_default();
    let failed = bot.transcription_state.as_deref() == Some("failed");
    let note = match sure {
        Sure::Complete | Sure::Perhaps => None,
        Sure::Late => Some("incomplete: Attendee has not transcribed everything; words that come later are added"),
        Sure::GivenUp if failed => Some("incomplete: Attendee did not transcribe everything (its transcription failed)"),
        Sure::GivenUp => Some("may be incomplete: the transcription did not finish in time"),
    };
    let is_final = sure != Sure::Late;
    Ok(transcript::present(&raws).map(|present| Heard::Transcript(Transcript { said, present, note, is_final })))
}

/// Interprets an empty transcript.
fn interpret_empty(bot: &Bot, sure: Sure) -> Heard {
    match sure {
        Sure::Complete if bot.has_failed() => Heard::Over("nothing was heard before the bot failed"),
        Sure::Complete => Heard::Over("no one spoke"),
        Sure::Perhaps => Heard::Unasked,
        Sure::Late => Heard::Late("Attendee has transcribed nothing (its transcription failed); words may still come"),
        Sure::GivenUp => Heard::Over("no transcript arrived in time"),
    }
}

/// Fetches one bot by its id, due or not.
pub async fn single(attendee: &Attendee, stream: &Stream, calls: &Calls, id: &str) -> Result<Item<Change>, Failure> {
    let Some(raw) = attendee.api.get(stream.user_id, calls, id).await? else { return Ok(bot::gone(id)?) };
    let wrong = |why: String| Failure::new(Class::Permanent, format!("bots.get: {why}"));
    let bot = Bot::read(&raw).map_err(|poison| wrong(poison.error))?;
    let heard = match attendee.opens.find(stream.user_id, id) {
        Some(open) => heard(attendee, stream, calls, open, &bot).await?.map_err(wrong)?,
        // A settled bot that is requested explicitly: fetch what has come since.
        None if bot.is_over() && bot.transcription_state.as_deref() == Some("failed") => {
            transcript(attendee, stream, calls, &bot, Sure::GivenUp).await?.map_err(wrong)?
        }
        None => Heard::Unasked,
    };
    note_problems(attendee, calls, &bot);
    Ok(bot::item(bot, raw, heard))
}
