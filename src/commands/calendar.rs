//! `syncctl calendar`: the subcommands of all services, agendas, and the job of `calendar_instances`.

mod agenda;
mod freebusy;
mod roll;
mod span;

use clap::Subcommand;

use super::verbs::ServiceVerb;
use super::{Output, reading, service, with_context};
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
    /// Show a user's events, from the database
    Agenda(agenda::Args),
    /// Show when users are busy, and when all of them are free, from the database
    Freebusy(freebusy::Args),
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Service(verb) => service::run::<Calendar>(verb, settings, output),
        Verb::RollInstances(args) => with_context(settings, |context| async move { roll::run(&context, args, output).await }),
        Verb::Agenda(args) => {
            with_context(settings, |context| async move { reading(&context, agenda::run(&context, args, output)).await })
        }
        Verb::Freebusy(args) => {
            with_context(settings, |context| async move { reading(&context, freebusy::run(&context, args, output)).await })
        }
    }
}
