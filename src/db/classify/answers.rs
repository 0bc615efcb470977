//! Decisions by external programs on documents offered to them (tables `document_judgements`, `document_projects`), under the same rules as a
//! model's answer.

use anyhow::Context;
use deadpool_postgres::Transaction;
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::judgements::{self, EndpointState, Judgement, Verdict};
use super::{label, project};
use crate::classify::Label;
use crate::classify::threshold::LEAST;

/// `document_projects.decided_by`
pub const WEBHOOK: &str = "webhook";

/// A program's decision on a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// `documents.id`
    pub document: Uuid,
    /// Hash of the text that was offered.
    pub content_hash: Vec<u8>,
    pub label: Label,
    /// From 0 to 1.
    pub confidence: f32,
    pub reason: String,
}

/// The outcome of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// It is now in effect.
    Decided,
    /// It was already in effect.
    Unchanged,
    /// Its confidence is too low for a decision: nothing changed.
    Unsure,
    /// The label was not offered.
    NotOffered,
    /// Superseded by a person, another decision or another text, or the project was closed.
    Outdated,
    /// The document does not exist.
    Unknown,
}

/// The current state of the document.
struct Known {
    user: Uuid,
    /// This exact text was offered to programs.
    is_asked: bool,
    /// A program or the model endpoint has answered for it.
    is_answered: bool,
    /// The current decision, and who made it.
    decision: Option<(Label, String)>,
    /// A `None` entry means "none of them".
    offered: Vec<Option<Uuid>>,
    judgement: Judgement,
}

/// Stores a decision and its event if the rules allow it.
pub async fn take(tx: &Transaction<'_>, answer: &Answer) -> anyhow::Result<AnswerOutcome> {
    judgements::lock(tx, &[answer.document]).await?;
    let Some(known) = known(tx, answer).await? else { return Ok(AnswerOutcome::Unknown) };
    let Some(Known { user, is_asked, is_answered, decision, offered, judgement }) = known else {
        return Ok(AnswerOutcome::Outdated);
    };
    match decision {
        _ if !is_asked => return Ok(AnswerOutcome::Outdated),
        Some((label, by)) if is_answered => {
            return Ok(if by == WEBHOOK && label == answer.label { AnswerOutcome::Unchanged } else { AnswerOutcome::Outdated });
        }
        Some((_, by)) if by != WEBHOOK => return Ok(AnswerOutcome::Outdated),
        // Undecided, or decided by a program for an earlier text.
        Some(_) | None => {}
    }
    if !offered.contains(&project(answer.label)) {
        return Ok(AnswerOutcome::NotOffered);
    }
    if answer.confidence < LEAST {
        return Ok(AnswerOutcome::Unsure);
    }
    let done = judgements::write(tx, user, None, &[&judgement]).await?;
    Ok(if done.decided + done.changed + done.unchanged == 1 { AnswerOutcome::Decided } else { AnswerOutcome::Outdated })
}

/// `None`: the document does not exist. `Some(None)`: it has no judgement, because a person has decided or it has not been judged yet.
async fn known(tx: &Transaction<'_>, answer: &Answer) -> anyhow::Result<Option<Option<Known>>> {
    let row = tx
        .query_typed_opt(
            "SELECT d.user_id, d.status <> 'deleted' AND d.content_hash = $2 AND coalesce(j.told_hash = d.content_hash, false), p.project_id,
               p.decided_by, coalesce(j.offered, '[]'), j.model_version, j.candidates, j.reason,
               coalesce((SELECT max(c.id) FROM project_corrections c WHERE c.document_id = d.id), 0), coalesce(j.asked_hash = d.content_hash, false)
             FROM documents d LEFT JOIN document_projects p ON p.document_id = d.id LEFT JOIN document_judgements j ON j.document_id = d.id
             WHERE d.id = $1",
            &[(&answer.document, Type::UUID), (&answer.content_hash, Type::BYTEA)],
        )
        .await
        .context("reading a document that a program decided on")?;
    let Some(row) = row else { return Ok(None) };
    let Some(model_version) = row.try_get::<_, Option<i32>>(5)? else { return Ok(Some(None)) };
    let decided_by: Option<String> = row.try_get(3)?;
    let current: Option<Uuid> = row.try_get(2)?;
    let reason: String = row.try_get(7)?;
    let judgement = Judgement {
        document: answer.document,
        content_hash: answer.content_hash.clone(),
        model_version,
        said: row.try_get(8)?,
        verdict: Verdict::Decided { label: answer.label, by: WEBHOOK, confidence: answer.confidence },
        reason: format!("a program chose it with confidence {:.2}{}; {reason}", answer.confidence, format_reason(&answer.reason)),
        candidates: candidates(row.try_get(6)?)?,
        asked: EndpointState::Answered,
        offer: None,
    };
    Ok(Some(Some(Known {
        user: row.try_get(0)?,
        is_asked: row.try_get(1)?,
        is_answered: row.try_get(9)?,
        decision: decided_by.map(|by| (label(current), by)),
        offered: serde_json::from_value(row.try_get(4)?).context("document_judgements.offered")?,
        judgement,
    })))
}

fn format_reason(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn candidates(stored: Value) -> anyhow::Result<Vec<(Label, f32)>> {
    #[derive(Deserialize)]
    struct Candidate {
        project_id: Option<Uuid>,
        confidence: f32,
    }
    let stored: Vec<Candidate> = serde_json::from_value(stored).context("document_judgements.candidates")?;
    Ok(stored.into_iter().map(|candidate| (label(candidate.project_id), candidate.confidence)).collect())
}
