//! Whether Attendee takes each project's key: one call that finds no bot. Knows no stream.

use std::sync::Arc;

use reqwest::Method;
use secrecy::SecretString;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::api::Api;
use super::projects;
use crate::engine::Context;
use crate::error::Failure;
use crate::http::parse_json;

/// No meeting is that far away.
const NEVER: &str = "9999-01-01T00:00:00Z";

/// Asks once for each project; answers each one's name and how it went.
///
/// # Errors
/// The database failed, or the settings are wrong.
pub async fn projects(context: &Context) -> anyhow::Result<Vec<(String, Result<(), Failure>)>> {
    let keys = projects::keys(&context.pool, &context.vault).await?;
    let api = Api::new(Arc::clone(&context.http), &context.settings.attendee.root, keys)?;
    let mut answers = Vec::new();
    for project in projects::list(&context.pool).await? {
        answers.push((project.name, probe_one(&api, project.id).await));
    }
    Ok(answers)
}

/// Asks once with a key that is not stored yet.
///
/// # Errors
/// What Attendee says of it, or why it did not answer.
pub async fn key(context: &Context, key: &SecretString) -> Result<(), Failure> {
    let keys = projects::Keys::from([(Uuid::nil(), Ok(key.clone()))]);
    let api = Api::new(Arc::clone(&context.http), &context.settings.attendee.root, keys).map_err(anyhow::Error::from)?;
    probe_one(&api, Uuid::nil()).await
}

async fn probe_one(api: &Api, project: Uuid) -> Result<(), Failure> {
    let mut url = api.url(&[])?;
    url.query_pairs_mut().append_pair("join_at_after", NEVER);
    let body = api.send("bots.list", Method::GET, project, url, None).await?;
    parse_json::<IgnoredAny>("bots.list", &body).map(drop)
}
