//! Pages of judgements: the documents of a user's queue, and before them what is to be learnt. Reads our database, and writes nothing.

use std::sync::atomic::Ordering;

use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::learn::is_open;
use super::state::State;
use super::{Change, Classify, PAGE, by};
use crate::classify::decide::{Decision, Outcome, Way};
use crate::classify::features::{Text, features};
use crate::classify::linear::Candidate;
use crate::db::classify::judgements::{Judgement, Verdict};
use crate::db::classify::queue::{self, From, Queued};
use crate::db::items::Poison;
use crate::engine::digest::Digest;
use crate::engine::{Item, Next, Page};
use crate::error::{Class, Failure};

/// The next page of a user: a model that has learnt more, by itself, or documents after the one that `token` names.
pub async fn page(classify: &Classify, user: Uuid, token: Option<&str>, digest: &Digest) -> anyhow::Result<Page<Change>> {
    let (state, is_stored) = classify.states.of(&classify.pool, user).await?;
    if state.beyond > 0 {
        digest.tell(
            "assignments to more projects than a model can tell apart (10,000): not learnt",
            None,
            user,
            &state.beyond.to_string(),
        );
    }
    let page = |items, next| Page { items, poison: Vec::new(), pinned: None, expected: None, next };
    let anew = || Next::Page(Uuid::nil().to_string());
    if let (false, Some((learnt, new))) = (is_stored, &state.learnt) {
        if !state.is_told.swap(true, Ordering::Relaxed) {
            return Ok(page(vec![item(user, Change::Learnt(Box::new(learnt.clone()), new.clone()))?], anew()));
        }
        // Pages are asked for ahead: until that one is written, the queue is that of before.
        if !classify.is_rehearsal {
            return Ok(page(Vec::new(), anew()));
        }
    }
    // A token of another version: from the beginning, which costs nothing that is done.
    let after = token.and_then(|token| token.parse().ok()).unwrap_or_default();
    // In a dry run, what the new model would have queued.
    let from = if is_stored { From::Queue } else { From::Documents };
    let queued = queue::next(&classify.pool, user, from, state.version, after, PAGE).await?;
    let next = match queued.last() {
        Some(last) if queued.len() as i64 == PAGE => Next::Page(last.id.to_string()),
        _ => Next::Cursor(state.version.to_string()),
    };
    let items = queued.iter().map(|queued| item(queued.id, change(&state, queued, false))).collect::<anyhow::Result<_>>()?;
    Ok(page(items, next))
}

/// One document by its id, queued or not.
///
/// # Errors
/// It is none of the user's, or the database failed.
pub async fn one(classify: &Classify, user: Uuid, id: &str) -> Result<Item<Change>, Failure> {
    let missing = || Failure::new(Class::Permanent, format!("document {id}: not there"));
    let document: Uuid = id.parse().map_err(|_| missing())?;
    let (state, _) = classify.states.of(&classify.pool, user).await?;
    let queued = queue::one(&classify.pool, user, document).await?.ok_or_else(missing)?;
    Ok(item(document, change(&state, &queued, true))?)
}

fn item(id: Uuid, change: Change) -> anyhow::Result<Item<Change>> {
    Ok(Item { id: id.to_string(), raw: serde_json::value::to_raw_value(&json!({ "document": id }))?, changed_at: None, change })
}

fn change(state: &State, queued: &Queued, asked: bool) -> Change {
    match queued.is_settled {
        true => Change::Settled(queued.id),
        false if asked => Change::Asked(Box::new(judgement(state, queued))),
        false => Change::Judged(Box::new(judgement(state, queued))),
    }
}

/// What is thought of a document.
fn judgement(state: &State, queued: &Queued) -> Judgement {
    let decision = decision(state, queued);
    let verdict = match decision.outcome {
        Outcome::Decided { label, by: way, confidence } => Verdict::Decided { label, by: by(way), confidence },
        Outcome::Unsure if holds_on(queued, &decision) => Verdict::Kept,
        Outcome::Unsure => Verdict::Unsure,
    };
    let chosen = match decision.outcome {
        Outcome::Decided { label, by: Way::Model, confidence } => Some((label, confidence)),
        _ => None,
    };
    let others = decision.alternatives.iter().map(|candidate| (candidate.label, candidate.confidence));
    Judgement {
        document: queued.id,
        content_hash: queued.content_hash.clone(),
        model_version: state.version,
        verdict,
        reason: decision.reason,
        candidates: chosen.into_iter().chain(others).collect(),
    }
}

/// The decision on a document by all that is known now.
pub fn decision(state: &State, queued: &Queued) -> Decision {
    let near = state.people.near(queued.id, &queued.traits);
    let open = |label| is_open(label, |id| state.projects.contains_key(&id), &queued.refused);
    state.learner.judge(&features(&text(queued)), &near.neighbours(), open)
}

/// The model's labels for a document, the best first.
pub fn ranked(state: &State, queued: &Queued) -> Vec<Candidate> {
    state.learner.model().rank(&features(&text(queued)))
}

/// A decision of the model outlasts a confidence that falls below the threshold while the model knows nothing better: it would come and go with
/// every few words that are learnt.
fn holds_on(queued: &Queued, decision: &Decision) -> bool {
    let Some((label, by)) = &queued.decision else { return false };
    by == "model" && decision.alternatives.first().is_some_and(|best| best.label == *label)
}

/// A document as features are made of it.
pub fn text(queued: &Queued) -> Text<'_> {
    Text { title: &queued.title, sender: &queued.author, body: &queued.text }
}

/// A document that leaves quarantine is queued again.
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
