//! The data of a bot: transcript, recording, chat, participants and their events.

use axum::body::Body;
use axum::http::Response;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::ask::{Ask, Seen};
use super::bot::Bot;
use super::bots::origin;
use super::create::throttle;
use super::errors::{self, Refusal};
use super::page::page;
use super::speech;

/// All utterances transcribed by now, as one array without pages.
pub async fn transcript(ask: Ask) -> Response<Body> {
    ask.answer("bots.transcript", |seen| {
        let now = seen.now;
        let after = ask.time("updated_after")?;
        let bot = seen.bot(&ask)?;
        let new = |updated: Option<DateTime<Utc>>| after.is_none_or(|after| updated.is_some_and(|updated| updated > after));
        let utterances = bot.utterances(now).into_iter().filter(|utterance| new(utterance.updated_at(now)));
        Ok((200, Some(utterances.map(|utterance| utterance.shown(now)).collect())))
    })
    .await
}

pub async fn recording(ask: Ask) -> Response<Body> {
    ask.answer("bots.recording", |seen| {
        let url = format!("{}/recordings", ask.world.origin);
        let bot = seen.bot(&ask)?;
        let from = bot.recorded_from.filter(|_| bot.state == "ended");
        let from = from.ok_or_else(|| Box::new(errors::error(404, "No recording file found for bot")))?;
        Ok((200, Some(json!({ "url": format!("{url}/{}.mp4", bot.id), "start_timestamp_ms": from.timestamp_millis() }))))
    })
    .await
}

pub async fn chat_messages(ask: Ask) -> Response<Body> {
    ask.answer("bots.chat_messages", |seen| {
        let after = ask.time("updated_after")?;
        listed(&ask, seen, |bot, now| match bot.state {
            "data_deleted" => Vec::new(),
            _ => speech::chat(bot, now).into_iter().filter(|(at, _)| after.is_none_or(|after| *at > after)).collect(),
        })
    })
    .await
}

pub async fn participants(ask: Ask) -> Response<Body> {
    ask.answer("bots.participants", |seen| {
        listed(&ask, seen, |bot, now| speech::participants(bot).into_iter().map(|person| (now, person)).collect())
    })
    .await
}

pub async fn participant_events(ask: Ask) -> Response<Body> {
    ask.answer("bots.participant_events", |seen| {
        let (after, before) = (ask.time("after")?, ask.time("before")?);
        let in_range = |at: &DateTime<Utc>| after.is_none_or(|after| *at > after) && before.is_none_or(|before| *at < before);
        listed(&ask, seen, |bot, now| speech::movements(bot, now).into_iter().filter(|(at, _)| in_range(at)).collect())
    })
    .await
}

/// A page of a bot's data.
fn listed(
    ask: &Ask,
    seen: &mut Seen<'_>,
    rows: impl FnOnce(&Bot, DateTime<Utc>) -> Vec<(DateTime<Utc>, Value)>,
) -> Result<(u16, Option<Value>), Refusal> {
    let (now, origin) = (seen.now, origin(ask, seen));
    let rows = rows(seen.bot(ask)?, now);
    let placed = rows.into_iter().zip(1..).map(|((_, row), position)| (position, row));
    Ok((200, Some(page(ask, &origin, placed)?)))
}

/// The bot writes into the chat while it is in the meeting.
pub async fn send_chat_message(ask: Ask) -> Response<Body> {
    ask.answer("bots.send_chat_message", |seen| {
        throttle(seen)?;
        let now = seen.now;
        let bot = seen.bot(&ask)?;
        let body = ask.object()?;
        let text = body.get("message").and_then(Value::as_str).ok_or_else(|| errors::field("message", "This field is required."))?;
        if !bot.is_in_meeting() {
            let message = format!("Bot is in state {} and cannot send chat messages", bot.shown_state());
            return Err(Box::new(errors::error(400, &message)));
        }
        let message = json!({ "id": format!("msg_{:016}", bot.wrote.len()), "text": text, "timestamp_ms": now.timestamp() * 1_000,
            "timestamp": now.timestamp(), "to": "everyone", "sender_name": bot.name, "sender_uuid": bot.id, "sender_user_uuid": null,
            "additional_data": null });
        bot.wrote.push((now, message));
        Ok((200, None))
    })
    .await
}
