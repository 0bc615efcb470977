//! Outbox events for messages that arrive, change their labels or are gone from a mailbox: opt-in types, written in the transaction of the change. No
//! network access.
//!
//! The first full pass writes none. Later ones find what changed while no cursor was valid: as received they announce only messages that arrived
//! after the pass before. Drafts are left out, because Gmail replaces them at every save.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;
use serde_json::{Map, Value, json};

use super::message::Change;
use crate::db::outbox::{self, ItemEvent, short};
use crate::engine::{Item, Stream};

const RECEIVED: &str = "gmail.message.received";
const LABELLED: &str = "gmail.message.labelled";
/// `gmail.message.deleted`, a standard type, is about messages with a document.
const REMOVED: &str = "gmail.message.removed";
/// All opt-in event types of Gmail.
pub const OPT_IN: [&str; 3] = [RECEIVED, LABELLED, REMOVED];
/// Maximum number of labels in a list of an event.
const MAX_LABELS: usize = 500;
/// Gmail's times of arrival may be before the end of a pass that did not list the message yet.
const MARGIN: TimeDelta = TimeDelta::days(1);

/// Announces the changes of messages.
pub struct Announcer<'a> {
    requested: &'a HashSet<&'static str>,
    /// A message that arrived before cannot be new. `None`: any can.
    since: Option<DateTime<Utc>>,
    ids: Vec<&'a str>,
    /// The labels of those that existed before.
    before: HashMap<String, Vec<String>>,
}

impl<'a> Announcer<'a> {
    /// Reads what is stored of the messages of a page, before it is stored. `None`: nothing is to be announced.
    ///
    /// # Errors
    /// Returns an error of the database.
    pub async fn of_page(
        tx: &Transaction<'_>,
        requested: &'a HashSet<&'static str>,
        stream: &Stream,
        pass: Option<i64>,
        items: &'a [Item<Change>],
    ) -> anyhow::Result<Option<Self>> {
        let ids = || items.iter().map(|item| item.id.as_str()).collect();
        Self::of(tx, requested, stream, pass, ids).await
    }

    /// The same for messages that a full pass did not list.
    ///
    /// # Errors
    /// Returns an error of the database.
    pub async fn of_missing(
        tx: &Transaction<'_>,
        requested: &'a HashSet<&'static str>,
        stream: &Stream,
        pass: i64,
        ids: &[&'a str],
    ) -> anyhow::Result<Option<Self>> {
        Self::of(tx, requested, stream, Some(pass), || ids.to_vec()).await
    }

    async fn of(
        tx: &Transaction<'_>,
        requested: &'a HashSet<&'static str>,
        stream: &Stream,
        pass: Option<i64>,
        ids: impl FnOnce() -> Vec<&'a str>,
    ) -> anyhow::Result<Option<Self>> {
        if requested.is_empty() || (pass.is_some() && stream.full_pass_at.is_none()) {
            return Ok(None);
        }
        let since = pass.and(stream.full_pass_at).map(|at| at - MARGIN);
        let ids = ids();
        let rows = tx
            .query_typed(
                // Row by row: without statistics, the planner would read the whole mailbox.
                "SELECT m.message_id, m.labels FROM unnest($2::text[]) AS t (id), LATERAL (
                   SELECT message_id, labels FROM gmail_messages WHERE stream_id = $1 AND message_id = t.id AND deleted_at IS NULL OFFSET 0) AS m",
                &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
            )
            .await
            .context("reading the messages of a page as stored")?;
        let before = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<anyhow::Result<_>>()?;
        Ok(Some(Self { requested, since, ids, before }))
    }

    /// Writes the events, after the messages are stored.
    ///
    /// # Errors
    /// Returns an error of the database.
    pub async fn announce(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<()> {
        let rows = tx
            .query_typed(
                "SELECT m.message_id, m.thread_id, m.labels, m.deleted_at IS NOT NULL, m.received_at, m.subject, m.from_address, m.snippet
                 FROM unnest($2::text[]) WITH ORDINALITY AS t (id, ordinal), LATERAL (
                   SELECT * FROM gmail_messages m WHERE m.stream_id = $1 AND m.message_id = t.id OFFSET 0) AS m ORDER BY t.ordinal",
                &[(&stream.id, Type::INT8), (&self.ids, Type::TEXT_ARRAY)],
            )
            .await
            .context("reading the messages of a page")?;
        let mut events = Vec::new();
        for row in &rows {
            events.extend(self.event(stream, row)?);
        }
        outbox::emit_of_items(tx, &events).await
    }

    fn event(&self, stream: &Stream, row: &Row) -> anyhow::Result<Option<ItemEvent>> {
        let (id, labels): (String, Vec<String>) = (row.try_get(0)?, row.try_get(2)?);
        let (is_gone, received_at): (bool, Option<DateTime<Utc>>) = (row.try_get(3)?, row.try_get(4)?);
        let is_new = self.since.is_none_or(|since| received_at.is_some_and(|at| at > since));
        let Some((kind, changed)) = change(self.before.get(&id), &labels, is_gone, is_new) else { return Ok(None) };
        if !self.requested.contains(kind) {
            return Ok(None);
        }
        let text = |column: usize| anyhow::Ok(row.try_get::<_, Option<&str>>(column)?.map(short));
        let mut about = Map::from_iter([
            ("message_id".to_owned(), json!(id)),
            ("thread_id".to_owned(), json!(row.try_get::<_, &str>(1)?)),
            ("label_ids".to_owned(), listed(labels.iter())),
            (
                "email".to_owned(),
                json!({ "subject": text(5)?, "from": text(6)?, "received_at": received_at, "snippet": text(7)? }),
            ),
        ]);
        if let Some((added, removed)) = changed {
            about.extend([
                ("added_label_ids".to_owned(), listed(added.iter())),
                ("removed_label_ids".to_owned(), listed(removed.iter())),
            ]);
        }
        Ok(Some(ItemEvent { kind, stream: stream.id, item: id, user: stream.user_id, id: None, about }))
    }
}

/// Labels that were added, and removed.
type Relabelled = (BTreeSet<String>, BTreeSet<String>);

/// What has happened to a message: from its labels before, if it existed, and now.
fn change(
    before: Option<&Vec<String>>,
    now: &[String],
    is_gone: bool,
    is_new: bool,
) -> Option<(&'static str, Option<Relabelled>)> {
    let has = |labels: &[String], label: &str| labels.iter().any(|own| own == label);
    if has(now, "DRAFT") || before.is_some_and(|before| has(before, "DRAFT")) {
        return None;
    }
    let Some(before) = before else {
        // A message that a user sends to themselves is in the inbox, too.
        let is_received = !has(now, "SENT") || has(now, "INBOX");
        return (!is_gone && is_new && is_received).then_some((RECEIVED, None));
    };
    if is_gone {
        return Some((REMOVED, None));
    }
    let (before, now) = (BTreeSet::from_iter(before.iter().cloned()), BTreeSet::from_iter(now.iter().cloned()));
    let (added, removed) = (&now - &before, &before - &now);
    (!added.is_empty() || !removed.is_empty()).then_some((LABELLED, Some((added, removed))))
}

fn listed<'a>(labels: impl Iterator<Item = &'a String>) -> Value {
    labels.take(MAX_LABELS).map(|label| json!(short(label))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels before and now, whether it is gone, whether it is new, the type of its event.
    type Case = (Option<&'static str>, &'static str, bool, bool, Option<&'static str>);

    #[test]
    fn a_message_arrives_is_labelled_and_goes_and_drafts_are_left_out() {
        let labels = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let rows: [Case; 12] = [
            (None, "INBOX UNREAD", false, true, Some(RECEIVED)),
            (None, "SPAM", false, true, Some(RECEIVED)),
            (None, "SENT INBOX", false, true, Some(RECEIVED)),
            (None, "SENT", false, true, None),
            (None, "DRAFT", false, true, None),
            (None, "INBOX", false, false, None),
            (None, "INBOX", true, true, None),
            (Some("INBOX UNREAD"), "INBOX", false, true, Some(LABELLED)),
            (Some("INBOX"), "INBOX", false, true, None),
            (Some("DRAFT"), "SENT", false, true, None),
            (Some("SENT"), "SENT", true, false, Some(REMOVED)),
            (Some("DRAFT"), "DRAFT", true, true, None),
        ];
        for (before, now, is_gone, is_new, expected) in rows {
            let change = change(before.map(labels).as_ref(), &labels(now), is_gone, is_new);
            assert_eq!(change.map(|(kind, _)| kind), expected, "{before:?} {now} {is_gone} {is_new}");
        }
        let (_, changed) = change(Some(&labels("INBOX UNREAD")), &labels("INBOX Label_7"), false, true).expect("a change");
        assert_eq!(changed, Some((BTreeSet::from(["Label_7".to_owned()]), BTreeSet::from(["UNREAD".to_owned()]))));
    }
}
