//! Push channels as Calendar and Drive make and stop them. Knows no stream.

use chrono::{DateTime, Utc};
use google_apis_common::GetToken;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{Client, parse_json};
use crate::error::Failure;

/// What a channel is asked to be.
#[derive(Debug)]
pub struct Ask {
    /// New for each channel: there is no renewal in place.
    pub id: Uuid,
    /// Where notifications go: an https address, or for mailboxes a Pub/Sub topic.
    pub address: String,
    /// What Google repeats with each notification.
    pub token: SecretString,
    pub expires_at: DateTime<Utc>,
}

/// What Google made of it.
#[derive(Debug)]
pub struct Watched {
    /// Needed to stop the channel; the same for every channel of a resource.
    pub resource_id: String,
    /// May be earlier than asked for.
    pub expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    resource_id: String,
    /// Milliseconds since the epoch.
    expiration: Option<String>,
}

/// The time that a string of milliseconds says.
pub fn expiration(text: Option<&str>, asked: DateTime<Utc>) -> DateTime<Utc> {
    text.and_then(|text| text.parse().ok()).and_then(DateTime::from_timestamp_millis).unwrap_or(asked)
}

impl Client {
    /// Opens a channel for the resource of `url`, which ends in `/watch`. `what` names the method (`events.watch`).
    ///
    /// # Errors
    /// As `get`. After `Transient` the channel may exist all the same.
    pub async fn watch(
        &self,
        what: &'static str,
        token: &dyn GetToken,
        scope: &str,
        url: Url,
        ask: &Ask,
    ) -> Result<Watched, Failure> {
        let body = json!({
            "id": ask.id,
            "type": "web_hook",
            "address": ask.address,
            "token": ask.token.expose_secret(),
            "expiration": ask.expires_at.timestamp_millis().to_string(),
        });
        let answer = self.post(what, token, scope, url, &body).await?;
        let answer: Answer = parse_json(what, &answer)?;
        Ok(Watched { expires_at: expiration(answer.expiration.as_deref(), ask.expires_at), resource_id: answer.resource_id })
    }

    /// Stops a channel; `url` ends in `/channels/stop`.
    ///
    /// # Errors
    /// As `get`; `Gone` when there is no such channel.
    pub async fn stop_channel(
        &self,
        token: &dyn GetToken,
        scope: &str,
        url: Url,
        id: Uuid,
        resource_id: &str,
    ) -> Result<(), Failure> {
        self.post("channels.stop", token, scope, url, &json!({ "id": id, "resourceId": resource_id })).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiration_is_milliseconds_in_a_string() {
        let asked = DateTime::UNIX_EPOCH;
        assert_eq!(expiration(Some("1426325213000"), asked).timestamp(), 1_426_325_213);
        assert_eq!(expiration(None, asked), asked);
        assert_eq!(expiration(Some("9999999999999999999"), asked), asked);
    }
}
