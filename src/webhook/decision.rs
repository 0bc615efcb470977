//! Decisions by programs on undecided documents (`document.undecided`): verification, parsing and storage.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::HeaderMap;
use chrono::Utc;
use data_encoding::HEXLOWER_PERMISSIVE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::writer::{AT_SERVER, WAIT};
use super::{Outcome, text};
use crate::classify::Label;
use crate::db::Pool;
use crate::db::classify::answers::{self, Answer, AnswerOutcome};
use crate::db::connection::Bounds;
use crate::http::signature;

/// Maximum number of decisions stored concurrently. Further ones wait, at most as long as a notification.
const CONCURRENCY: usize = 4;
/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 500;

/// The body, `{"document_id": …, "content_hash": …, "project_id": …, "confidence": 0.9}`. `project_id` is one of the offered projects, or "none".
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    document_id: Uuid,
    /// The hash from the event.
    content_hash: String,
    project_id: String,
    confidence: f32,
    #[serde(default)]
    reason: String,
}

/// Accepts signed decisions.
pub struct Decisions {
    secret: SecretString,
    slots: Semaphore,
}

impl Decisions {
    /// `None` if no secret is set.
    pub fn new(secret: &SecretString) -> Option<Self> {
        let is_set = !secret.expose_secret().is_empty();
        is_set.then(|| Self { secret: secret.clone(), slots: Semaphore::new(CONCURRENCY) })
    }

    /// Verifies and parses a decision.
    pub fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Outcome> {
        let signature = text(headers, signature::HEADER).ok_or(Outcome::Refused)?;
        if !signature::holds(self.secret.expose_secret(), signature, body, Utc::now().timestamp()) {
            return Err(Outcome::Refused);
        }
        read(body)
    }

    /// Stores a decision. Returns `Outcome::Unavailable` if it fails or is not confirmed within two seconds.
    pub async fn take(&self, pool: &Pool, answer: &Answer) -> Outcome {
        let stored = async {
            let _slot = self.slots.acquire().await.context("waiting for other decisions")?;
            store(pool, answer).await
        };
        match tokio::time::timeout(WAIT, stored).await {
            Ok(Ok(taken)) => outcome(taken),
            Ok(Err(error)) => {
                log::error!("cannot store a decision on document {}: {error:#}", answer.document);
                Outcome::Unavailable
            }
            Err(_) => Outcome::Unavailable,
        }
    }
}

/// Parses a decision.
pub fn read(body: &[u8]) -> Result<Answer, Outcome> {
    let body: Body = serde_json::from_slice(body).map_err(|_| Outcome::Malformed)?;
    let label = match body.project_id.as_str() {
        "none" => Label::NoneOfThem,
        id => Label::Project(id.parse().map_err(|_| Outcome::Malformed)?),
    };
    // Also rejects NaN.
    if !(0.0..=1.0).contains(&body.confidence) {
        return Err(Outcome::Malformed);
    }
    let printable = body.reason.chars().filter(|char| !char.is_control());
    Ok(Answer {
        document: body.document_id,
        content_hash: HEXLOWER_PERMISSIVE.decode(body.content_hash.as_bytes()).map_err(|_| Outcome::Malformed)?,
        label,
        confidence: body.confidence,
        reason: printable.take(MAX_REASON).collect(),
    })
}

async fn store(pool: &Pool, answer: &Answer) -> anyhow::Result<AnswerOutcome> {
    let mut client = pool.get().await?;
    // Let the server time out before we do: an abandoned statement would keep running there.
    let patience: Duration = AT_SERVER / 2;
    let bounds = Bounds { locks: patience, idle: WAIT, statement: Some(patience) };
    let tx = client.begin_within(&bounds, "beginning a decision").await?;
    let taken = answers::take(&tx, answer).await?;
    if taken == AnswerOutcome::Decided {
        tx.commit().await.context("committing a decision")?;
    }
    Ok(taken)
}

fn outcome(taken: AnswerOutcome) -> Outcome {
    match taken {
        AnswerOutcome::Decided => Outcome::Accepted,
        AnswerOutcome::Unchanged => Outcome::Duplicate,
        AnswerOutcome::Unsure => Outcome::Unsure,
        AnswerOutcome::NotOffered => Outcome::NotOffered,
        AnswerOutcome::Outdated => Outcome::Outdated,
        AnswerOutcome::Unknown => Outcome::Unknown,
    }
}
