//! `syncctl calendar …`

use std::sync::Arc;

use clap::Subcommand;

use super::verbs::{RenewArgs, ServiceVerb};
use super::{Output, push, service, with_context};
use crate::config::Settings;
use crate::engine::push::Mode;
use crate::error::Exit;
use crate::services::calendar::Calendar;

/// What Calendar can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    #[command(flatten)]
    Service(ServiceVerb),
    /// Repairs push channels by their health: made for another address, silent, refused, or left behind by a run that died
    RenewWebhooks(RenewArgs),
}

/// Does what the verb says.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        let source = Calendar::new(Arc::clone(&context.google), &context.settings);
        match verb {
            Verb::Service(ServiceVerb::RenewWatches(args)) => {
                push::renew(args, &context, source, Mode::Age, Some("calendar_watch_renewal_summaries"), output).await
            }
            Verb::Service(verb) => service::run(verb, &context, source, output).await,
            Verb::RenewWebhooks(args) => {
                push::renew(args, &context, source, Mode::Health, Some("calendar_webhook_renewal_summaries"), output).await
            }
        }
    })
}
