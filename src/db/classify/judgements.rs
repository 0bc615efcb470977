//! What was thought of documents, and what holds because of it (tables `document_judgements`, `document_projects`). A person's word is never touched.

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

/// What is thought of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// `documents.id`
    pub document: Uuid,
    /// Of the text that was judged.
    pub content_hash: Vec<u8>,
    /// `project_models.version` of the stored model, also where one that is not stored yet has judged.
    pub model_version: i32,
    /// The last word of a person on it that was known then (`project_corrections.id`); 0: there was none.
    pub said: i64,
    pub verdict: Verdict,
    pub reason: String,
    /// The model's, the best first: label and confidence.
    pub candidates: Vec<(Label, f32)>,
    pub asked: EndpointState,
    /// What programs are told of it, if nothing else decides on this text and they were not told of it before.
    pub offer: Option<Box<Offer>>,
}

impl Judgement {
    /// What programs are told: nothing, while the endpoint is still to be asked.
    fn offer(&self) -> Option<&Offer> {
        let is_last =
            matches!(self.verdict, Verdict::Unsure | Verdict::Kept) && !matches!(self.asked, EndpointState::Later { .. });
        self.offer.as_deref().filter(|_| is_last)
    }
}

/// What the model endpoint had to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Nothing, now or before.
    No,
    /// It has answered for this text.
    Answered,
    /// It gave no answer that could be used, so often, and is not asked any more.
    GivenUp { asks: i32 },
    /// It is to be asked after so long.
    Later {
        wait: Duration,
        /// How often it gave no answer that could be used.
        asks: i32,
    },
}

/// What follows for the document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// This label holds from now on.
    Decided {
        label: Label,
        /// `document_projects.decided_by`
        by: &'static str,
        /// From 0 to 1.
        confidence: f32,
    },
    /// What was decided before still holds.
    Kept,
    /// No label holds.
    Unsure,
}

/// What judgements did to the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    pub decided: u64,
    pub changed: u64,
    pub withdrawn: u64,
    pub unchanged: u64,
}

/// A document as it stands when a judgement is written.
struct DocumentState {
    content_hash: Vec<u8>,
    is_settled: bool,
    decision: Option<Label>,
    said: i64,
    /// Programs were told of this text, with all projects that are open now.
    is_told: bool,
}

/// A label that is to hold.
struct New<'a> {
    judgement: &'a Judgement,
    label: Label,
    by: &'static str,
    confidence: f32,
}

/// Writes judgements on documents of a user, and takes their documents out of the queue: those alone whose text is still the one that was judged. A project that was
/// closed meanwhile is not assigned to: the document stays queued. `stream`: the one whose last run judged, if one did.
pub async fn write(tx: &Transaction<'_>, user: Uuid, stream: Option<i64>, judgements: &[&Judgement]) -> anyhow::Result<Done> {
    if judgements.is_empty() {
        return Ok(Done::default());
    }
    let known = known(tx, user, judgements).await?;
    let open = open(tx, judgements).await?;
    let mut done = Done::default();
    let (mut judged, mut new, mut withdrawn, mut over, mut offered) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &judgement in judgements {
        let Some(now) = known.get(&judgement.document) else { continue };
        // A person has spoken, or the document is gone.
        if now.is_settled {
            over.push(judgement.document);
            continue;
        }
        // It is judged again: its text is another, or a person has taken back a word.
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
        if let (Some(offer), false) = (judgement.offer(), now.is_told) {
            offered.push((judgement, offer));
        }
        judged.push(judgement);
        over.push(judgement.document);
    }
    rows::store(tx, user, &judged).await?;
    rows::withdraw(tx, &withdrawn).await?;
    rows::decide(tx, user, stream, &new).await?;
    rows::write_events(tx, user, &known, &new, &withdrawn).await?;
    rows::offer(tx, user, &offered).await?;
    rows::dequeue(tx, &over).await?;
    Ok(done)
}

/// Takes documents out of the queue that need no judgement, if that still holds.
pub async fn skip(tx: &Transaction<'_>, documents: &[Uuid]) -> anyhow::Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    // Whoever changes one of them meanwhile waits, and queues it again.
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
    .context("taking settled documents out of the queue")?;
    Ok(())
}

/// Locks the documents, in one order for everybody, so that nothing else decides about them, or changes them, meanwhile.
pub(super) async fn lock(tx: &Transaction<'_>, documents: &[Uuid]) -> anyhow::Result<()> {
    tx.execute_typed(
        "SELECT 1 FROM documents WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        &[(&documents, Type::UUID_ARRAY)],
    )
    .await
    .context("locking judged documents")?;
    Ok(())
}

/// The documents as they stand, locked.
async fn known(tx: &Transaction<'_>, user: Uuid, judgements: &[&Judgement]) -> anyhow::Result<HashMap<Uuid, DocumentState>> {
    let ids: Vec<Uuid> = judgements.iter().map(|judgement| judgement.document).collect();
    lock(tx, &ids).await?;
    // A statement of its own, which sees what others have committed before they let the documents go.
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
                    is_told: row.try_get(6)?,
                },
            ))
        })
        .collect()
}

/// Which of the projects that are to be assigned to are open; they stay so until the transaction ends.
async fn open(tx: &Transaction<'_>, judgements: &[&Judgement]) -> anyhow::Result<HashSet<Uuid>> {
    let wanted: HashSet<Uuid> = judgements
        .iter()
        .filter_map(|judgement| match judgement.verdict {
            Verdict::Decided { label: Label::Project(id), .. } => Some(id),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let mut wanted: Vec<Uuid> = wanted.into_iter().collect();
    wanted.sort_unstable();
    let rows = tx
        .query_typed(
            "SELECT id FROM projects WHERE id = ANY ($1) AND status = 'active' ORDER BY id FOR SHARE",
            &[(&wanted, Type::UUID_ARRAY)],
        )
        .await
        .context("reading which projects are open")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Forgets what was thought of a document: a person has spoken.
pub async fn forget(tx: &Transaction<'_>, document: Uuid) -> anyhow::Result<()> {
    tx.execute_typed("DELETE FROM document_judgements WHERE document_id = $1", &[(&document, Type::UUID)])
        .await
        .context("forgetting what was thought of a document")?;
    Ok(())
}
