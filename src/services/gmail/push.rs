//! Watches mailboxes: `users.watch`, with notifications through Cloud Pub/Sub. A mailbox has one watch, which a new one replaces. No database
//! access.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{Gmail, MAILBOX, SCOPE};
use crate::config;
use crate::engine::Stream;
use crate::engine::push::{Ask, Pushed, Watched};
use crate::engine::tokens::Credential;
use crate::error::Failure;
use crate::google::{self, parse_json};

/// Placeholder for the resource id: `users.stop` takes none.
const ME: &str = "me";

#[derive(Deserialize)]
struct Answer {
    /// Milliseconds since the epoch.
    expiration: Option<String>,
}

impl Pushed for Gmail {
    const KINDS: &'static [&'static str] = &[MAILBOX];
    const COSTS: (u64, u64) = (100, 50);
    const ONLY: Option<&'static str> = Some(ME);

    fn address(push: &config::Push) -> String {
        push.gmail_topic.clone()
    }

    async fn watch(&self, _stream: &Stream, _cursor: &str, credential: &Credential, ask: &Ask) -> Result<Watched, Failure> {
        let url = self.url(&["watch"])?;
        let body = json!({ "topicName": ask.address });
        let answer = self.google.post("users.watch", credential, SCOPE, url, &body).await?;
        let answer: Answer = parse_json("users.watch", &answer)?;
        Ok(Watched { resource_id: ME.into(), expires_at: google::expiration(answer.expiration.as_deref(), ask.expires_at) })
    }

    async fn stop(&self, credential: &Credential, _channel: Uuid, _resource: &str) -> Result<(), Failure> {
        let url = self.url(&["stop"])?;
        self.google.post("users.stop", credential, SCOPE, url, &json!({})).await.map(drop)
    }
}
