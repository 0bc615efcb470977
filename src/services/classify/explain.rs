//! Explains the current decision on one document.

use serde::Serialize;
use uuid::Uuid;

use super::by;
use super::evaluation::{self, text};
use super::state::{self, State};
use crate::classify::decide::{MIN_ASSIGNMENTS, Outcome, Tallies};
use crate::classify::explain::contributions;
use crate::classify::threshold::Tally;
use crate::classify::{Label, learner::Learner};
use crate::db::Pool;
use crate::db::classify::queue::{Private, Queued, Reading};
use crate::db::classify::{models, project};

/// Maximum number of words shown.
const WORDS: usize = 12;

/// Why a document has its project, or none.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    pub document: Uuid,
    pub user: Uuid,
    pub title: String,
    pub author: String,
    /// The current decision, if any.
    pub holds: Option<Holds>,
    /// The result of a judgement made now.
    pub now: Now,
    /// Labels that a person removed from it, which are not given again.
    pub refused: Vec<Named>,
    pub kin: Option<Near>,
    pub sender: Option<Near>,
    pub model: ModelFigures,
    /// The model's labels, best first.
    pub candidates: Vec<Candidate>,
    /// The parts of the text that count towards the best of them, strongest first.
    pub words: Vec<Word>,
}

/// A label by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Named {
    /// `null` for "none of them".
    pub project_id: Option<Uuid>,
    pub name: String,
}

/// The current decision.
#[derive(Debug, Clone, Serialize)]
pub struct Holds {
    pub label: Named,
    /// `document_projects.decided_by`, or `source` if the document's source names the project.
    pub decided_by: String,
}

/// The result of a judgement.
#[derive(Debug, Clone, Serialize)]
pub struct Now {
    /// `None` if unsure.
    pub label: Option<Named>,
    pub by: Option<&'static str>,
    pub confidence: Option<f32>,
    pub reason: String,
}

/// The label on which people's assignments of related documents agree.
#[derive(Debug, Clone, Serialize)]
pub struct Near {
    /// `thread`, `series` or `folder`; for a sender, the number of documents.
    pub what: String,
    pub label: Named,
    /// How often this kind of evidence was right before.
    pub right: u32,
    pub of: u32,
}

/// The model's figures.
#[derive(Debug, Clone, Serialize)]
pub struct ModelFigures {
    pub version: i32,
    pub assignments: u32,
    pub projects: usize,
    /// The lowest confidence at which it decides; `None` if it does not decide at all.
    pub threshold: Option<f32>,
    /// Minimum number of assignments before it decides.
    pub needs: u32,
}

/// One of the model's labels.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    pub label: Named,
    pub confidence: f32,
}

/// A part of the text and its contribution to the score.
#[derive(Debug, Clone, Serialize)]
pub struct Word {
    pub part: String,
    pub weight: f32,
}

/// Explains a document of a user; `None` if there is no document with this id.
///
/// # Errors
/// Returns an error if the database fails.
pub async fn explain(pool: &Pool, user: Uuid, document: Uuid) -> anyhow::Result<Option<Explained>> {
    let now = models::state(pool, user).await?;
    let reading = Reading { user, version: -1, opened_at: now.opened_at, private: Private::default() };
    let Some(queued) = reading.these(pool, &[document]).await?.pop() else { return Ok(None) };
    let state = state::read(pool, user, &now).await?;
    Ok(Some(explained(&state, user, &queued)))
}

fn explained(state: &State, user: Uuid, queued: &Queued) -> Explained {
    let named = |label: Label| Named { project_id: project(label), name: name(state, label) };
    let decision = evaluation::decision(state, queued);
    let now = match decision.outcome {
        _ if queued.by_source.is_some() => {
            let reason = "its source names the project (`drive watch-file`), so it is not judged".to_owned();
            Now { label: None, by: None, confidence: None, reason }
        }
        Outcome::Decided { label, by: evidence, confidence } => {
            Now { label: Some(named(label)), by: Some(by(evidence)), confidence: Some(confidence), reason: decision.reason }
        }
        Outcome::Unsure => Now { label: None, by: None, confidence: None, reason: decision.reason },
    };
    let ranked = evaluation::ranked(state, queued);
    let best = ranked.first().map(|best| best.label);
    let words = best.map(|label| contributions(state.learner.model(), &text(queued), label, WORDS)).unwrap_or_default();
    let near = state.people.near(queued.id, &queued.traits);
    let (neighbours, Tallies { kin, sender }) = (near.neighbours(), state.learner.tallies());
    let related = |what: String, label, Tally { right, total }| Near { what, label: named(label), right, of: total };
    Explained {
        document: queued.id,
        user,
        title: queued.title.clone(),
        author: queued.author.clone(),
        holds: holds(state, queued),
        now,
        refused: queued.refused.iter().map(|label| named(*label)).collect(),
        kin: neighbours.kin().map(|(kinship, label)| related(kinship.to_string(), label, kin)),
        sender: neighbours.sender().map(|(count, label)| related(count.to_string(), label, sender)),
        model: figures(state.version, &state.learner),
        candidates: ranked.iter().map(|one| Candidate { label: named(one.label), confidence: one.confidence }).collect(),
        words: words.into_iter().map(|one| Word { part: one.part, weight: one.weight }).collect(),
    }
}

fn holds(state: &State, queued: &Queued) -> Option<Holds> {
    let named = |label: Label| Named { project_id: project(label), name: name(state, label) };
    match (&queued.decision, queued.by_source) {
        (Some((label, by)), _) => Some(Holds { label: named(*label), decided_by: by.clone() }),
        (None, Some(id)) => Some(Holds { label: named(Label::Project(id)), decided_by: "source".into() }),
        (None, None) => None,
    }
}

fn figures(version: i32, learner: &Learner) -> ModelFigures {
    let model = learner.model();
    ModelFigures {
        version,
        assignments: model.documents(),
        projects: model.projects(),
        threshold: learner.threshold(),
        needs: MIN_ASSIGNMENTS,
    }
}

fn name(state: &State, label: Label) -> String {
    match label {
        Label::NoneOfThem => "none of them".into(),
        Label::Project(id) => match (state.project(id), state.closed.get(&id)) {
            (Some(open), _) => open.name.clone(),
            (None, Some(closed)) => format!("{closed} (closed)"),
            (None, None) => format!("{id} (not a project of this user)"),
        },
    }
}
