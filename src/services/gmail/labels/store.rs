//! Labels in `gmail_labels`. No network access.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::{Label, mailboxes, removal};
use crate::engine::{Item, Stream};
use crate::nul;
use crate::services::gmail::message::Change;

const STORE: &str = include_str!("../sql/store_labels.sql");
const NOTE: &str = include_str!("../sql/note_labels.sql");

/// Stores the labels of a page, and those that its messages bear and that are not known.
pub async fn apply(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>, items: &[Item<Change>]) -> anyhow::Result<()> {
    let (mut borne, mut listings) = (BTreeSet::new(), Vec::new());
    for item in items {
        match &item.change {
            Change::Message(message) => borne.extend(&message.labels),
            Change::Labels { labels, .. } => borne.extend(labels),
            Change::LabelList(listing) => listings.push(listing),
            Change::Deleted => {}
        }
    }
    let are_listed = listings.iter().any(|listing| listing.labels.is_some());
    // At the end of a full pass they are listed anyway.
    note(tx, stream, &borne, pass.is_none() && !are_listed).await?;
    for listing in listings {
        mailboxes::record(tx, stream, listing).await?;
        if let Some(labels) = &listing.labels
            && store(tx, stream, labels).await? > 0
        {
            removal::next(tx, stream.id).await?;
        }
    }
    Ok(())
}

/// Adds labels that are not known; `lists`: their mailbox is to list them at once.
async fn note(tx: &Transaction<'_>, stream: &Stream, ids: &BTreeSet<&String>, lists: bool) -> anyhow::Result<()> {
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).filter(|id| !nul::is_in(id)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    tx.execute_typed(
        NOTE,
        &[(&stream.id, Type::INT8), (&stream.user_id, Type::UUID), (&ids, Type::TEXT_ARRAY), (&lists, Type::BOOL)],
    )
    .await
    .context("adding labels that are not known")?;
    Ok(())
}

/// Stores the list of all labels. Returns how many are gone.
async fn store(tx: &Transaction<'_>, stream: &Stream, labels: &[Label]) -> anyhow::Result<u64> {
    // One statement cannot write a row twice.
    let labels: BTreeMap<&str, &Label> =
        labels.iter().filter(|label| !label.id.is_empty() && !nul::is_in(&label.id)).map(|label| (&*label.id, label)).collect();
    let text = |read: fn(&Label) -> Option<&String>| -> Vec<Option<String>> {
        labels.values().map(|label| read(label).map(|text| nul::cleaned(text))).collect()
    };
    let ids: Vec<&str> = labels.keys().copied().collect();
    let kinds: Vec<&str> = labels.values().map(|label| if label.is_own() { "user" } else { "system" }).collect();
    let has_color: Vec<bool> = labels.values().map(|label| label.has_color).collect();
    tx.execute_typed(
        STORE,
        &[
            (&stream.id, Type::INT8),
            (&stream.user_id, Type::UUID),
            (&ids, Type::TEXT_ARRAY),
            (&text(|label| Some(label.name.as_ref().unwrap_or(&label.id))), Type::TEXT_ARRAY),
            (&kinds, Type::TEXT_ARRAY),
            (&text(|label| label.label_list_visibility.as_ref()), Type::TEXT_ARRAY),
            (&text(|label| label.message_list_visibility.as_ref()), Type::TEXT_ARRAY),
            (&text(|label| label.color.as_ref()?.text_color.as_ref()), Type::TEXT_ARRAY),
            (&text(|label| label.color.as_ref()?.background_color.as_ref()), Type::TEXT_ARRAY),
            (&has_color, Type::BOOL_ARRAY),
        ],
    )
    .await
    .context("storing labels")
}
