//! The state of a user for judging documents: model, corrections and open projects. Read once for many pages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use uuid::Uuid;

use super::corrections::People;
use super::learn::{self, Lesson};
use crate::classify::learner::Learner;
use crate::db::Pool;
use crate::db::classify::corrections::{self, Open};
use crate::db::classify::models::{self, Learnt, ModelState};

/// The state of a user.
pub struct State {
    pub people: People,
    pub learner: Learner,
    /// `project_models.version`, or the version that the model gets once it is stored.
    pub version: i32,
    /// Open projects, the most recently changed first.
    pub projects: Vec<Open>,
    /// Indexes into `projects`.
    indexes: HashMap<Uuid, usize>,
    /// Names of closed projects.
    pub closed: HashMap<Uuid, String>,
    /// The model to store, with the documents whose corrections it has learnt; `None` if the stored model is up to date.
    pub learnt: Option<(Learnt, Vec<Uuid>)>,
    /// Number of corrections not learnt because the model has no space for their projects.
    pub beyond: usize,
    /// The stored state that it was read from.
    read_at: ModelState,
}

/// Maximum size of cached states, in bytes. With two more states in use, the process stays below 64 MiB of states.
const KEPT: usize = 36 << 20;
/// A user without a page for this long is finished, or was given up.
const LONG_AGO: Duration = Duration::from_secs(10);

/// Cache of the states of users whose pages are under way. A parallel run alternates between users, and reading a state takes longer than judging a
/// page. If not all states fit, some stay until their users are finished, and only the others are read for each page.
#[derive(Default)]
pub struct States(Mutex<UserCache<Arc<State>>>);

impl States {
    /// Returns the state of a user that matches `now`.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    pub async fn of(&self, pool: &Pool, user: Uuid, now: &ModelState) -> anyhow::Result<Arc<State>> {
        let kept = self.kept().get(user);
        let state = match kept {
            Some(state) if state.is_current(now) => state,
            _ => {
                log::debug!(user:%; "reading a user's model and corrections");
                Arc::new(read(pool, user, now).await?)
            }
        };
        let bytes = state.bytes();
        self.kept().put(user, Arc::clone(&state), bytes, Instant::now());
        Ok(state)
    }

    /// Removes the state of a user who needs no more pages.
    pub fn forget(&self, user: Uuid) {
        self.kept().take(user);
    }

    fn kept(&self) -> MutexGuard<'_, UserCache<Arc<State>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Values by user, with their size in bytes and the time of their last use.
struct UserCache<T>(HashMap<Uuid, (T, usize, Instant)>);

impl<T> Default for UserCache<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> UserCache<T> {
    fn get(&self, user: Uuid) -> Option<T> {
        self.0.get(&user).map(|(value, ..)| value.clone())
    }

    fn take(&mut self, user: Uuid) {
        self.0.remove(&user);
    }

    /// Caches a value if it fits, or if the cache is empty.
    fn put(&mut self, user: Uuid, value: T, bytes: usize, now: Instant) {
        self.take(user);
        let sum = |kept: &Self| kept.0.values().map(|(_, bytes, _)| bytes).sum::<usize>();
        if sum(self) + bytes > KEPT {
            self.0.retain(|_, (_, _, used)| now.saturating_duration_since(*used) < LONG_AGO);
        }
        if sum(self) + bytes <= KEPT || self.0.is_empty() {
            self.0.insert(user, (value, bytes, now));
        }
    }
}

impl State {
    /// Returns an open project by its id.
    pub fn project(&self, id: Uuid) -> Option<&Open> {
        self.indexes.get(&id).and_then(|index| self.projects.get(*index))
    }

    /// Approximate memory use in bytes.
    fn bytes(&self) -> usize {
        let learnt = self.learnt.as_ref().map_or(0, |(learnt, new)| learnt.learner.len() + size_of_val(new.as_slice()));
        let texts = |one: &Open| one.name.len() + one.description.as_ref().map_or(0, String::len) + size_of::<Open>();
        let projects: usize = self.projects.iter().map(texts).sum();
        self.learner.bytes() + self.people.bytes() + learnt + projects
    }

    /// Whether reading the state again would give the same.
    fn is_current(&self, now: &ModelState) -> bool {
        let same_words = self.read_at.said_to == now.said_to;
        let same_projects = (self.read_at.open, self.read_at.opened_at) == (now.open, now.opened_at);
        same_words && same_projects && (*now == self.read_at || (now.version == self.version && now.learnt_to == now.said_to))
    }
}

/// Reads the state of a user, and learns the corrections that the stored model does not have.
///
/// # Errors
/// Returns an error if the database fails.
pub async fn read(pool: &Pool, user: Uuid, now: &ModelState) -> anyhow::Result<State> {
    // Leave corrections made after `now` was read to the next read.
    let mut said = corrections::all(pool, user).await?;
    said.retain(|correction| correction.said <= now.said_to);
    let stored = models::learner(pool, user).await?;
    let known = match stored.as_deref().map(Learner::from_bytes) {
        // A model cannot unlearn a withdrawn correction.
        Some(Ok(learner)) if !now.takes_back => Some(learner),
        Some(Err(error)) => {
            log::info!(user:%; "learning everything again: {error:#}");
            None
        }
        _ => None,
    };
    let (is_full, learnt_to) = (known.is_none(), known.as_ref().map_or(i64::MIN, |_| now.learnt_to));
    let lesson = learn::learn(pool, &said, known.unwrap_or_default(), learnt_to).await?;
    let is_stored = !is_full && now.said_to == now.learnt_to;
    let Lesson { learner, people, new, beyond } = lesson;
    let learnt = if is_stored || (now.said_to == now.learnt_to && now.version == 0) {
        None
    } else {
        Some((learnt(&learner, now, is_full)?, new))
    };
    let version = learnt.as_ref().map_or(now.version, |(learnt, _)| learnt.version);
    let (projects, closed) = corrections::projects(pool, user).await?;
    let indexes = projects.iter().enumerate().map(|(index, project)| (project.id, index)).collect();
    Ok(State { people, learner, version, projects, indexes, closed, learnt, beyond, read_at: *now })
}

fn learnt(learner: &Learner, now: &ModelState, is_full: bool) -> anyhow::Result<Learnt> {
    let assignments = i32::try_from(learner.model().documents()).context("counting assignments")?;
    // A growth of 5 % may change the decision on any document; less affects only related ones.
    let enough = now.queued_at_assignments.saturating_add((now.queued_at_assignments / 20).max(1));
    Ok(Learnt {
        version: now.version.checked_add(1).context("counting versions of a model")?,
        learnt_to: now.said_to,
        learner: learner.to_bytes(),
        assignments,
        projects: i32::try_from(learner.model().projects()).context("counting projects")?,
        threshold: learner.threshold(),
        queues_all: is_full || assignments >= enough,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the reads when `users` users with states of `size` MiB each take ten turns.
    fn reads(users: u128, size: usize) -> u32 {
        let (mut kept, mut reads, now) = (UserCache::default(), 0, Instant::now());
        for user in (0..10).flat_map(|_| 0..users).map(Uuid::from_u128) {
            reads += u32::from(kept.get(user).is_none());
            kept.put(user, (), size << 20, now);
            let sum: usize = kept.0.values().map(|(_, bytes, _)| bytes).sum();
            assert!(sum <= KEPT.max(size << 20), "{sum}");
        }
        reads
    }

    #[test]
    fn models_of_alternating_users_are_loaded_once_while_memory_allows() {
        assert_eq!((reads(1, 100), reads(4, 9)), (1, 4));
        // Four stay, and two are read each time; a cache of the last one only would need 60 reads.
        assert_eq!(reads(6, 9), 4 + 2 * 10);
    }

    #[test]
    fn finished_and_abandoned_users_free_memory() {
        let (mut kept, now) = (UserCache::default(), Instant::now());
        let user = Uuid::from_u128;
        kept.put(user(1), (), KEPT, now);
        kept.put(user(2), (), KEPT, now);
        assert_eq!((kept.get(user(1)).is_some(), kept.get(user(2)).is_some()), (true, false));
        kept.put(user(2), (), KEPT, now + LONG_AGO);
        assert_eq!((kept.get(user(1)).is_some(), kept.get(user(2)).is_some()), (false, true));
        kept.take(user(2));
        kept.put(user(1), (), KEPT, now);
        assert!(kept.get(user(1)).is_some());
    }
}
