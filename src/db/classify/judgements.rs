//! Judgements on documents and the resulting decisions (tables `document_judgements`, `document_projects`). A person's decision is never changed.

mod rows;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::label;
use super::offers::Offer;
use crate::classify::Label;

/// A judgement on a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// `documents.id`
    pub document: Uuid,
    /// Hash of the judged text.
    pub content_hash: Vec<u8>,
    /// `project_models.version` of the stored model, even if a model that is not stored yet has judged.
    pub model_version: i32,
    /// The last correction of the document known at that time (`project_corrections.id`); 0: none.
    pub said: i64,
    pub verdict: Verdict,
    pub reason: String,
    /// The model's candidates, best first: label and confidence.
    pub candidates: Vec<(Label, f32)>,
    pub asked: EndpointState,
    /// What to offer to programs if nothing else decides on this text and it was not offered before.
    pub offer: Option<Box<Offer>>,
}

impl Judgement {
    /// What to offer to programs. Nothing while the endpoint is still to be asked.
    fn offer(&self) -> Option<&Offer> {
        let is_last =
            matches!(self.verdict, Verdict::Unsure | Verdict::Kept) && !matches!(self.asked, EndpointState::Later { .. });
        self.offer.as_deref().filter(|_| is_last)
    }
}

/// The state of a judgement at the model endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Not asked, now or before.
    No,
    /// It has answered for this text.
    Answered,
    /// It gave no usable answer this many times and is no longer asked.
    GivenUp { asks: i32 },
    /// It is to be asked after this wait.
    Later {
        wait: Duration,
        /// How often it gave no usable answer.
        asks: i32,
    },
}

/// The consequence for the document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// This label takes effect.
    Decided {
        label: Label,
        /// `document_projects.decided_by`
        by: &'static str,
        /// From 0 to 1.
        confidence: f32,
    },
    /// The earlier decision stays in effect.
    Kept,
    /// No label is in effect.
    Unsure,
}

/// Number of documents by the effect of their judgements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    pub decided: u64,
    pub changed: u64,
    pub withdrawn: u64,
    pub unchanged: u64,
}

/// The state of a document when a judgement is written.
struct DocumentState {
    content_hash: Vec<u8>,
    is_settled: bool,
    decision: Option<Label>,
    said: i64,
    /// This text was offered to programs with all projects that are open now.
    is_offered: bool,
}

/// A label to put into effect.
struct New<'a> {
    judgement: &'a Judgement,
    label: Label,
    by: &'static str,
    confidence: f32,
}

/// Writes judgements on documents of a user and removes these documents from the queue. Judgements on an outdated text are dropped. A project
/// that was closed in the meantime is not assigned: the document stays queued. `stream`: the stream whose last run judged, if any.
pub async fn write(tx: &Transaction<'_>, user: Uuid, stream: Option<i64>, judgements: &[&Judgement]) -> anyhow::Result<Done> {
    if judgements.is_empty() {
        return Ok(Done::default());
    }
    let known = known(tx, user, judgements).await?;
    let open = open(tx, judgements).await?;
    let mut done = Done::default();
    let (mut judged, mut new, mut withdrawn, mut finished, mut offered) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &judgement in judgements {
        let Some(now) = known.get(&judgement.document) else { continue };
        // A person has decided, or the document is gone.
        if now.is_settled {
            finished.push(judgement.document);
            continue;
        }
        // It stays queued: its text has changed, or a person has withdrawn a decision.
        let is_outdated = now.content_hash != judgement.content_hash || now.said != judgement.said;
        if is_outdated || (judgement.verdict == Verdict::Kept && now.decision.is_none()) {
            continue;
        }
        match judgement.verdict {
            Verdict::Decided { label: Label::Project(id), .. } if !open.contains(&id) => continue,
            Verdict::Decided { label, .. } if now.decision == Some(label) => done.unchanged += 1,
            Verdict::Decided { label, by, confidence } => {
                new.push(New { judgement, label, by, confidence });
                match now.decision {
                    Some(_) => done.changed += 1,
                    None => done.decided += 1,
                }
            }
            Verdict::Unsure if now.decision.is_some() => {
                withdrawn.push(judgement.document);
                done.withdrawn += 1;
            }
            Verdict::Kept | Verdict::Unsure => done.unchanged += 1,
        }
        if let (Some(offer), false) = (judgement.offer(), now.is_offered) {
            offered.push((judgement, offer));
        }
        judged.push(judgement);
        finished.push(judgement.document);
    }
    rows::store(tx, user, &judged).await?;
    rows::withdraw(tx, &withdrawn).await?;
    rows::decide(tx, user, stream, &new).await?;
    rows::write_events(tx, user, &known, &new, &withdrawn).await?;
    rows::offer(tx, user, &offered).await?;
    rows::dequeue(tx, &finished).await?;
    Ok(done)
}

/// Removes documents from the queue that still need no judgement.
pub async fn skip(tx: &Transaction<'_>, documents: &[Uuid]) -> anyhow::Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    // A concurrent change of one of them waits for the lock and queues it again.
    lock(tx, documents).await?;
    tx.execute_typed(
        "DELETE FROM classify_queue q USING documents d LEFT JOIN document_projects p ON p.document_id = d.id
           LEFT JOIN document_judgements j ON j.document_id = d.id LEFT JOIN project_models m ON m.user_id = d.user_id
         WHERE q.document_id = ANY ($1) AND d.id = q.document_id
           AND (d.status = 'deleted' OR coalesce(p.decided_by = 'human', d.project_id IS NOT NULL)
             OR (j.content_hash = d.content_hash AND j.model_version = m.version AND (j.ask_at IS NULL OR j.ask_at > now())))",
        &[(&documents, Type::UUID_ARRAY)],
    )
    .await
    .context("removing settled documents from the queue")?;
    Ok(())
}

/// Locks the documents, always in the order of their ids, so that no other transaction can decide on them or change them.
pub(super) async fn lock(tx: &Transaction<'_>, documents: &[Uuid]) -> anyhow::Result<()> {
    tx.execute_typed(
        "SELECT 1 FROM documents WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        &[(&documents, Type::UUID_ARRAY)],
    )
    .await
    .context("locking judged documents")?;
    Ok(())
}

/// Locks the documents and reads their current state.
async fn known(tx: &Transaction<'_>, user: Uuid, judgements: &[&Judgement]) -> anyhow::Result<HashMap<Uuid, DocumentState>> {
    let ids: Vec<Uuid> = judgements.iter().map(|judgement| judgement.document).collect();
    lock(tx, &ids).await?;
    // A separate statement, so that it sees what others committed before they released the documents.
    let rows = tx
        .query_typed(
            "SELECT d.id, d.content_hash, d.status = 'deleted' OR coalesce(p.decided_by = 'human', d.project_id IS NOT NULL),
               p.document_id IS NOT NULL, p.project_id,
               coalesce((SELECT max(c.id) FROM project_corrections c WHERE c.document_id = d.id), 0), coalesce(j.told_hash = d.content_hash AND j.judged_at >= o.opened_at, false)
             FROM documents d LEFT JOIN document_projects p ON p.document_id = d.id LEFT JOIN document_judgements j ON j.document_id = d.id
               CROSS JOIN (SELECT max(opened_at) AS opened_at FROM projects WHERE user_id = $2 AND status = 'active') o
             WHERE d.id = ANY ($1) AND d.user_id = $2",
            &[(&ids, Type::UUID_ARRAY), (&user, Type::UUID)],
        )
        .await
        .context("reading judged documents")?;
    rows.iter()
        .map(|row| {
            let is_decided: bool = row.try_get(3)?;
            let project: Option<Uuid> = row.try_get(4)?;
            let decision = is_decided.then(|| label(project));
            Ok((
                row.try_get(0)?,
                DocumentState {
                    content_hash: row.try_get(1)?,
                    is_settled: row.try_get(2)?,
                    decision,
                    said: row.try_get(5)?,
                    is_offered: row.try_get(6)?,
                },
            ))
        })
        .collect()
}

/// Which of the projects to assign are open. They stay open until the transaction ends.
async fn open(tx: &Transaction<'_>, judgements: &[&Judgement]) -> anyhow::Result<HashSet<Uuid>> {
    let assigned: HashSet<Uuid> = judgements
        .iter()
        .filter_map(|judgement| match judgement.verdict {
            Verdict::Decided { label: Label::Project(id), .. } => Some(id),
            _ => None,
        })
        .collect();
    if assigned.is_empty() {
        return Ok(assigned);
    }
    let mut assigned: Vec<Uuid> = assigned.into_iter().collect();
    assigned.sort_unstable();
    let rows = tx
        .query_typed(
            "SELECT id FROM projects WHERE id = ANY ($1) AND status = 'active' ORDER BY id FOR SHARE",
            &[(&assigned, Type::UUID_ARRAY)],
        )
        .await
        .context("reading which projects are open")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Deletes the judgement on a document because a person has decided.
pub async fn forget(tx: &Transaction<'_>, document: Uuid) -> anyhow::Result<()> {
    tx.execute_typed("DELETE FROM document_judgements WHERE document_id = $1", &[(&document, Type::UUID)])
        .await
        .context("deleting the judgement on a document")?;
    Ok(())
}
