//! Opening and stopping channels: `watch` with the rules for ids, addresses and expiry, and `channels.stop`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64URL_NOPAD;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bell::{Bell, Ring};
use super::channel::{Channel, New};
use crate::errors;
use crate::fields::selection;
use crate::place::{Params, Refusal};
use crate::reply;
use crate::schema;
use crate::state::{World, lock};

const LONGEST_ID: usize = 64;
const LONGEST_TOKEN: usize = 256;

/// The watched resource.
pub struct Resource {
    /// `calendar` or `drive`: ids of channels are unique within one.
    pub api: &'static str,
    /// Its name for the test's side.
    pub name: String,
    /// The keys that wake the channel.
    pub keys: Vec<String>,
    /// Relative to the simulator's address.
    pub path: String,
    /// Lifetime of a channel in seconds: default and maximum.
    pub lives: (i64, i64),
}

#[derive(Deserialize)]
struct Ask {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    address: Option<String>,
    token: Option<String>,
    /// Milliseconds; clients send it as a string or a number.
    expiration: Option<Value>,
    #[serde(default)]
    params: Value,
}

/// Opens a channel, as this user.
pub fn watch(
    world: &World,
    user: &str,
    resource: Resource,
    body: &Bytes,
    (params, headers): (&Params, &HeaderMap),
) -> Result<Response, Refusal> {
    let selector = selection(params.get("fields").map(String::as_str), "*", &schema::CHANNEL)?;
    let ask: Ask = read(body)?;
    let id = ask.id.filter(|id| !id.is_empty()).ok_or_else(|| refused("required", "Required: id"))?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_+/=".contains(letter);
    if id.len() > LONGEST_ID || !id.chars().all(fits) {
        return Err(refused("invalid", "Channel id must be 1 to 64 letters, digits, or -_+/="));
    }
    match ask.kind.as_deref() {
        Some("web_hook" | "webhook") => {}
        None => return Err(refused("required", "Required: type")),
        Some(_) => return Err(refused("invalid", "Unknown channel type.")),
    }
    let given = ask.address.ok_or_else(|| refused("required", "Required: address"))?;
    let address = address(&given)?;
    let fits = |token: &String| token.len() <= LONGEST_TOKEN && !token.chars().any(char::is_control);
    if !ask.token.as_ref().is_none_or(fits) {
        return Err(refused("invalid", "Channel token is too long, or not a valid header value"));
    }
    let made = world.now().timestamp_millis();
    let expires = expiry(made, resource.lives, ask.expiration.as_ref(), &ask.params["ttl"])?;
    let resource_id = BASE64URL_NOPAD.encode(&Md5::digest(format!("{}/{user}/{}", resource.api, resource.name)));
    let channel = Arc::new(Channel::new(New {
        api: resource.api,
        id,
        user: user.to_owned(),
        resource: resource.name,
        resource_id,
        resource_uri: format!("{}{}", world.origin, resource.path),
        address,
        token: ask.token,
        expires,
        made,
    }));
    if !lock(&world.push.registry).add(&channel, resource.keys) {
        return Err(refused("channelIdNotUnique", &format!("Channel id {} not unique", channel.id)));
    }
    let mut answer = json!({ "kind": "api#channel", "id": channel.id, "resourceId": channel.resource_id,
        "resourceUri": channel.resource_uri, "expiration": channel.expires.to_string() });
    if let Some(token) = &channel.token {
        answer["token"] = json!(token);
    }
    // There is no listener once the simulator ends.
    let _ = world.push.rings.send(Ring::Made(channel));
    Ok(reply::json(selector.of(answer).to_string(), headers))
}

impl World {
    /// A bell for the feed with this key.
    pub fn bell(&self, key: &str) -> Bell {
        Bell::new(self.push.rings.clone(), key.into())
    }
}

/// Google requires TLS. Tests do without on loopback, and nowhere else.
fn address(given: &str) -> Result<Uri, Refusal> {
    let uri: Uri = given.parse().map_err(|_| refused("invalid", "Invalid webhook callback address"))?;
    let loopback = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if loopback => Ok(uri),
        _ => Err(refused("webhookUrlNotHttps", &format!("WebHook callback must be HTTPS: {given}"))),
    }
}

/// In milliseconds, rounded to seconds: the header of a message has no fractions.
fn expiry(now: i64, (usual, most): (i64, i64), wish: Option<&Value>, ttl: &Value) -> Result<i64, Refusal> {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let wrong = |what: &str| refused("invalid", &format!("Invalid value for {what}"));
    let wished = match (wish, ttl) {
        (Some(wish), _) => number(wish).ok_or_else(|| wrong("expiration"))?,
        (None, Value::Null) => now + usual * 1_000,
        (None, ttl) => now.saturating_add(number(ttl).ok_or_else(|| wrong("ttl"))?.saturating_mul(1_000)),
    };
    if wished <= now {
        return Err(refused("invalid", "The expiration of the channel is in the past"));
    }
    Ok(wished.min(now + most * 1_000) / 1_000 * 1_000)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    #[serde(default)]
    id: String,
    #[serde(default)]
    resource_id: String,
}

/// Ends a channel of this API and user.
pub fn stop(world: &World, api: &'static str, user: &str, body: &Bytes) -> Result<Response, Refusal> {
    let stop: Stop = read(body)?;
    let now = world.now().timestamp_millis();
    if lock(&world.push.registry).stop(api, &stop.id, &stop.resource_id, user, now) {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Box::new(errors::google(404, "notFound", &format!("Channel '{}' not found for project", stop.id))))
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| refused("parseError", &format!("Parse Error: {error}")))
}

fn refused(reason: &str, message: &str) -> Refusal {
    Box::new(errors::google(400, reason, message))
}
