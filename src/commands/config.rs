//! `syncctl config`: the effective settings.

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

use super::stale_settings::{self, Changed};
use super::{Output, table};
use crate::config::{self, Loaded};
use crate::db::{Pool, migrate, pool};
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

/// How long the database may take to say what was changed since the last passes: the settings are shown without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A setting, and where it came from.
#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    value: &'a str,
    from: String,
    /// What it was in complete passes, if it was changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_pass: Option<String>,
}

fn show(loaded: &Loaded, output: Output) -> anyhow::Result<()> {
    let changed = changed(loaded).unwrap_or_else(|error| {
        log::info!("what was changed since the last complete passes is not known: {error:#}");
        Vec::new()
    });
    let last_pass = |key: &str| changed.iter().find(|one| one.key == key).map(Changed::text);
    let rows: Vec<Row<'_>> = loaded
        .shown
        .iter()
        .map(|(key, value, origin)| Row { key, value, from: origin.to_string(), last_pass: last_pass(key) })
        .collect();
    output.print(&rows, || {
        let mut table = table(&["setting", "value", "from"]);
        for Row { key, value, from, .. } in &rows {
            table.add_row([*key, *value, from.as_str()]);
        }
        let mut text = table.trim_fmt();
        for one in &changed {
            text.push_str(&format!("\nchanged: {} {}: {}", one.key, one.text(), one.remedy()));
        }
        text
    })
}

/// What was changed since the last complete passes, as far as the database says so at once. A private cluster is not started for it.
fn changed(loaded: &Loaded) -> anyhow::Result<Vec<Changed>> {
    let place = pool::locate(&loaded.settings.db)?;
    if let Some(cluster) = &place.cluster
        && !cluster.status()?.running
    {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = async {
        let pool = Pool::new(place.target.clone(), &loaded.settings.db)?;
        match pool.check_schema().await? {
            migrate::Schema::Current => stale_settings::changed(&pool, &loaded.settings).await,
            _ => Ok(Vec::new()),
        }
    };
    let changed = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    // A name that the resolver still looks for holds nobody up.
    runtime.shutdown_background();
    changed.context("asking the database")?
}
