//! `POST /bots`: validation and creation.

use axum::body::Body;
use axum::http::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::ask::{Ask, Seen};
use super::bot::New;
use super::errors::{self, Refusal};
use super::meeting_url::normalized;
use super::store::Project;

/// Fields that have an effect.
const READ: [&str; 5] = ["meeting_url", "bot_name", "metadata", "join_at", "deduplication_key"];
/// Fields that are accepted without effect.
const TAKEN: [&str; 17] = [
    "automatic_leave_settings",
    "bot_chat_message",
    "bot_image",
    "calendar_event_id",
    "callback_settings",
    "debug_settings",
    "external_media_storage_settings",
    "google_meet_settings",
    "kubernetes_settings",
    "recording_settings",
    "rtmp_settings",
    "teams_settings",
    "transcription_settings",
    "voice_agent_settings",
    "webhooks",
    "websocket_settings",
    "zoom_settings",
];
const LONGEST_KEY: usize = 1_024;

type Object = Map<String, Value>;

pub async fn create(ask: Ask) -> Response<Body> {
    ask.answer("bots.create", |seen| {
        throttle(seen)?;
        let new = read(&ask.object()?, seen.project, seen.now)?;
        let bot = seen.store.make(new, seen.now).map_err(|_| Box::new(errors::error(400, errors::KEY_IN_USE)))?;
        Ok((201, Some(bot.shown(seen.now))))
    })
    .await
}

/// Counts a request against the project's throttle.
pub fn throttle(seen: &mut Seen<'_>) -> Result<(), Refusal> {
    let Some(project) = seen.store.projects.get_mut(seen.project) else { return Ok(()) };
    let Project { posts_per_minute: Some(most), posts, .. } = project else { return Ok(()) };
    let throttled = |remaining: TimeDelta| Box::new(errors::throttled(remaining.num_seconds().max(1).unsigned_abs()));
    posts.spend(1, *most, TimeDelta::minutes(1), seen.now).map_err(throttled)?;
    Ok(())
}

fn read(body: &Object, project: &str, now: DateTime<Utc>) -> Result<New, Refusal> {
    let known = |name: &&String| READ.contains(&name.as_str()) || TAKEN.contains(&name.as_str());
    let mut odd: Vec<&str> = body.keys().filter(|name| !known(name)).map(String::as_str).collect();
    if !odd.is_empty() {
        odd.sort_unstable();
        return Err(errors::field("non_field_errors", &format!("Unexpected field(s): {}.", odd.join(", "))));
    }
    let meeting_url = meeting_url(&required(body, "meeting_url")?)?;
    let name = required(body, "bot_name")?;
    if name.chars().any(|letter| u32::from(letter) > 0xFFFF) {
        return Err(errors::field("bot_name", "Bot name cannot contain emojis or rare script characters."));
    }
    let deduplication_key = text(body, "deduplication_key")?;
    if deduplication_key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY) {
        return Err(errors::field("deduplication_key", "Ensure this field has no more than 1024 characters."));
    }
    let (metadata, join_at) = (metadata(body)?, join_at(body, now)?.flatten());
    Ok(New { project: project.to_owned(), name, meeting_url, metadata, join_at, deduplication_key })
}

/// A text field; absent and null are the same.
fn text(body: &Object, name: &str) -> Result<Option<String>, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Err(errors::field(name, "This field may not be blank.")),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(errors::field(name, "Not a valid string.")),
    }
}

fn required(body: &Object, name: &str) -> Result<String, Refusal> {
    text(body, name)?.ok_or_else(|| errors::field(name, "This field is required."))
}

/// The link in the server's normal form.
pub fn meeting_url(given: &str) -> Result<String, Refusal> {
    normalized(given).ok_or_else(|| errors::field("meeting_url", "Invalid meeting URL"))
}

pub fn metadata(body: &Object) -> Result<Value, Refusal> {
    let refused = |why: &str| errors::field("metadata", why);
    match body.get("metadata") {
        None | Some(Value::Null) => Ok(Value::Null),
        Some(Value::Object(fields)) if fields.is_empty() => Err(refused("Metadata must have at least one key")),
        Some(Value::Object(fields)) => match fields.iter().find(|(_, value)| !value.is_string()) {
            Some((key, _)) => Err(refused(&format!("Value for key '{key}' must be a string"))),
            None => Ok(json!(fields)),
        },
        Some(_) => Err(refused("Metadata must be an object not an array or other type")),
    }
}

/// `None`: absent.
pub fn join_at(body: &Object, now: DateTime<Utc>) -> Result<Option<Option<DateTime<Utc>>>, Refusal> {
    let at = match body.get("join_at") {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(value) => value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|at| at.to_utc()),
    };
    match at {
        None => Err(errors::field(
            "join_at",
            "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
        )),
        Some(at) if at < now => Err(errors::field("join_at", "join_at cannot be in the past")),
        Some(at) if at > now + TimeDelta::days(3 * 365) => {
            Err(errors::field("join_at", "join_at cannot be more than 3 years in the future"))
        }
        at => Ok(Some(at)),
    }
}
