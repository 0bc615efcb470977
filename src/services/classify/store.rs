//! Writes pages of judgements.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::Change;
use crate::db::classify::{judgements, models, passes, queue};
use crate::engine::{Counts, Item, Stream};

/// Writes a page of a user atomically.
pub async fn apply(tx: &Transaction<'_>, stream: &Stream, items: &[Item<Change>]) -> anyhow::Result<Counts> {
    let user = stream.user_id;
    let (mut settled, mut judged, mut requested) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match &item.change {
            Change::Learnt(learnt, new) => {
                models::save(tx, user, learnt).await?;
                passes::begin(tx, user, &learnt.looks_at(new)).await?;
            }
            Change::Passed { from, to } => passes::advance(tx, user, *from, *to).await?,
            Change::Judged(judgement) => judged.push(&**judgement),
            Change::Asked(judgement) => requested.push(&**judgement),
            Change::Settled(document) => settled.push(*document),
            Change::Again(document) => {
                judgements::forget(tx, *document).await?;
                queue::add(tx, *document).await?;
            }
        }
    }
    judgements::skip(tx, &settled).await?;
    let mut counts = Counts::default();
    for (judgements, of_stream) in [(judged, Some(stream.id)), (requested, None)] {
        let done = judgements::write(tx, user, of_stream, &judgements).await?;
        counts += Counts {
            created: done.decided,
            updated: done.changed,
            deleted: done.withdrawn,
            unchanged: done.unchanged,
            ..Counts::default()
        };
    }
    Ok(counts)
}

/// A value that changes with every content change of a document and every decision on it.
pub async fn known(tx: &Transaction<'_>, id: &str) -> anyhow::Result<Option<String>> {
    let Ok(document) = id.parse::<Uuid>() else { return Ok(None) };
    let row = tx
        .query_typed_opt(
            "SELECT concat_ws(' ', encode(d.content_hash, 'hex'), p.decided_by, p.project_id, p.decided_at)
             FROM documents d LEFT JOIN document_projects p ON p.document_id = d.id WHERE d.id = $1",
            &[(&document, Type::UUID)],
        )
        .await
        .context("reading the state of a document")?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}
