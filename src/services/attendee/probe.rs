//! Checks whether Attendee accepts a project's key, with one call that matches no bot.

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

/// A time later than any meeting.
const NEVER: &str = "9999-01-01T00:00:00Z";

/// Makes one call for each project; returns the names and results.
///
/// # Errors
/// Returns an error if the database fails or the settings are invalid.
pub async fn projects(context: &Context) -> anyhow::Result<Vec<(String, Result<(), Failure>)>> {
    let keys = projects::keys(&context.pool, &context.vault).await?;
    let api = Api::new(Arc::clone(&context.http), &context.settings.attendee.root, keys)?;
    let mut answers = Vec::new();
    for project in projects::list(&context.pool).await? {
        answers.push((project.name, probe_one(&api, project.id).await));
    }
    Ok(answers)
}

/// Makes one call with a key that is not stored yet.
///
/// # Errors
/// Returns Attendee's refusal, or the reason why it did not answer.
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
