//! Pages of judgements, in this order: the lesson, the parts of the pass that follows from it, the documents of the user's queue. Reads the
//! database, writes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::endpoint_calls::Pending;
use super::evaluation::{change, item, to_ask};
use super::state::State;
use super::{Change, Classify, PAGE};
use crate::db::classify::models::{self, ModelState};
use crate::db::classify::passes::{self, Pass};
use crate::db::classify::queue::{Queued, Reading};
use crate::engine::digest::Digest;
use crate::engine::{Item, Next, Page};

/// A page, and the questions about it for the endpoint.
pub type Judged = (Page<Change>, Vec<Pending>);

/// Maximum number of empty pages that wait for the lesson to be written.
const MAX_LOOKS: u32 = 3;

/// A version of a document: id, content hash, and latest correction.
type Version = (Uuid, Vec<u8>, i64);

/// Documents of passes that may still be in the queue, by user: those of the previous page, which is written while the next one is read; in a dry
/// run, which removes nothing from the queue, all of them.
#[derive(Default)]
pub struct SeenDocuments(Mutex<HashMap<Uuid, HashSet<Version>>>);

impl SeenDocuments {
    /// Forgets the documents of a user.
    fn forget(&self, user: Uuid) {
        self.all().remove(&user);
    }

    /// Whether a document is new. `keep` remembers it.
    fn is_new(&self, user: Uuid, queued: &Queued, keep: bool) -> bool {
        let version = (queued.id, queued.content_hash.clone(), queued.said);
        if keep {
            self.all().entry(user).or_default().insert(version)
        } else {
            self.all().get(&user).is_none_or(|seen| !seen.contains(&version))
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, HashSet<Version>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the next page of a user: the lesson alone, or the documents after the position of `token`.
pub async fn page(classify: &Classify, user: Uuid, token: Option<&str>, digest: &Digest) -> anyhow::Result<Judged> {
    let now = models::state(&classify.pool, user).await?;
    let state = classify.states.of(&classify.pool, user, &now).await?;
    let token = token.and_then(Token::of);
    if state.beyond > 0 {
        let why = "assignments not learnt: they exceed a model's maximum of 10,000 labels";
        digest.add(why, None, user, &state.beyond.to_string());
    }
    if let Some(page) = lesson(classify, &state, &now, user, token)? {
        return Ok((page, Vec::new()));
    }
    let pass = pass(classify, &state, &now, user).await?;
    match (token, &pass) {
        (Some(Token::Queue(after)), _) => queue_page(classify, &state, &now, user, after).await,
        (Some(Token::Pass(after)), Some(pass)) => pass_page(classify, &state, &now, user, (pass, after)).await,
        (_, Some(pass)) => pass_page(classify, &state, &now, user, (pass, pass.looked_to)).await,
        (_, None) => queue_page(classify, &state, &now, user, Uuid::nil()).await,
    }
}

/// Returns the page with the lesson, or an empty page while the lesson is being written; `None` if there is nothing to learn, or a dry run has
/// already returned the lesson.
fn lesson(
    classify: &Classify,
    state: &State,
    now: &ModelState,
    user: Uuid,
    token: Option<Token>,
) -> anyhow::Result<Option<Page<Change>>> {
    let (false, Some((learnt, new))) = (state.version == now.version, &state.learnt) else { return Ok(None) };
    // An earlier run may have failed to store the lesson; this one tries again.
    let is_repeated = !classify.taught.lock().unwrap_or_else(PoisonError::into_inner).insert((user, state.version));
    match token {
        // A dry run stores nothing.
        Some(_) if classify.is_rehearsal && is_repeated => return Ok(None),
        // Pages are fetched ahead: until the lesson's page is written, the queue is outdated.
        Some(Token::Lesson { version, looks }) if version == state.version && is_repeated => {
            anyhow::ensure!(looks < MAX_LOOKS, "the lesson could not be stored: see `syncctl items list`");
            return Ok(Some(page_of(Vec::new(), Next::Page(Token::Lesson { version, looks: looks + 1 }.text()))));
        }
        _ => {}
    }
    let item = item(user, Change::Learnt(Box::new(learnt.clone()), new.clone()))?;
    Ok(Some(page_of(vec![item], Next::Page(Token::Lesson { version: state.version, looks: 0 }.text()))))
}

/// The pass of a user; in a dry run, the pass that would follow the lesson.
async fn pass(classify: &Classify, state: &State, now: &ModelState, user: Uuid) -> anyhow::Result<Option<Pass>> {
    let stored = passes::of(&classify.pool, user).await?;
    match &state.learnt {
        Some((learnt, new)) if classify.is_rehearsal && state.version != now.version => {
            let scope = stored.map(|pass| pass.scope).unwrap_or_default().and(&learnt.looks_at(new));
            Ok(Some(Pass { looked_to: Uuid::nil(), scope }))
        }
        _ => Ok(stored),
    }
}

async fn pass_page(
    classify: &Classify,
    state: &State,
    now: &ModelState,
    user: Uuid,
    (pass, after): (&Pass, Uuid),
) -> anyhow::Result<Judged> {
    let (documents, to) = passes::part(&classify.pool, user, &pass.scope, after, PAGE).await?;
    let queued = reading(classify, state, now, user).these(&classify.pool, &documents).await?;
    let next = to.map_or(Token::Queue(Uuid::nil()), Token::Pass);
    if !classify.is_rehearsal {
        classify.seen.forget(user);
    }
    let new = queued.iter().filter(|queued| classify.seen.is_new(user, queued, true));
    let (mut items, pending) = judged(classify, state, now, new)?;
    items.push(item(user, Change::Passed { from: after, to })?);
    Ok((page_of(items, Next::Page(next.text())), pending))
}

async fn queue_page(classify: &Classify, state: &State, now: &ModelState, user: Uuid, after: Uuid) -> anyhow::Result<Judged> {
    let queued = reading(classify, state, now, user).next(&classify.pool, after, PAGE).await?;
    let next = match queued.last() {
        Some(last) if queued.len() as i64 == PAGE => Next::Page(Token::Queue(last.id).text()),
        _ => Next::Cursor(now.version.to_string()),
    };
    let new = queued.iter().filter(|queued| classify.seen.is_new(user, queued, classify.is_rehearsal));
    let (items, pending) = judged(classify, state, now, new)?;
    if matches!(next, Next::Cursor(_)) {
        classify.seen.forget(user);
        classify.states.forget(user);
    }
    Ok((page_of(items, next), pending))
}

fn reading<'a>(classify: &'a Classify, state: &State, now: &ModelState, user: Uuid) -> Reading<'a> {
    // No model has version -1: while the model is not stored, no document counts as judged by it.
    let version = if state.version == now.version { now.version } else { -1 };
    Reading { user, version, opened_at: now.opened_at, private: classify.asks.private() }
}

fn judged<'a>(
    classify: &Classify,
    state: &State,
    now: &ModelState,
    documents: impl Iterator<Item = &'a Queued>,
) -> anyhow::Result<(Vec<Item<Change>>, Vec<Pending>)> {
    let (mut items, mut pending) = (Vec::new(), Vec::new());
    for queued in documents {
        let change = change(classify, state, queued, now.version, false);
        pending.extend(to_ask(classify, state, queued, &change, items.len()));
        items.push(item(queued.id, change)?);
    }
    Ok((items, pending))
}

fn page_of(items: Vec<Item<Change>>, next: Next) -> Page<Change> {
    Page { items, poison: Vec::new(), pinned: None, expected: None, next }
}

/// A page token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// The previous page holds the lesson that gives the model this version.
    Lesson {
        version: i32,
        /// Number of empty pages since.
        looks: u32,
    },
    /// Documents of the pass after this one.
    Pass(Uuid),
    /// Documents of the queue after this one.
    Queue(Uuid),
}

impl Token {
    /// Parses a token; `None` for a token of another program version. The stream then starts over, and finished documents are not judged again.
    fn of(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "lesson" => {
                let (version, looks) = rest.split_once(' ')?;
                Some(Self::Lesson { version: version.parse().ok()?, looks: looks.parse().ok()? })
            }
            "pass" => rest.parse().ok().map(Self::Pass),
            "queue" => rest.parse().ok().map(Self::Queue),
            _ => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Lesson { version, looks } => format!("lesson {version} {looks}"),
            Self::Pass(document) => format!("pass {document}"),
            Self::Queue(document) => format!("queue {document}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_tokens_survive_a_round_trip_and_invalid_ones_restart() {
        let id = Uuid::from_u128(7);
        for token in [Token::Lesson { version: 3, looks: 1 }, Token::Pass(id), Token::Queue(id)] {
            assert_eq!(Token::of(&token.text()), Some(token));
        }
        for other in ["", "pass", "pass x", "lesson 1", &id.to_string(), "other 1"] {
            assert_eq!(Token::of(other), None, "{other}");
        }
    }
}
