//! `syncctl calendar`: the subcommands of all services, and the jobs of `calendar_instances`.

mod roll;

use clap::Subcommand;

use super::verbs::ServiceVerb;
use super::{Output, service, with_context};
use crate::config::Settings;
use crate::error::Exit;
use crate::services::calendar::Calendar;

/// Subcommands of `calendar`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    #[command(flatten)]
    Service(ServiceVerb),
    /// Extend calendar_instances to cover the coming 400 days, and delete what is over; a daily job for cron
    RollInstances(roll::Args),
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Service(verb) => service::run::<Calendar>(verb, settings, output),
        Verb::RollInstances(args) => with_context(settings, |context| async move { roll::run(&context, args, output).await }),
    }
}
