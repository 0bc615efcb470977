//! `syncctl config`: the effective settings.

use clap::Subcommand;

use super::{Output, table};
use crate::config::{self, Loaded};
use crate::error::Exit;

/// What can be done with the settings.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Prints every setting and where it came from; secrets are masked
    Show,
    /// Prints what every setting means and what it is by default, as Markdown; with --json as a JSON schema for editors
    Reference,
    /// Prints a settings file in which everything is commented out, with its meaning and default
    Example,
}

/// Runs the command.
pub fn run(verb: &Verb, loaded: &Loaded, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Show => show(loaded, output)?,
        Verb::Reference => {
            let page = config::markdown()?;
            output.print(&config::schema(), || page)?;
        }
        Verb::Example => super::print(&config::example()?)?,
    }
    Ok(Exit::Done)
}

fn show(loaded: &Loaded, output: Output) -> anyhow::Result<()> {
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
    })
}
