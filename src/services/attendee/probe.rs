//! Whether Attendee takes each project's key: one call that finds no bot. Knows no stream.

use std::sync::Arc;

use reqwest::Method;

use super::api::Api;
use super::projects;
use crate::engine::Context;
use crate::error::Failure;

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
        let mut url = api.url(&[])?;
        url.query_pairs_mut().append_pair("join_at_after", NEVER);
        let answer = api.send("bots.list", Method::GET, project.id, url, None).await;
        answers.push((project.name, answer.map(drop)));
    }
    Ok(answers)
}
