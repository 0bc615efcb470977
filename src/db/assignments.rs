//! The project of a document (table `document_projects`), and every decision of a person about it (`project_corrections`).

use anyhow::Context;
use deadpool_postgres::Transaction;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::classify::classified::{CLASSIFIED, about};
use super::classify::{judgements, queue};
use super::outbox::{self, Event};
use super::pool::{ABORT_RETRIES, was_aborted};
use super::projects::{self, Named};
use super::{Pool, documents};

/// A person's decision about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// It belongs to this project of its user, by name or id.
    Project(String),
    /// It belongs to none of the user's projects.
    None,
    /// Undecided again: any earlier decision is withdrawn.
    Unassigned,
}

impl Assignment {
    /// `project_corrections.action`
    fn action(&self) -> &'static str {
        match self {
            Self::Project(_) => "assigned",
            Self::None => "none",
            Self::Unassigned => "unassigned",
        }
    }
}

/// The outcome of an assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignOutcome {
    /// It is now in effect.
    Changed,
    /// It was already in effect.
    Unchanged,
    /// It was refused for this reason.
    Refused(String),
}

/// A document and its current decision.
struct Known {
    user: Uuid,
    /// `documents.project_id`, which `drive watch-file add --project-id` may have set without a decision.
    project: Option<Uuid>,
    decided_by: Option<String>,
}

/// Stores a person's decision about a document: decision, correction, `documents.project_id` and event in one transaction.
pub async fn say(pool: &Pool, document: Uuid, word: &Assignment) -> anyhow::Result<AssignOutcome> {
    let mut tries = ABORT_RETRIES;
    loop {
        match assign_once(pool, document, word).await {
            // PostgreSQL aborted it in favour of another transaction: retry.
            Err(error) if tries > 0 && was_aborted(&error) => tries -= 1,
            outcome => return outcome,
        }
    }
}

async fn assign_once(pool: &Pool, document: Uuid, word: &Assignment) -> anyhow::Result<AssignOutcome> {
    let mut client = pool.get().await?;
    let tx = client.begin("beginning an assignment").await?;
    let outcome = assign_one(&tx, document, word).await?;
    if outcome == AssignOutcome::Changed {
        tx.commit().await.context("committing an assignment")?;
    }
    Ok(outcome)
}

async fn assign_one(tx: &Transaction<'_>, document: Uuid, word: &Assignment) -> anyhow::Result<AssignOutcome> {
    lock_user(tx, document).await?;
    let Some(known) = known(tx, document).await? else {
        return Ok(AssignOutcome::Refused(format!("no document {document}")));
    };
    let project = match word {
        Assignment::Project(name) => match projects::find(&**tx, known.user, name).await? {
            None => return Ok(AssignOutcome::Refused(format!("the document's user has no project {name:?}"))),
            Some(Named { is_closed: true, name, .. }) => {
                return Ok(AssignOutcome::Refused(format!("project {name:?} is closed")));
            }
            Some(project) => Some(project),
        },
        Assignment::None | Assignment::Unassigned => None,
    };
    let id = project.as_ref().map(|project| project.id);
    let is_human = known.decided_by.as_deref() == Some("human");
    let holds = match word {
        Assignment::Unassigned => known.decided_by.is_none() && known.project.is_none(),
        _ => is_human && known.project == id,
    };
    if holds {
        return Ok(AssignOutcome::Unchanged);
    }
    decide(tx, document, word, id).await?;
    judgements::forget(tx, document).await?;
    if *word == Assignment::Unassigned {
        queue::add(tx, document).await?;
    }
    correct(tx, document, &known, word, id).await?;
    documents::set_project(tx, document, id).await?;
    outbox::emit(tx, &[event(document, &known, project.as_ref(), word)]).await?;
    Ok(AssignOutcome::Changed)
}

/// Serialises the assignments of one user, so that ids of `project_corrections` are committed in order: a model that has learnt up to an id has
/// learnt every correction before it.
async fn lock_user(tx: &Transaction<'_>, document: Uuid) -> anyhow::Result<()> {
    tx.execute_typed(
        "SELECT 1 FROM users WHERE id = (SELECT user_id FROM documents WHERE id = $1) FOR NO KEY UPDATE",
        &[(&document, Type::UUID)],
    )
    .await
    .context("waiting for other assignments of a user")?;
    Ok(())
}

/// Reads and locks the document, so that no other transaction can decide on it.
async fn known(tx: &Transaction<'_>, document: Uuid) -> anyhow::Result<Option<Known>> {
    let row = tx
        .query_typed_opt(
            "SELECT d.user_id, d.project_id, (SELECT p.decided_by FROM document_projects p WHERE p.document_id = d.id)
             FROM documents d WHERE d.id = $1 FOR NO KEY UPDATE OF d",
            &[(&document, Type::UUID)],
        )
        .await
        .context("reading a document to assign")?;
    row.map(|row| Ok(Known { user: row.try_get(0)?, project: row.try_get(1)?, decided_by: row.try_get(2)? })).transpose()
}

async fn decide(tx: &Transaction<'_>, document: Uuid, word: &Assignment, project: Option<Uuid>) -> anyhow::Result<()> {
    if *word == Assignment::Unassigned {
        tx.execute_typed("DELETE FROM document_projects WHERE document_id = $1", &[(&document, Type::UUID)])
            .await
            .context("withdrawing an assignment")?;
        return Ok(());
    }
    tx.execute_typed(
        "INSERT INTO document_projects (document_id, user_id, project_id, decided_by, content_hash)
         SELECT id, user_id, $2, 'human', content_hash FROM documents WHERE id = $1
         ON CONFLICT (document_id) DO UPDATE SET project_id = excluded.project_id, decided_by = 'human', confidence = NULL, reason = NULL,
           content_hash = excluded.content_hash, model_version = NULL, run = NULL, decided_at = now()",
        &[(&document, Type::UUID), (&project, Type::UUID)],
    )
    .await
    .context("storing an assignment")?;
    Ok(())
}

async fn correct(
    tx: &Transaction<'_>,
    document: Uuid,
    known: &Known,
    word: &Assignment,
    project: Option<Uuid>,
) -> anyhow::Result<()> {
    tx.execute_typed(
        "INSERT INTO project_corrections (document_id, user_id, action, project_id, was_project_id, was_decided_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            (&document, Type::UUID),
            (&known.user, Type::UUID),
            (&word.action(), Type::TEXT),
            (&project, Type::UUID),
            (&known.project, Type::UUID),
            (&known.decided_by, Type::TEXT),
        ],
    )
    .await
    .context("recording an assignment")?;
    Ok(())
}

fn event(document: Uuid, known: &Known, project: Option<&Named>, word: &Assignment) -> Event {
    let decided_by = (*word != Assignment::Unassigned).then_some("human");
    let named = project.map(|project| (project.id, project.name.as_str()));
    let about = about(named, decided_by, None, known.project);
    Event { kind: CLASSIFIED, document, user: known.user, project: project.map(|project| project.id), about }
}
