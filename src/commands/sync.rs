//! `syncctl sync …`

use clap::Subcommand;

use super::{Output, simulate};
use crate::config::Settings;
use crate::error::Exit;

/// What can be done with all services together.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Holds rules of pace against each other at the same number of calls: what each makes of the delay of changes
    Simulate(simulate::Args),
}

/// Does what the verb says.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Simulate(args) => simulate::run(args, settings, output),
    }
}
