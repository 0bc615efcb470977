//! `syncctl config`: the effective settings.

use clap::Subcommand;

use super::{Output, table};
use crate::config::Loaded;
use crate::error::Exit;

/// What can be done with the settings.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Prints every setting and where it came from; secrets are masked
    Show,
}

/// Runs the command.
pub fn run(verb: &Verb, loaded: &Loaded, output: Output) -> anyhow::Result<Exit> {
    let Verb::Show = verb;
    let rows: Vec<_> = loaded
        .shown
        .iter()
        .map(|(key, value, origin)| serde_json::json!({ "key": key, "value": value, "from": origin.to_string() }))
        .collect();
    output.print(&rows, || {
        let mut table = table(&["setting", "value", "from"]);
        for (key, value, origin) in &loaded.shown {
            table.add_row([key, value, &origin.to_string()]);
        }
        table.trim_fmt()
    })?;
    Ok(Exit::Done)
}
