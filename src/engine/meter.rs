//! Spends quota: governor within the process, the ledger in PostgreSQL between hosts.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use super::gate::Gate;
use crate::config::{self, Limits};
use crate::db::Pool;
use crate::db::quota::{self, Reservation, Unspent};
use crate::error::{Class, Failure};

/// Units reserved at once beyond those that were expected: few at first, so that a small run takes little and one that dies leaves little
/// behind, then twice as many each time, so that the ledger costs a large run one statement for hundreds of calls.
const BLOCKS: std::ops::RangeInclusive<i64> = 50..=500;
const MINUTE: Duration = Duration::from_secs(60);

/// The quota of one service in this process.
pub struct Meter {
    pool: Pool,
    service: &'static str,
    limits: Limits,
    /// By project, and within it by user.
    projects: Mutex<HashMap<String, Arc<Project>>>,
    /// By user, where the provider bounds their calls that are under way at once.
    gates: Mutex<HashMap<Uuid, Arc<Gate>>>,
    /// A dry run spends, but writes nothing.
    writes: bool,
    units: AtomicU64,
    retries: AtomicU64,
}

struct Project {
    name: String,
    /// Smooths what this process sends: the ledger counts whole minutes, Google does not. Absent: no limit worth the name.
    limiter: Option<DefaultDirectRateLimiter>,
    block: tokio::sync::Mutex<Block>,
    users: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<Block>>>>,
    /// Units that were spent beside first syncs and resyncs.
    polled: AtomicU64,
}

/// Units in hand of one subject.
#[derive(Default)]
struct Block {
    left: i64,
    ends: Option<Instant>,
    /// Spent in this minute without the ledger: below its free share a user is not written down.
    free_spent: i64,
    /// How much of that the ledger was told of since.
    free_told: i64,
    /// Reserved in minutes that are over and not spent: the day gets it back.
    dropped: i64,
    reserved_last: i64,
}

impl Block {
    /// Leaves the minute that is over behind.
    fn roll(&mut self) {
        if self.ends.is_none_or(|ends| ends <= Instant::now()) {
            self.ends = self.ends.map(|_| Instant::now() + MINUTE);
            self.dropped += std::mem::take(&mut self.left);
            self.free_spent = 0;
            self.free_told = 0;
        }
    }

    fn grant(&mut self, units: i64, minute_ends: f64) {
        self.left += units;
        self.ends = Some(Instant::now() + Duration::from_secs_f64(minute_ends));
    }

    fn unspent(&self, subject: String) -> Unspent {
        let minute = if self.ends.is_some_and(|ends| ends > Instant::now()) { self.left } else { 0 };
        Unspent { subject, minute, day: self.left + self.dropped }
    }
}

/// What a subject may spend.
struct Share {
    per_minute: i64,
    per_day: i64,
    /// Spent without asking the ledger.
    free: i64,
}

impl Meter {
    /// A meter that has spent nothing.
    pub fn new(pool: Pool, service: &'static str, limits: Limits, writes: bool) -> Self {
        let (projects, gates) = (Mutex::default(), Mutex::default());
        Self { pool, service, limits, projects, gates, writes, units: AtomicU64::new(0), retries: AtomicU64::new(0) }
    }

    /// What the calls of a user go through; `None`: as many as there are may be under way.
    pub fn gate(&self, user: Uuid, engine: &config::Engine) -> Option<Arc<Gate>> {
        let most = usize::try_from(self.limits.user_concurrency).ok().filter(|most| *most > 0)?;
        Some(Arc::clone(locked(&self.gates).entry(user).or_insert_with(|| Arc::new(Gate::new(most, engine)))))
    }

    /// Waits until `units` may be spent for this project and user. A full pass yields: it may use four fifths of each minute.
    ///
    /// # Errors
    /// `DailyQuota` when the day is used up.
    pub async fn spend(&self, project: &str, user: Uuid, units: u64, full_pass: bool) -> Result<(), Failure> {
        let project = self.project(project);
        if let (Some(limiter), Some(units)) = (&project.limiter, u32::try_from(units).ok().and_then(NonZeroU32::new)) {
            // An error says that one call costs more than a whole minute allows; the ledger refuses that below.
            let _ = limiter.until_n_ready(units).await;
        }
        if !self.writes {
            self.units.fetch_add(units, Ordering::Relaxed);
            return Ok(());
        }
        let cost = signed(units);
        self.take(&project.block, || project.name.clone(), cost, &self.project_share(full_pass)).await?;
        let per_minute = yielding(self.limits.user_per_minute, full_pass);
        let share = Share { per_minute, per_day: i64::MAX, free: per_minute / 10 };
        let block = Arc::clone(locked(&project.users).entry(user).or_default());
        self.take(&block, || format!("{}/{user}", project.name), cost, &share).await?;
        if !full_pass {
            project.polled.fetch_add(units, Ordering::Relaxed);
        }
        self.units.fetch_add(units, Ordering::Relaxed);
        Ok(())
    }

    /// What a user may spend at once, so that others' calls for the same user are not kept waiting.
    pub fn user_share(&self) -> u64 {
        self.limits.user_per_minute / 10
    }

    /// Counts a call that is tried again.
    pub fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Units spent and calls tried again so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.units.load(Ordering::Relaxed), self.retries.load(Ordering::Relaxed))
    }

    /// Reserves for calls that are about to be made, so that they do not wait for the ledger one after the other. What is not granted is
    /// asked for again by those who need it.
    pub async fn expect(&self, project: &str, units: u64, full_pass: bool) -> anyhow::Result<()> {
        if !self.writes {
            return Ok(());
        }
        let project = self.project(project);
        let share = self.project_share(full_pass);
        let wanted = signed(units).min(share.per_minute / 20);
        // Not under the block's lock: polls under way spend meanwhile what is left.
        let answer = quota::reserve(&self.pool, self.service, &project.name, wanted, share.per_minute, share.per_day).await?;
        if let Reservation::Granted { minute_ends } = answer {
            let mut block = project.block.lock().await;
            block.roll();
            block.grant(wanted, minute_ends);
        }
        Ok(())
    }

    /// Gives back what was reserved and not spent, and writes down what polls spent.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let projects: Vec<Arc<Project>> = locked(&self.projects).drain().map(|(_, project)| project).collect();
        let (mut unspent, mut polled) = (Vec::new(), Vec::new());
        for project in projects {
            polled.push((project.name.clone(), signed(project.polled.load(Ordering::Relaxed))));
            unspent.push(project.block.lock().await.unspent(project.name.clone()));
            let users: Vec<_> = locked(&project.users).drain().collect();
            for (user, block) in users {
                unspent.push(block.lock().await.unspent(format!("{}/{user}", project.name)));
            }
        }
        unspent.retain(|unspent| unspent.day > 0);
        polled.retain(|(_, units)| *units > 0);
        match unspent.is_empty() && polled.is_empty() {
            true => Ok(()),
            false => quota::settle(&self.pool, self.service, &unspent, &polled).await,
        }
    }

    fn project_share(&self, full_pass: bool) -> Share {
        let per_minute = yielding(self.limits.project_per_minute, full_pass);
        Share { per_minute, per_day: signed(self.limits.per_day), free: 0 }
    }

    fn project(&self, name: &str) -> Arc<Project> {
        let mut projects = locked(&self.projects);
        if let Some(project) = projects.get(name) {
            return Arc::clone(project);
        }
        let per_minute = u32::try_from(self.limits.project_per_minute).ok().and_then(NonZeroU32::new);
        let project = Arc::new(Project {
            name: name.to_owned(),
            limiter: per_minute.map(|per_minute| RateLimiter::direct(Quota::per_minute(per_minute))),
            block: tokio::sync::Mutex::default(),
            users: Mutex::default(),
            polled: AtomicU64::new(0),
        });
        projects.insert(name.to_owned(), Arc::clone(&project));
        project
    }

    /// `subject` names the ledger's row; it is only asked for when a row is needed.
    async fn take(
        &self,
        block: &tokio::sync::Mutex<Block>,
        subject: impl Fn() -> String,
        units: i64,
        share: &Share,
    ) -> Result<(), Failure> {
        let mut block = block.lock().await;
        loop {
            block.roll();
            if block.free_spent + units <= share.free {
                block.free_spent += units;
                block.ends.get_or_insert_with(|| Instant::now() + MINUTE);
                return Ok(());
            }
            if block.left >= units {
                block.left -= units;
                return Ok(());
            }
            let wanted = (2 * block.reserved_last).clamp(*BLOCKS.start(), *BLOCKS.end()).min(share.per_minute / 20).max(units);
            // Whoever comes to the ledger at all tells it of everything, so that several hosts together stay within the limit.
            let untold = block.free_spent - block.free_told;
            let subject = subject();
            // Boxed: most calls have units in hand and need no room for this.
            let reservation =
                Box::pin(quota::reserve(&self.pool, self.service, &subject, wanted + untold, share.per_minute, share.per_day));
            match reservation.await? {
                Reservation::Granted { minute_ends } => {
                    block.free_told += untold;
                    block.grant(wanted, minute_ends);
                    block.reserved_last = wanted;
                }
                Reservation::MinuteFull { minute_ends } => tokio::time::sleep(Duration::from_secs_f64(minute_ends)).await,
                Reservation::DayFull { day_ends } => {
                    let mut failure = Failure::new(Class::DailyQuota, "the quota of the day that the settings allow is used up");
                    failure.retry_after = Some(Duration::from_secs_f64(day_ends));
                    return Err(failure);
                }
            }
        }
    }
}

fn yielding(limit: u64, full_pass: bool) -> i64 {
    let limit = signed(limit);
    if full_pass { limit / 5 * 4 } else { limit }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
