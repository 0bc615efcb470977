//! Lists the labels of a mailbox. No database access.

use chrono::Utc;
use futures_util::future::join_all;
use serde::Deserialize;

use super::{Color, Label, ListFailure};
use crate::engine::{Calls, Next, Page, Position, Stream};
use crate::error::{Class, Failure};
use crate::google::parse_json;
use crate::services::gmail::cursor::Cursor;
use crate::services::gmail::message::{Change, Resource, decode};
use crate::services::gmail::{BATCH, Gmail, SCOPE};

/// Quota units of `labels.list`.
pub const LIST_COST: u64 = 1;
/// Quota units of `labels.get`.
const GET_COST: u64 = 1;
/// The item of a page that is the list of labels. Messages have hexadecimal ids.
const ITEM: &str = "labels";
const LIST_FIELDS: &str = "labels(id,name,type,messageListVisibility,labelListVisibility,color)";
/// Every mailbox has it: a list without it is not complete.
const INBOX: &str = "INBOX";
/// Maximum number of labels of a mailbox whose colours are read.
const MAX_COLORS: usize = 500;

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    labels: Vec<Label>,
}

/// Adds the labels to the last page of a poll if they are due, and makes its cursor. A failure does not hold up the messages: it is tried again later.
pub async fn end(gmail: &Gmail, stream: &Stream, calls: &Calls, at: &Position, page: &mut Page<Change>) -> Result<(), Failure> {
    let Next::Cursor(history_id) = &page.next else { return Ok(()) };
    let before = at.cursor.as_deref().map(Cursor::parse);
    // A full pass, or an earlier page of this poll, may have stored messages with labels that are not known.
    let is_due = at.page_token.is_some() || before.as_ref().is_none_or(|before| before.are_labels_due(Utc::now()));
    let history_id = history_id.clone();
    let listed = if is_due { Some(add(gmail, stream, calls, page).await) } else { None };
    let cursor = Cursor::after(history_id, before.map_or(0, |before| before.labels_due), listed, Utc::now());
    page.next = Next::Cursor(serde_json::to_string(&cursor).map_err(anyhow::Error::from)?);
    Ok(())
}

/// Adds the labels to a page, or why they, or their colours, could not be listed; then returns `false`.
async fn add(gmail: &Gmail, stream: &Stream, calls: &Calls, page: &mut Page<Change>) -> bool {
    let (labels, failure) = match list(gmail, calls).await {
        Ok(mut labels) => {
            let failure = add_colors(gmail, calls, &mut labels).await.err();
            (Some(labels), failure)
        }
        Err(failure) => (None, Some(failure)),
    };
    if let Some(failure) = &failure {
        log::info!(stream = stream.id, class:% = failure.class; "labels not read, to be tried again: {}", failure.message);
    }
    let is_complete = failure.is_none();
    let label_failure = failure.map(|Failure { class, message, .. }| ListFailure { class: class.name().to_owned(), message });
    let resource = Resource { id: ITEM.into(), label_list: labels, label_failure, ..Resource::default() };
    match resource.to_raw().and_then(decode) {
        Ok(item) => page.items.push(item),
        Err(bad) => page.poison.push(bad),
    }
    is_complete
}

/// All labels of a mailbox.
pub async fn list(gmail: &Gmail, calls: &Calls) -> Result<Vec<Label>, Failure> {
    let mut url = gmail.url(&["labels"])?;
    url.query_pairs_mut().append_pair("fields", LIST_FIELDS);
    calls
        .make(LIST_COST, async || {
            let answer = gmail.google.get("labels.list", &calls.credential, SCOPE, url.clone()).await;
            let Labels { labels } = parse_json("labels.list", &answer?)?;
            if labels.iter().any(|label| label.id == INBOX) {
                Ok(labels)
            } else {
                Err(Failure::new(Class::Transient, "labels.list: the response does not name INBOX, which every mailbox has"))
            }
        })
        .await
}

/// Reads the colours of the user's labels, unless the list has them.
async fn add_colors(gmail: &Gmail, calls: &Calls, labels: &mut [Label]) -> Result<(), Failure> {
    if labels.iter().any(|label| label.color.is_some()) {
        labels.iter_mut().for_each(|label| label.has_color = true);
        return Ok(());
    }
    let mut own: Vec<&mut Label> = labels.iter_mut().filter(|label| label.is_own()).take(MAX_COLORS).collect();
    for wave in own.chunks_mut(gmail.concurrency.min(calls.width()).max(1)) {
        calls.pay(GET_COST, wave.len()).await?;
        let answers = join_all(wave.iter().map(|label| color(gmail, calls, &label.id))).await;
        for (label, answer) in wave.iter_mut().zip(answers) {
            match answer {
                Ok(color) => (label.color, label.has_color) = (color, true),
                // It was deleted a moment ago.
                Err(failure) if failure.class == Class::Gone => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    Ok(())
}

async fn color(gmail: &Gmail, calls: &Calls, id: &str) -> Result<Option<Color>, Failure> {
    let mut url = gmail.url(&["labels", id])?;
    url.query_pairs_mut().append_pair("fields", "color");
    calls
        .make_paid(GET_COST, async || {
            let answer = gmail.batcher.get(BATCH, "labels.get", &calls.credential, SCOPE, url.clone()).await;
            Ok(parse_json::<Label>("labels.get", &answer?)?.color)
        })
        .await
}
