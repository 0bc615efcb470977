//! Judges one document. Reads the database, writes nothing.

use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::endpoint_calls::{MAX_ASKS, Pending};
use super::learn::may;
use super::state::State;
use super::{Change, Classify, by};
use crate::classify::Label;
use crate::classify::decide::{Decision, Evidence, May, Outcome};
use crate::classify::features::{Text, features};
use crate::classify::linear::Candidate;
use crate::db::classify::answers::WEBHOOK;
use crate::db::classify::judgements::{EndpointState, Judgement, Verdict};
use crate::db::classify::models;
use crate::db::classify::queue::{Queued, Reading};
use crate::db::items::Poison;
use crate::engine::Item;
use crate::error::{Class, Failure};

/// Judges one document by its id, queued or not.
///
/// # Errors
/// Returns `Permanent` if the user has no such document, or an error if the database fails.
pub async fn one(classify: &Classify, user: Uuid, id: &str) -> Result<(Item<Change>, Option<Pending>), Failure> {
    let missing = || Failure::new(Class::Permanent, format!("document {id}: not found"));
    let document: Uuid = id.parse().map_err(|_| missing())?;
    let now = models::state(&classify.pool, user).await?;
    let state = classify.states.of(&classify.pool, user, &now).await?;
    // No model has this version, so the document is judged again.
    let reading = Reading { user, version: -1, opened_at: now.opened_at, private: classify.asks.private() };
    let queued = reading.these(&classify.pool, &[document]).await?.pop().ok_or_else(missing)?;
    let change = change(classify, &state, &queued, now.version, true);
    let pending = to_ask(classify, &state, &queued, &change, 0);
    Ok((item(document, change)?, pending))
}

pub(super) fn to_ask(classify: &Classify, state: &State, queued: &Queued, change: &Change, index: usize) -> Option<Pending> {
    match change {
        Change::Judged(judgement) => classify.asks.pending(state, queued, judgement, index, false),
        Change::Asked(judgement) => classify.asks.pending(state, queued, judgement, index, true),
        _ => None,
    }
}

pub(super) fn item(id: Uuid, change: Change) -> anyhow::Result<Item<Change>> {
    Ok(Item { id: id.to_string(), raw: serde_json::value::to_raw_value(&json!({ "document": id }))?, changed_at: None, change })
}

/// `version` is that of the stored model: documents judged by a model that is not stored yet are judged again once it is.
pub(super) fn change(classify: &Classify, state: &State, queued: &Queued, version: i32, requested: bool) -> Change {
    if queued.is_settled {
        return Change::Settled(queued.id);
    }
    let judgement = Box::new(judgement(classify, state, queued, version));
    if requested { Change::Asked(judgement) } else { Change::Judged(judgement) }
}

fn judgement(classify: &Classify, state: &State, queued: &Queued, version: i32) -> Judgement {
    let decision = decision(state, queued);
    let verdict = match decision.outcome {
        Outcome::Decided { label, by: evidence, confidence } => Verdict::Decided { label, by: by(evidence), confidence },
        Outcome::Unsure if holds_on(state, queued, &decision) => Verdict::Kept,
        Outcome::Unsure => Verdict::Unsure,
    };
    let chosen = match decision.outcome {
        Outcome::Decided { label, by: Evidence::Model, confidence } => Some((label, confidence)),
        _ => None,
    };
    let others = decision.alternatives.iter().map(|candidate| (candidate.label, candidate.confidence));
    let candidates: Vec<(Label, f32)> = chosen.into_iter().chain(others).collect();
    Judgement {
        document: queued.id,
        content_hash: queued.content_hash.clone(),
        model_version: version,
        said: queued.said,
        verdict,
        reason: decision.reason,
        offer: classify.asks.offer(state, queued, verdict, &candidates),
        candidates,
        asked: asked_before(queued),
    }
}

/// Whether and how often the endpoint was asked about this text.
fn asked_before(queued: &Queued) -> EndpointState {
    let wait = queued.asked_again_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match wait.filter(|wait| !wait.is_zero()) {
        _ if queued.was_asked => EndpointState::Answered,
        Some(wait) => EndpointState::Later { wait, asks: queued.asks },
        None if queued.asks >= MAX_ASKS => EndpointState::GivenUp { asks: queued.asks },
        None => EndpointState::No,
    }
}

/// Decides on a document by the current state.
pub fn decision(state: &State, queued: &Queued) -> Decision {
    let near = state.people.near(queued.id, &queued.traits);
    state.learner.decide(&features(&text(queued)), &near.neighbours(), |label| may_get(state, queued, label))
}

fn may_get(state: &State, queued: &Queued, label: Label) -> May {
    may(label, |id| state.project(id).is_some(), &queued.refused)
}

/// The model's labels for a document, best first, without those that a person removed.
pub fn ranked(state: &State, queued: &Queued) -> Vec<Candidate> {
    state.learner.model().rank(&features(&text(queued)), |label| !queued.refused.contains(&label))
}

/// Whether the earlier decision still holds although nothing supports it now. A closed project keeps its documents.
fn holds_on(state: &State, queued: &Queued, decision: &Decision) -> bool {
    let Some((label, by)) = &queued.decision else { return false };
    match (may_get(state, queued, *label), by.as_str()) {
        (May::Refused, _) => false,
        (May::Closed, _) => true,
        // Avoid flapping with every few corrections: keep the model's decision below the threshold while the model prefers no other label.
        (May::Given, "model") => decision.alternatives.first().is_some_and(|best| best.label == *label),
        // Holds until the endpoint, a program or anything else decides differently on the current text.
        (May::Given, "endpoint" | WEBHOOK) => true,
        (May::Given, _) => false,
    }
}

/// The text that the features are computed from.
pub fn text(queued: &Queued) -> Text<'_> {
    Text { title: &queued.title, sender: &queued.author, body: &queued.text }
}

/// Decodes a document that leaves quarantine: it is queued again.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    #[derive(serde::Deserialize)]
    struct Raw {
        document: Uuid,
    }
    match serde_json::from_str::<Raw>(raw.get()) {
        Ok(Raw { document }) => Ok(Item { id: document.to_string(), raw, changed_at: None, change: Change::Again(document) }),
        Err(error) => {
            Err(Poison { item_id: String::new(), raw: raw.get().to_owned(), error: error.to_string(), unfetched: None })
        }
    }
}
