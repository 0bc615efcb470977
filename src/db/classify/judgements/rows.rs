//! Writes the rows and events of judgements.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use deadpool_postgres::Transaction;
use serde_json::{Map, Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::classified::{CLASSIFIED, about};
use super::super::offers::{self, Offer};
use super::super::project;
use super::{DocumentState, EndpointState, Judgement, New, Verdict};
use crate::classify::Label;
use crate::db::outbox::{self, Event};

pub(super) async fn store(tx: &Transaction<'_>, user: Uuid, judged: &[&Judgement]) -> anyhow::Result<()> {
    if judged.is_empty() {
        return Ok(());
    }
    let candidate = |(label, confidence): &(Label, f32)| json!({ "project_id": project(*label), "confidence": confidence });
    let candidates: Vec<Value> = judged.iter().map(|judgement| judgement.candidates.iter().map(candidate).collect()).collect();
    let ids: Vec<Uuid> = judged.iter().map(|judgement| judgement.document).collect();
    let hashes: Vec<&[u8]> = judged.iter().map(|judgement| judgement.content_hash.as_slice()).collect();
    let versions: Vec<i32> = judged.iter().map(|judgement| judgement.model_version).collect();
    let decided: Vec<bool> = judged.iter().map(|judgement| judgement.verdict != Verdict::Unsure).collect();
    let reasons: Vec<&str> = judged.iter().map(|judgement| judgement.reason.as_str()).collect();
    let best: Vec<Option<f32>> =
        judged.iter().map(|judgement| judgement.candidates.first().map(|(_, confidence)| *confidence)).collect();
    let answered: Vec<bool> = judged.iter().map(|judgement| judgement.asked == EndpointState::Answered).collect();
    let later = |judgement: &&Judgement| match judgement.asked {
        EndpointState::Later { wait, asks } => (Some(wait.as_secs_f64()), asks),
        EndpointState::GivenUp { asks } => (None, asks),
        EndpointState::No | EndpointState::Answered => (None, 0),
    };
    let (waits, asks): (Vec<Option<f64>>, Vec<i32>) = judged.iter().map(later).unzip();
    tx.execute_typed(
        "INSERT INTO document_judgements (document_id, user_id, content_hash, model_version, is_decided, reason, candidates, confidence,
           asked_hash, ask_at, asks)
         SELECT t.id, $1, t.hash, t.version, t.decided, t.reason, t.candidates, t.best, CASE WHEN t.answered THEN t.hash END,
           now() + make_interval(secs => t.wait), t.asks
         FROM unnest($2::uuid[], $3::bytea[], $4::int[], $5::bool[], $6::text[], $7::jsonb[], $8::real[], $9::bool[], $10::float8[], $11::int[])
           AS t (id, hash, version, decided, reason, candidates, best, answered, wait, asks)
         ON CONFLICT (document_id) DO UPDATE SET content_hash = excluded.content_hash, model_version = excluded.model_version,
           is_decided = excluded.is_decided, reason = excluded.reason, candidates = excluded.candidates, confidence = excluded.confidence,
           judged_at = now(), asked_hash = excluded.asked_hash, ask_at = excluded.ask_at, asks = excluded.asks",
        &[
            (&user, Type::UUID),
            (&ids, Type::UUID_ARRAY),
            (&hashes, Type::BYTEA_ARRAY),
            (&versions, Type::INT4_ARRAY),
            (&decided, Type::BOOL_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&candidates, Type::JSONB_ARRAY),
            (&best, Type::FLOAT4_ARRAY),
            (&answered, Type::BOOL_ARRAY),
            (&waits, Type::FLOAT8_ARRAY),
            (&asks, Type::INT4_ARRAY),
        ],
    )
    .await
    .context("storing judgements")?;
    Ok(())
}

pub(super) async fn withdraw(tx: &Transaction<'_>, documents: &[Uuid]) -> anyhow::Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    tx.execute_typed(
        "WITH gone AS (DELETE FROM document_projects WHERE document_id = ANY ($1) RETURNING document_id)
         UPDATE documents d SET project_id = NULL, changed_xid = DEFAULT FROM gone WHERE d.id = gone.document_id",
        &[(&documents, Type::UUID_ARRAY)],
    )
    .await
    .context("withdrawing decisions")?;
    Ok(())
}

pub(super) async fn decide(tx: &Transaction<'_>, user: Uuid, stream: Option<i64>, new: &[New<'_>]) -> anyhow::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = new.iter().map(|new| new.judgement.document).collect();
    let projects: Vec<Option<Uuid>> = new.iter().map(|new| project(new.label)).collect();
    let by: Vec<&str> = new.iter().map(|new| new.by).collect();
    let confidences: Vec<f32> = new.iter().map(|new| new.confidence).collect();
    let reasons: Vec<&str> = new.iter().map(|new| new.judgement.reason.as_str()).collect();
    let hashes: Vec<&[u8]> = new.iter().map(|new| new.judgement.content_hash.as_slice()).collect();
    let versions: Vec<i32> = new.iter().map(|new| new.judgement.model_version).collect();
    tx.execute_typed(
        "WITH new AS (
           INSERT INTO document_projects (document_id, user_id, project_id, decided_by, confidence, reason, content_hash, model_version, run)
           SELECT t.id, $1, t.project, t.by, t.confidence, t.reason, t.hash, t.version, (SELECT last_run FROM streams WHERE id = $2)
           FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::real[], $7::text[], $8::bytea[], $9::int[])
             AS t (id, project, by, confidence, reason, hash, version)
           ON CONFLICT (document_id) DO UPDATE SET project_id = excluded.project_id, decided_by = excluded.decided_by,
             confidence = excluded.confidence, reason = excluded.reason, content_hash = excluded.content_hash,
             model_version = excluded.model_version, run = excluded.run, decided_at = now()
           RETURNING document_id, project_id)
         UPDATE documents d SET project_id = new.project_id, changed_xid = DEFAULT FROM new
         WHERE d.id = new.document_id AND d.project_id IS DISTINCT FROM new.project_id",
        &[
            (&user, Type::UUID),
            (&stream, Type::INT8),
            (&ids, Type::UUID_ARRAY),
            (&projects, Type::UUID_ARRAY),
            (&by, Type::TEXT_ARRAY),
            (&confidences, Type::FLOAT4_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&hashes, Type::BYTEA_ARRAY),
            (&versions, Type::INT4_ARRAY),
        ],
    )
    .await
    .context("storing decisions")?;
    Ok(())
}

pub(super) async fn write_events(
    tx: &Transaction<'_>,
    user: Uuid,
    known: &HashMap<Uuid, DocumentState>,
    new: &[New<'_>],
    withdrawn: &[Uuid],
) -> anyhow::Result<()> {
    if new.is_empty() && withdrawn.is_empty() {
        return Ok(());
    }
    let names = names(tx, new).await?;
    let before = |document: &Uuid| known.get(document).and_then(|known| known.decision).and_then(project);
    let event = |document: Uuid, project: Option<Uuid>, about: Map<String, Value>| Event {
        kind: CLASSIFIED,
        document,
        user,
        project,
        about,
    };
    let decided = new.iter().map(|new| {
        let (document, id) = (new.judgement.document, project(new.label));
        let named = id.and_then(|id| Some((id, names.get(&id)?.as_str())));
        event(document, id, about(named, Some(new.by), Some(new.confidence), before(&document)))
    });
    let taken = withdrawn.iter().map(|document| event(*document, None, about(None, None, None, before(document))));
    outbox::emit(tx, &decided.chain(taken).collect::<Vec<_>>()).await
}

async fn names(tx: &Transaction<'_>, new: &[New<'_>]) -> anyhow::Result<HashMap<Uuid, String>> {
    let ids: Vec<Uuid> = new.iter().filter_map(|new| project(new.label)).collect::<HashSet<_>>().into_iter().collect();
    let rows = tx
        .query_typed("SELECT id, name FROM projects WHERE id = ANY ($1)", &[(&ids, Type::UUID_ARRAY)])
        .await
        .context("reading the names of projects")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Offers documents that stay undecided to programs.
pub(super) async fn offer(tx: &Transaction<'_>, user: Uuid, offered: &[(&Judgement, &Offer)]) -> anyhow::Result<()> {
    if offered.is_empty() {
        return Ok(());
    }
    let offers: Vec<_> = offered.iter().map(|(judgement, offer)| (judgement.document, *offer)).collect();
    offers::record_offers(tx, &offers).await?;
    let event =
        |(judgement, offer): &(&Judgement, &Offer)| offers::event(judgement.document, user, &judgement.content_hash, offer);
    outbox::emit(tx, &offered.iter().map(event).collect::<Vec<_>>()).await
}

pub(super) async fn dequeue(tx: &Transaction<'_>, documents: &[Uuid]) -> anyhow::Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    tx.execute_typed("DELETE FROM classify_queue WHERE document_id = ANY ($1)", &[(&documents, Type::UUID_ARRAY)])
        .await
        .context("removing judged documents from the queue")?;
    Ok(())
}
