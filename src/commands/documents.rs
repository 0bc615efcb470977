//! `syncctl documents`: lists, prints and searches synced documents.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Subcommand, ValueEnum};
use uuid::Uuid;

use super::paging::{Ids, Page};
use super::{Output, reading, table, users, with_context};
use crate::config::{Settings, duration};
use crate::db::documents_read::{self, Entry, Filter, FullDocument, Hit, MARKS};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::state::DocumentStatus;

/// Subcommands of `documents`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List documents, most recently changed first
    List {
        /// Only documents of this user, by UUID or address (default: all)
        #[arg(long)]
        user: Option<String>,
        /// Only documents of this service, such as gmail or drive (default: all)
        #[arg(long)]
        source: Option<String>,
        /// Only documents with this status: new, changed, or deleted at their source (default: all)
        #[arg(long)]
        status: Option<DocumentStatus>,
        /// Only documents that changed within this time, such as `7days`
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        since: Option<Duration>,
        #[command(flatten)]
        page: Page,
    },
    /// Print one document with its text
    Show {
        /// Document, by the id in `documents list`
        #[arg(value_parser = super::id)]
        id: Uuid,
    },
    /// Search documents by words: "a phrase", or, -not
    Search {
        /// Words that must all occur; quotes, `or` and `-` work as in a search engine
        query: String,
        /// Only documents of this user, by UUID or address (default: all)
        #[arg(long)]
        user: Option<String>,
        /// Maximum number of documents
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        ids: Ids,
    },
}

impl ValueEnum for DocumentStatus {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move { reading(&context, show(verb, &context, output)).await })
}

async fn show(verb: &Verb, context: &Context, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::List { user, source, status, since, page } => {
            let user = find_user(context, user.as_deref()).await?;
            let within_seconds = since.map(|since| since.as_secs_f64());
            let filter = Filter { user, source: source.as_deref(), status: *status, within_seconds };
            list(context, &filter, *page, output).await?;
        }
        Verb::Show { id } => {
            let Some(document) = documents_read::get(&context.pool, *id).await? else {
                return Err(Fault::usage(format!("no document {id}; see `syncctl documents list`")).into());
            };
            output.print(&document, || format_document(&document))?;
        }
        Verb::Search { query, user, limit, ids } => {
            let user = find_user(context, user.as_deref()).await?;
            let hits = documents_read::search(&context.pool, query, user, i64::from(*limit)).await?;
            let Some(mut hits) = hits else {
                return Err(Fault::usage(format!("no word to search for in {query:?}")).into());
            };
            let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let bold = !output.json && std::io::stdout().is_terminal() && colours;
            for hit in &mut hits {
                hit.passages = marked(&hit.passages, bold);
            }
            let documents = hits.iter().map(|hit| hit.entry.id.to_string());
            ids.print(output, &hits, documents, || format_hits(&hits))?;
        }
    }
    Ok(Exit::Done)
}

async fn list(context: &Context, filter: &Filter<'_>, page: Page, output: Output) -> anyhow::Result<()> {
    let rows = documents_read::list(&context.pool, filter, (page.limit.into(), page.offset.into())).await?;
    let ids = rows.iter().map(|row| row.id.to_string());
    page.ids.print(
        output,
        &rows,
        ids,
        || if rows.is_empty() { empty(filter, page, &context.settings) } else { listed(&rows) },
    )?;
    if page.needs_total(output, rows.len()) {
        page.footer(output, rows.len(), Some(documents_read::count(&context.pool, filter).await?));
    }
    Ok(())
}

/// Says why no documents are listed.
fn empty(filter: &Filter<'_>, page: Page, settings: &Settings) -> String {
    let Filter { user, source, status, within_seconds } = filter;
    if page.offset > 0 || user.is_some() || source.is_some() || status.is_some() || within_seconds.is_some() {
        return "no documents match these options".into();
    }
    let address = settings.gmail.virtual_address.replace("{username}", "NAME").replace("{domain}", "DOMAIN");
    format!(
        "no documents: mail to {address}, files that users follow (`syncctl drive watch-file add`) and transcripts of meetings become documents; \
         see gmail.virtual_address and drive.documents in the settings"
    )
}

async fn find_user(context: &Context, user: Option<&str>) -> anyhow::Result<Option<Uuid>> {
    match user {
        Some(name) => Ok(Some(users::find(context, name).await?)),
        None => Ok(None),
    }
}

/// Puts external text on one line without control characters: an email must not control the reader's terminal.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// External text in its lines, without other control characters.
pub(super) fn without_controls(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// The first characters of a text, on one line.
pub(super) fn short(text: Option<&str>, max: usize) -> String {
    let text = line(text.unwrap_or_default());
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn listed(rows: &[Entry]) -> String {
    let mut table = table(&["document", "source", "kind", "status", "version", "changed", "title"]);
    for row in rows {
        table.add_row([
            row.id.to_string(),
            row.source.clone(),
            row.kind.clone(),
            row.status.to_string(),
            row.version.to_string(),
            row.updated_at.format("%F %T").to_string(),
            short(row.title.as_deref(), 60),
        ]);
    }
    table.trim_fmt()
}

fn format_document(document: &FullDocument) -> String {
    let entry = &document.entry;
    let time = |at: chrono::DateTime<chrono::Utc>| at.format("%F %T UTC").to_string();
    let rows = [
        ("title", entry.title.clone()),
        ("author", entry.author.clone()),
        ("date", entry.occurred_at.map(time)),
        ("document", Some(format!("{}, version {}, {}", entry.id, entry.version, entry.status))),
        ("source", Some(format!("{} {} {}", entry.source, entry.kind, entry.source_id))),
        ("user", Some(entry.user_id.to_string())),
        ("project", project(document)),
        ("type", document.mime_type.clone()),
        ("changed", Some(time(entry.updated_at))),
        ("note", document.note.clone()),
        ("details", Some(document.details.to_string()).filter(|details| details != "{}")),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        if let Some(value) = value {
            text.push_str(&format!("{name:<10}{}\n", line(&value)));
        }
    }
    let body = document.body.as_deref().or(document.snippet.as_deref()).unwrap_or_default();
    text.push('\n');
    text + &without_controls(body)
}

/// The document's project, and who decided it.
fn project(document: &FullDocument) -> Option<String> {
    let name = document.project.clone().or_else(|| document.project_id.map(|id| id.to_string()));
    match (name, &document.decided_by) {
        (Some(name), Some(by)) => Some(format!("{name}, decided by {by}")),
        (None, Some(by)) => Some(format!("none, decided by {by}")),
        (name, None) => name,
    }
}

fn format_hits(hits: &[Hit]) -> String {
    if hits.is_empty() {
        return "nothing found".into();
    }
    let mut text = String::new();
    for hit in hits {
        let when = hit.entry.occurred_at.unwrap_or(hit.entry.updated_at).format("%F");
        let title = short(hit.entry.title.as_deref(), 100);
        text.push_str(&format!(
            "{}  {when}  {} {}  {title}\n    {}\n",
            hit.entry.id, hit.entry.source, hit.entry.kind, hit.passages
        ));
    }
    text
}

/// Puts passages on one line, with the matched words in bold or between asterisks.
fn marked(passages: &str, bold: bool) -> String {
    let [start, stop] = if bold { ["\u{1b}[1m", "\u{1b}[0m"] } else { ["**", "**"] };
    let words: Vec<String> = passages.split_whitespace().map(line).collect();
    words.join(" ").replace(MARKS[0], start).replace(MARKS[1], stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_bold_on_a_terminal_and_between_asterisks_elsewhere() {
        let passages = format!("the {}budget{} of\n\u{1b}[2J May", MARKS[0], MARKS[1]);
        assert_eq!(marked(&passages, false), "the **budget** of  [2J May");
        assert_eq!(marked(&passages, true), "the \u{1b}[1mbudget\u{1b}[0m of  [2J May");
    }
}
