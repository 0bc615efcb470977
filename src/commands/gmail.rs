//! `syncctl gmail …`

use std::sync::Arc;

use super::verbs::ServiceVerb;
use super::{Output, service, with_context};
use crate::config::Settings;
use crate::db::accounts;
use crate::engine::Context;
use crate::error::Exit;
use crate::services::gmail::{Gmail, detect};

/// Runs the command.
pub fn run(verb: &ServiceVerb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    service::must_be_enabled(verb, "gmail", settings.gmail.enabled)?;
    with_context(settings, |context| async move {
        let source = mailboxes(&context).await?;
        service::run(verb, &context, source, output).await
    })
}

/// Builds the Gmail service with the users' domains and the mailboxes in which virtual addresses are in use.
pub async fn mailboxes(context: &Context) -> anyhow::Result<Gmail> {
    let domains = accounts::domains(&context.pool).await?;
    let addressed = detect::addressed(&context.pool).await?;
    Ok(Gmail::new(Arc::clone(&context.google), &context.settings, domains, addressed)?)
}
