//! `syncctl calendar …`

use std::sync::Arc;

use super::verbs::ServiceVerb;
use super::{Output, service, with_context};
use crate::config::Settings;
use crate::error::Exit;
use crate::services::calendar::Calendar;

/// Runs the command.
pub fn run(verb: &ServiceVerb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    service::must_be_enabled(verb, "calendar", settings.calendar.enabled)?;
    with_context(settings, |context| async move {
        let source = Calendar::new(Arc::clone(&context.google), &context.settings);
        service::run(verb, &context, source, output).await
    })
}
