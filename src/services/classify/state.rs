//! What is known of a user when documents are judged: the model, what people said, which projects are open. Read once for many pages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use uuid::Uuid;

use super::learn::{self, Lesson};
use super::people::People;
use crate::classify::learner::Learner;
use crate::db::Pool;
use crate::db::classify::models::{self, Learnt, Standing};
use crate::db::classify::words::{self, Open};

/// What is known of a user.
pub struct State {
    pub people: People,
    pub learner: Learner,
    /// `project_models.version`, also of a model that is not stored yet.
    pub version: i32,
    /// Open projects, those that changed last first.
    pub projects: Vec<Open>,
    /// Their places.
    places: HashMap<Uuid, usize>,
    /// Names of closed projects.
    pub closed: HashMap<Uuid, String>,
    /// What is to be stored, with the documents whose words it learnt; `None`: the stored model knows all words.
    pub learnt: Option<(Learnt, Vec<Uuid>)>,
    /// Words of projects beyond those that a model can tell apart.
    pub beyond: usize,
    /// What it was read from.
    read_at: Standing,
}

/// The state that was read last: pages of one user follow each other.
#[derive(Default)]
pub struct States(Mutex<Option<(Uuid, Arc<State>)>>);

impl States {
    /// The state of a user as it is `now`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn of(&self, pool: &Pool, user: Uuid, now: &Standing) -> anyhow::Result<Arc<State>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = match kept {
            Some((of, state)) if of == user && state.holds(now) => state,
            _ => Arc::new(read(pool, user, now).await?),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((user, Arc::clone(&state)));
        Ok(state)
    }
}

impl State {
    /// An open project.
    pub fn project(&self, id: Uuid) -> Option<&Open> {
        self.places.get(&id).and_then(|place| self.projects.get(*place))
    }

    /// Whether it is still what would be read.
    fn holds(&self, now: &Standing) -> bool {
        let same_words = self.read_at.said_to == now.said_to;
        let same_projects = (self.read_at.open, self.read_at.opened_at) == (now.open, now.opened_at);
        same_words && same_projects && (*now == self.read_at || (now.version == self.version && now.learnt_to == now.said_to))
    }
}

/// Reads all that is known of a user, and learns what was not learnt yet.
///
/// # Errors
/// The database failed.
pub async fn read(pool: &Pool, user: Uuid, now: &Standing) -> anyhow::Result<State> {
    // What was said since the look is for the next one.
    let mut said = words::all(pool, user).await?;
    said.retain(|word| word.said <= now.said_to);
    let stored = models::learner(pool, user).await?;
    let known = match stored.as_deref().map(Learner::from_bytes) {
        // It cannot unlearn.
        Some(Ok(learner)) if !now.takes_back => Some(learner),
        Some(Err(error)) => {
            log::info!(user:%; "learning everything again: {error:#}");
            None
        }
        _ => None,
    };
    let (is_anew, learnt_to) = (known.is_none(), known.as_ref().map_or(i64::MIN, |_| now.learnt_to));
    let lesson = learn::learn(pool, &said, known.unwrap_or_default(), learnt_to).await?;
    let is_stored = !is_anew && now.said_to == now.learnt_to;
    let Lesson { learner, people, new, beyond } = lesson;
    let learnt = match is_stored || (now.said_to == now.learnt_to && now.version == 0) {
        true => None,
        false => Some((learnt(&learner, now, is_anew)?, new)),
    };
    let version = learnt.as_ref().map_or(now.version, |(learnt, _)| learnt.version);
    let (projects, closed) = words::projects(pool, user).await?;
    let places = projects.iter().enumerate().map(|(place, project)| (project.id, place)).collect();
    Ok(State { people, learner, version, projects, places, closed, learnt, beyond, read_at: *now })
}

fn learnt(learner: &Learner, now: &Standing, is_anew: bool) -> anyhow::Result<Learnt> {
    let assignments = i32::try_from(learner.model().documents()).context("counting assignments")?;
    // A twentieth more than before may change what is thought of any document; less changes it of those nearby alone.
    let enough = now.queued_at_assignments.saturating_add((now.queued_at_assignments / 20).max(1));
    Ok(Learnt {
        version: now.version.checked_add(1).context("counting versions of a model")?,
        learnt_to: now.said_to,
        learner: learner.to_bytes(),
        assignments,
        projects: i32::try_from(learner.model().projects()).context("counting projects")?,
        threshold: learner.threshold(),
        queues_all: is_anew || assignments >= enough,
    })
}
