//! `syncctl gmail list` and `syncctl gmail search`: a user's messages, newest first.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use uuid::Uuid;

use crate::commands::documents::short;
use crate::commands::paging::Page;
use crate::commands::{Output, table, users, zone};
use crate::config::duration;
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::services::gmail::stored::{self, Filter};
use crate::zone::Zone;

/// Maximum number of labels that an error names.
const NAMED: usize = 20;

/// Arguments of `gmail list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// User, by UUID or address (default: the only one)
    user: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// Arguments of `gmail search`.
#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// User, by UUID or address
    user: String,
    /// Words, or "phrases", all of which occur in the subject, the sender, the beginning (snippet) or the stored text; also as parts of words
    #[arg(required = true)]
    words: Vec<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Only messages with this label, such as INBOX or Clients/Acme
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Only unread messages
    #[arg(long)]
    unread: bool,
    /// Only messages received within this time, such as `7days`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    #[command(flatten)]
    page: Page,
    /// Time zone of times, such as Europe/Berlin or UTC+2 (default: that of this machine)
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<Zone>,
}

#[derive(Debug, Serialize)]
struct Messages {
    user_id: Uuid,
    time_zone: String,
    messages: Vec<Message>,
    /// Why messages may be missing or outdated.
    incomplete: Option<String>,
}

#[derive(Debug, Serialize)]
struct Message {
    message_id: String,
    thread_id: String,
    received_at: Option<DateTime<FixedOffset>>,
    from_name: Option<String>,
    from_address: Option<String>,
    subject: Option<String>,
    snippet: Option<String>,
    unread: bool,
    /// By name.
    labels: Vec<String>,
}

/// Runs `gmail list`. Exit code 1 if messages may be missing.
pub async fn list(context: &Context, args: &ListArgs, output: Output) -> anyhow::Result<Exit> {
    run(context, args.user.as_deref(), &[], &args.options, output).await
}

/// Runs `gmail search`. Exit code 1 if messages may be missing.
pub async fn search(context: &Context, args: &SearchArgs, output: Output) -> anyhow::Result<Exit> {
    run(context, Some(&args.user), &args.words, &args.options, output).await
}

async fn run(context: &Context, user: Option<&str>, words: &[String], options: &Options, output: Output) -> anyhow::Result<Exit> {
    let user = users::find_or_only(context, user).await?;
    if let Some(label) = &options.label {
        must_exist(context, user, label).await?;
    }
    let incomplete = super::incomplete(context, user).await?;
    let page = options.page;
    let within_seconds = options.since.map(|since| since.as_secs_f64());
    let filter = Filter { user, label: options.label.as_deref(), unread: options.unread, words, within_seconds };
    let found = stored::messages(&context.pool, &filter, (page.limit.into(), page.offset.into())).await?;
    let zone = options.zone.unwrap_or_else(Zone::of_this_machine);
    let messages = found.into_iter().map(|message| shown(message, zone)).collect();
    let messages = Messages { user_id: user, time_zone: zone.to_string(), messages, incomplete };
    let ids = messages.messages.iter().map(|message| message.message_id.clone());
    page.ids.print(
        output,
        &messages,
        ids,
        || if messages.messages.is_empty() { empty(&filter, page) } else { text(&messages) },
    )?;
    let shown = messages.messages.len();
    if page.needs_total(output, shown) {
        let total = if words.is_empty() { Some(stored::count(&context.pool, &filter).await?) } else { None };
        page.footer(output, shown, total);
    }
    Ok(if messages.incomplete.is_none() { Exit::Done } else { Exit::SomeFailed })
}

/// Checks that a mailbox has a label: a misspelt one would read as one without messages.
async fn must_exist(context: &Context, user: Uuid, label: &str) -> anyhow::Result<()> {
    let names = stored::labels(&context.pool, user).await?;
    if names.is_empty() || names.iter().any(|name| name.to_lowercase() == label.to_lowercase()) {
        return Ok(());
    }
    let more = if names.len() > NAMED { ", …" } else { "" };
    let names: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    Err(Fault::usage(format!("user {user} has no label {label:?}; there are: {}{more}", names.join(", "))).into())
}

/// Says why no messages are listed.
fn empty(filter: &Filter<'_>, page: Page) -> String {
    let is_all = filter.label.is_none() && !filter.unread && filter.words.is_empty() && filter.within_seconds.is_none();
    match (is_all, page.offset) {
        (true, 0) => {
            "no messages: the mailbox has received none in the time that is synced; gmail.window sets how far that reaches back"
                .into()
        }
        (false, 0) => "no messages match these words and options".into(),
        _ => "no messages so far back in the list".into(),
    }
}

fn shown(message: stored::Message, zone: Zone) -> Message {
    Message {
        message_id: message.message_id,
        thread_id: message.thread_id,
        received_at: message.received_at.map(|at| zone.at(at)),
        from_name: message.from_name,
        from_address: message.from_address,
        subject: message.subject,
        snippet: message.snippet,
        unread: message.unread,
        labels: message.labels,
    }
}

fn text(messages: &Messages) -> String {
    let mut table = table(&["received", "from", "subject", "labels", "message"]);
    for message in &messages.messages {
        table.add_row([
            message.received_at.map(|at| at.format("%a %F %H:%M").to_string()).unwrap_or_default(),
            short(message.from_name.as_deref().or(message.from_address.as_deref()), 30),
            short(message.subject.as_deref().or(Some("(no subject)")), 60),
            short(Some(&message.labels.join(", ")), 60),
            message.message_id.clone(),
        ]);
    }
    match messages.messages.len() {
        1 => format!("{}\n\n1 message, times in {}", table.trim_fmt(), messages.time_zone),
        count => format!("{}\n\n{count} messages, times in {}", table.trim_fmt(), messages.time_zone),
    }
}
