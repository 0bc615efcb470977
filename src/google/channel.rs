//! Push channels of Calendar and Drive: creating and stopping them. Independent of streams.

use chrono::{DateTime, Utc};
use google_apis_common::GetToken;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{Client, parse_json};
use crate::error::Failure;

/// Request for a channel.
#[derive(Debug)]
pub struct Ask {
    /// New for each channel: channels cannot be renewed in place.
    pub id: Uuid,
    /// Where notifications are sent: an https URL or, for mailboxes, a Pub/Sub topic.
    pub address: String,
    /// Repeated by Google in each notification.
    pub token: SecretString,
    pub expires_at: DateTime<Utc>,
}

/// A channel as created by Google.
#[derive(Debug)]
pub struct Watched {
    /// Needed to stop the channel; the same for every channel of a resource.
    pub resource_id: String,
    /// May be earlier than requested.
    pub expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    resource_id: String,
    /// Milliseconds since the epoch.
    expiration: Option<String>,
}

/// Parses a time in milliseconds; `requested` if absent or invalid.
pub fn expiration(text: Option<&str>, requested: DateTime<Utc>) -> DateTime<Utc> {
    text.and_then(|text| text.parse().ok()).and_then(DateTime::from_timestamp_millis).unwrap_or(requested)
}

impl Client {
    /// Opens a channel for the resource of `url`, which ends in `/watch`. `what` names the method (`events.watch`).
    ///
    /// # Errors
    /// Same as `get`. After `Transient`, the channel may exist nevertheless.
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
    /// Same as `get`; `Gone` if there is no such channel.
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
        let requested = DateTime::UNIX_EPOCH;
        assert_eq!(expiration(Some("1426325213000"), requested).timestamp(), 1_426_325_213);
        assert_eq!(expiration(None, requested), requested);
        assert_eq!(expiration(Some("9999999999999999999"), requested), requested);
    }
}
