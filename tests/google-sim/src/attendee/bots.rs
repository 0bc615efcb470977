//! Bots: the list with its filters, get, patch, delete, leave.

use axum::body::Body;
use axum::http::Response;

use super::ask::{Ask, Seen};
use super::bot::{Bot, Notice, STATES};
use super::create::{join_at, meeting_url, metadata};
use super::errors::{self, Refusal};
use super::page::page;

pub async fn list(ask: Ask) -> Response<Body> {
    ask.answer("bots.list", |seen| {
        let states: Vec<&str> = ask.all("states").collect();
        if let Some(odd) = states.iter().find(|state| !STATES.contains(state)) {
            let message = format!("Invalid state: {odd}. Valid states are: {}", STATES.join(", "));
            return Err(Box::new(errors::error(400, &message)));
        }
        let (after, before) = (ask.time("join_at_after")?, ask.time("join_at_before")?);
        let matches = |bot: &Bot| {
            (states.is_empty() || states.contains(&bot.shown_state()))
                && ask.get("meeting_url").is_none_or(|url| url == bot.meeting_url)
                && ask.get("deduplication_key").is_none_or(|key| bot.deduplication_key.as_deref() == Some(key))
                && after.is_none_or(|after| bot.join_at.is_some_and(|at| at > after))
                && before.is_none_or(|before| bot.join_at.is_some_and(|at| at < before))
        };
        let bots = seen.store.bots_of(seen.project).filter(|(_, bot)| matches(bot));
        let origin = origin(&ask, seen);
        Ok((200, Some(page(&ask, &origin, bots.map(|(position, bot)| (position, bot.shown(seen.now))))?)))
    })
    .await
}

/// Origin of the links to next pages.
pub fn origin(ask: &Ask, seen: &Seen<'_>) -> String {
    let configured = seen.store.projects.get(seen.project).and_then(|project| project.next_origin.clone());
    configured.unwrap_or_else(|| ask.world.origin.clone())
}

pub async fn show(ask: Ask) -> Response<Body> {
    ask.answer("bots.get", |seen| {
        let now = seen.now;
        Ok((200, Some(seen.bot(&ask)?.shown(now))))
    })
    .await
}

/// Moves a bot that is still scheduled; other fields are accepted without effect.
pub async fn patch(ask: Ask) -> Response<Body> {
    ask.answer("bots.patch", |seen| {
        let now = seen.now;
        let bot = seen.bot(&ask)?;
        let body = ask.object()?;
        let at = join_at(&body, now)?.unwrap_or(bot.join_at);
        let url = body.get("meeting_url").and_then(|url| url.as_str()).map(meeting_url).transpose()?;
        let url = url.unwrap_or_else(|| bot.meeting_url.clone());
        if (at != bot.join_at || url != bot.meeting_url) && bot.state != "scheduled" {
            let message = format!(
                "Bot is in state {} but join_at, meeting_url, bot_name, bot_image and recording_settings can only be updated when in the scheduled state",
                bot.shown_state()
            );
            return Err(Box::new(errors::error(400, &message)));
        }
        if body.contains_key("metadata") {
            bot.metadata = metadata(&body)?;
        }
        (bot.join_at, bot.meeting_url) = (at, url);
        Ok((200, Some(bot.shown(now))))
    })
    .await
}

pub async fn delete(ask: Ask) -> Response<Body> {
    ask.answer("bots.delete", |seen| {
        let bot = seen.bot(&ask)?;
        if bot.state != "scheduled" {
            let message = format!("Bot is in state {} but can only be deleted when in scheduled state", bot.shown_state());
            return Err(Box::new(errors::error(400, &message)));
        }
        bot.deleted = true;
        Ok((200, None))
    })
    .await
}

pub async fn leave(ask: Ask) -> Response<Body> {
    ask.answer("bots.leave", |seen| {
        let now = seen.now;
        let refused = |state: &str| {
            let allowed = "Joined - Recording, Joined - Not Recording, Waiting Room, Joining";
            format!(
                "Event leave_requested not allowed when bot is in state {state}. It is only allowed in these states: {allowed}"
            )
        };
        changed(&ask, seen, |bot| bot.leave(now), refused)
    })
    .await
}

pub async fn delete_data(ask: Ask) -> Response<Body> {
    ask.answer("bots.delete_data", |seen| {
        let now = seen.now;
        let refused = |_: &str| "Bot is not in a state where the data deleted event can be created".to_owned();
        changed(&ask, seen, |bot| bot.delete_data(now), refused)
    })
    .await
}

/// Changes a bot's state and sends the notice, or refuses the change.
fn changed(
    ask: &Ask,
    seen: &mut Seen<'_>,
    change: impl FnOnce(&mut Bot) -> Option<Notice>,
    refused: impl Fn(&str) -> String,
) -> Result<(u16, Option<serde_json::Value>), Refusal> {
    let now = seen.now;
    let bot = seen.bot(ask)?;
    let notice = change(bot).ok_or_else(|| Box::new(errors::error(400, &refused(bot.shown_state()))))?;
    let (id, shown) = (bot.id.clone(), bot.shown(now));
    seen.store.notify_of(&id, notice);
    Ok((200, Some(shown)))
}
