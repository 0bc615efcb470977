//! `syncctl gmail show`: one stored message.

use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use uuid::Uuid;

use super::attachment;
use crate::commands::documents::{line, without_controls};
use crate::commands::{Output, users, zone};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::services::gmail::stored::{self, FullMessage};
use crate::zone::Zone;

/// Arguments of `gmail show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User, by UUID or address
    user: String,
    /// Message, by the id in `gmail list`
    message_id: String,
    /// Time zone of times, such as Europe/Berlin or UTC+2 (default: that of this machine)
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<Zone>,
}

#[derive(Debug, Serialize)]
struct Shown {
    user_id: Uuid,
    time_zone: String,
    received_at: Option<DateTime<FixedOffset>>,
    sent_at: Option<DateTime<FixedOffset>>,
    deleted_at: Option<DateTime<FixedOffset>>,
    #[serde(flatten)]
    message: FullMessage,
    /// Why the message may be outdated.
    incomplete: Option<String>,
}

/// Runs the command. Exit code 1 if the message may be outdated.
pub async fn run(context: &Context, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, &args.user).await?;
    let Some(message) = stored::message(&context.pool, user, &args.message_id).await? else {
        return Err(
            Fault::usage(format!("user {user} has no stored message {}; see `syncctl gmail list`", args.message_id)).into()
        );
    };
    let incomplete = super::incomplete(context, user).await?;
    let zone = args.zone.unwrap_or_else(Zone::of_this_machine);
    let local = |at: Option<DateTime<_>>| at.map(|at| zone.at(at));
    let shown = Shown {
        user_id: user,
        time_zone: zone.to_string(),
        received_at: local(message.received_at),
        sent_at: local(message.sent_at),
        deleted_at: local(message.deleted_at),
        message,
        incomplete,
    };
    output.print(&shown, || text(&shown))?;
    Ok(if shown.incomplete.is_none() { Exit::Done } else { Exit::SomeFailed })
}

fn text(shown: &Shown) -> String {
    let message = &shown.message;
    let time = |at: Option<DateTime<FixedOffset>>| at.map(|at| format!("{} ({})", at.format("%a %F %H:%M:%S"), shown.time_zone));
    let mut rows = Vec::new();
    for (name, value) in &message.headers {
        if ["from", "to", "cc", "bcc", "reply-to", "subject"].contains(&name.to_lowercase().as_str()) {
            rows.push((name.to_lowercase(), Some(value.clone())));
        }
    }
    rows.extend([
        ("sent".into(), time(shown.sent_at)),
        ("received".into(), time(shown.received_at)),
        ("deleted".into(), time(shown.deleted_at)),
        ("labels".into(), Some(message.labels.join(", ")).filter(|labels| !labels.is_empty())),
        ("message".into(), Some(format!("{}, thread {}", message.message_id, message.thread_id))),
        ("note".into(), message.note.clone()),
    ]);
    for one in message.attachments.iter().flatten() {
        let name = one.name.as_deref().unwrap_or("(no name)");
        let stored = one.not_stored.map_or_else(|| "stored".into(), |why| format!("not stored: {}", attachment::reason(why)));
        rows.push(("attached".into(), Some(format!("{}. {name}, {}, {} bytes ({stored})", one.number, one.mime_type, one.size))));
    }
    let mut text = String::new();
    for (name, value) in rows {
        if let Some(value) = value {
            text.push_str(&format!("{:<10}{}\n", line(&name), line(&value)));
        }
    }
    let (body, note) = match (&message.body, &message.snippet) {
        (Some(body), _) => (body.as_str(), ""),
        (None, Some(snippet)) => (snippet.as_str(), "\n\n(Only the beginning is stored: see gmail.store.)"),
        (None, None) => ("", ""),
    };
    format!("{text}\n{}{note}", without_controls(body))
}
