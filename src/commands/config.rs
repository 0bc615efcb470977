//! `syncctl config`: shows and documents the settings.

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

use super::stale_settings::{self, Changed};
use super::{Output, table};
use crate::config::{self, Loaded};
use crate::db::{Pool, migrate, pool};
use crate::error::Exit;

/// Subcommands of `config`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print every setting with its value and origin; secrets are masked
    Show,
    /// Print the meaning and default of every setting as Markdown, or with --json as a JSON schema for editors
    Reference,
    /// Print an example settings file: every setting commented out, with its meaning and default
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

/// Maximum time to ask the database which settings changed since the last passes; after it, settings are shown without that.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A setting, and where it came from.
#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    value: &'a str,
    from: String,
    /// The value in the last full passes, if it has changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_pass: Option<String>,
}

fn show(loaded: &Loaded, output: Output) -> anyhow::Result<()> {
    let changed = changed(loaded).unwrap_or_else(|error| {
        log::info!("cannot determine which settings changed since the last full passes: {error:#}");
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

/// Returns the settings changed since the last full passes, if the database answers within `TIMEOUT`. Does not start a private
/// cluster.
fn changed(loaded: &Loaded) -> anyhow::Result<Vec<Changed>> {
    let location = pool::locate(&loaded.settings.db)?;
    if let Some(cluster) = &location.cluster
        && !cluster.status()?.running
    {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let query = async {
        let pool = Pool::new(location.target.clone(), &loaded.settings.db)?;
        match pool.check_schema().await? {
            migrate::Schema::Current => stale_settings::changed(&pool, &loaded.settings).await,
            _ => Ok(Vec::new()),
        }
    };
    let changed = runtime.block_on(async { tokio::time::timeout(TIMEOUT, query).await });
    // Do not wait for a pending name lookup.
    runtime.shutdown_background();
    changed.context("asking the database")?
}
