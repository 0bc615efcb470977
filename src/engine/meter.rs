//! Spends quota: allowances within the process, the ledger in PostgreSQL between hosts.

mod account;
mod allowance;
mod ledger;
mod pauses;
mod reservation;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::gate::UserConcurrency;
use crate::config::{self, Limits};
use crate::db::Pool;
use crate::error::{Class, Failure};

use account::{Account, Waits};
pub use account::{Booking, Lack};
pub use allowance::For;
use ledger::{Share, Took};
pub use pauses::PAUSED;

/// Share of a minute that full passes may spend in one burst: for a user, enough for a page of messages; for a project, little, because its users take
/// turns.
const USER_BURST: f64 = 0.4;
const PROJECT_BURST: f64 = 0.05;

/// A page of a full pass gets at most `1 / PARTS` of its user's minute. Units booked together also expire together: with larger fractions, each of many
/// users taking turns would have to wait at the end until a whole fraction is a minute old.
const PARTS: u64 = 12;

/// A run over all users does not record `1 / FREE` of each user's minute: a few idle polls and no more, because every run gets this allowance again.
const FREE: u64 = 100;

/// How long a pass backs off when polls wait for the same units.
const GIVE_WAY: Duration = Duration::from_millis(200);

/// The quota of one service in this process.
pub struct Meter {
    pool: Pool,
    service: &'static str,
    limits: Limits,
    projects: Mutex<HashMap<String, Arc<Project>>>,
    /// By user, if the provider limits their concurrent calls.
    gates: Mutex<HashMap<Uuid, Arc<UserConcurrency>>>,
    /// Projects that are not called, each with the reason.
    paused: Mutex<HashMap<String, String>>,
    /// False in a dry run, which spends but records nothing.
    writes: bool,
    /// Units of each user's minute that are not recorded.
    free: u64,
    units: AtomicU64,
    retries: AtomicU64,
}

struct Project {
    name: String,
    account: Account,
    users: Mutex<HashMap<Uuid, Arc<Account>>>,
    /// Units spent by polls, without full passes.
    polled: AtomicU64,
}

impl Meter {
    /// Creates a meter that has spent nothing. `for_everybody`: for a run over all users, which does not record what idle polls cost each of them. Runs for
    /// a few users may follow one another quickly, and record everything.
    pub fn new(pool: Pool, service: &'static str, limits: Limits, writes: bool, for_everybody: bool) -> Self {
        let (projects, gates, paused) = (Mutex::default(), Mutex::default(), Mutex::default());
        let is_bound = limits.user_per_minute < u64::MAX;
        let free = if for_everybody || !is_bound { limits.user_per_minute / FREE } else { 0 };
        Self {
            pool,
            service,
            limits,
            projects,
            gates,
            paused,
            writes,
            free,
            units: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// The gate that a user's calls pass through; `None` if their concurrency is not limited.
    pub fn gate(&self, user: Uuid, engine: &config::Engine) -> Option<Arc<UserConcurrency>> {
        let max = usize::try_from(self.limits.user_concurrency).ok().filter(|max| *max > 0)?;
        Some(Arc::clone(locked(&self.gates).entry(user).or_insert_with(|| Arc::new(UserConcurrency::new(max, engine)))))
    }

    /// Books the units that a stream needs to begin: between the minimum and maximum of `cost`, as available to the user. A page of a pass never gets more
    /// than its fraction of the minute.
    ///
    /// # Errors
    /// Returns which account lacks the units, and until when; nothing is booked.
    pub fn book(&self, project: &str, user: Uuid, cost: &RangeInclusive<u64>, what: For) -> Result<Booking, Lack> {
        let (project, account) = self.accounts(project, user);
        let mut units = *cost.start();
        if what != For::Polls {
            let max_burst = (self.limits.user_per_minute / PARTS).max(1).min(locked(&project.account.allowance).burst());
            let available = locked(&account.allowance).available(Instant::now());
            units = available.clamp(*cost.start(), *cost.end()).min(max_burst);
        }
        self.spend_now(&project, &account, units, what)?;
        let (remaining, entered) = (AtomicU64::new(units), AtomicBool::new(false));
        Ok(Booking { project, user: (user, account), what, units, remaining, booked: Instant::now(), entered })
    }

    /// Writes a booking into the ledger. `Some`: other hosts have used the minute up; units are available again after this time.
    ///
    /// # Errors
    /// Returns `DailyQuota` if the day's quota is used up.
    pub async fn enter(&self, booking: &Booking) -> Result<Option<Duration>, Failure> {
        if !self.writes {
            return Ok(None);
        }
        let Booking { project, user: (user, account), what, units, .. } = booking;
        match self.write(project, *user, account, *units, *what).await? {
            Took::Granted => {
                booking.entered.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Took::MinuteFull(ends) => Ok(Some(ends)),
        }
    }

    /// Waits until `units` may be spent for this project and user.
    ///
    /// # Errors
    /// Returns `DailyQuota` if the day's quota is used up.
    pub async fn spend(&self, project: &str, user: Uuid, units: u64, what: For) -> Result<(), Failure> {
        let (project, account) = self.accounts(project, user);
        if self.spend_now(&project, &account, units, what).is_err() {
            // Boxed: most calls find units available and need no space for this.
            Box::pin(self.wait(&project, &account, units, what)).await;
        }
        self.count(units);
        if !self.writes {
            return Ok(());
        }
        while let Took::MinuteFull(ends) = self.write(&project, user, &account, units, what).await? {
            tokio::time::sleep(ends).await;
        }
        Ok(())
    }

    async fn wait(&self, project: &Project, account: &Account, units: u64, what: For) {
        let waits = |account| (what == For::Polls).then(|| Waits::of(account));
        let _of_user = (waits(account), account.waiting.lock().await);
        let mut of_project = None;
        while let Err(lack) = self.spend_now(project, account, units, what) {
            match lack {
                // A call that waits for its user's minute does not block others.
                Lack::User(_) => drop(of_project.take()),
                Lack::Project(_) if of_project.is_none() => {
                    of_project = Some((waits(&project.account), project.account.waiting.lock().await));
                    continue;
                }
                Lack::Project(_) => {}
            }
            tokio::time::sleep_until(lack.until().into()).await;
        }
    }

    fn spend_now(&self, project: &Project, account: &Account, units: u64, what: For) -> Result<(), Lack> {
        let now = Instant::now();
        let (mut of_user, mut of_project) = (locked(&account.allowance), locked(&project.account.allowance));
        if what == For::Passes && project.account.polls.load(Ordering::Relaxed) > 0 {
            return Err(Lack::Project(now + GIVE_WAY));
        }
        if what == For::Passes && account.polls.load(Ordering::Relaxed) > 0 {
            return Err(Lack::User(now + GIVE_WAY));
        }
        of_user.check(units, what, now).map_err(Lack::User)?;
        of_project.check(units, what, now).map_err(Lack::Project)?;
        of_user.spend(units, what, now);
        of_project.spend(units, what, now);
        Ok(())
    }

    async fn write(&self, project: &Project, user: Uuid, account: &Account, units: u64, what: For) -> Result<Took, Failure> {
        let (units, of_user) = (ledger::signed(units), self.limits.user_per_minute);
        let per_minute = |account: &Account, limit: u64| match what {
            For::Polls => ledger::signed(limit),
            For::Passes | For::Page => ledger::signed(locked(&account.allowance).for_passes()),
        };
        let share = Share {
            per_minute: per_minute(&project.account, self.limits.project_per_minute),
            per_day: ledger::signed(self.limits.per_day),
            free: 0,
        };
        let taken = self.take(&project.account, || project.name.clone(), units, &share).await;
        // The day's quota is used up: the only reason for the ledger to refuse units for longer than a minute.
        if let Err(failure) = &taken
            && failure.class == Class::DailyQuota
        {
            self.used_up(&project.name, &failure.message).await;
        }
        if let full @ Took::MinuteFull(_) = taken? {
            return Ok(full);
        }
        let per_minute = per_minute(account, of_user);
        let share = Share { per_minute, per_day: i64::MAX, free: ledger::signed(self.free) };
        let taken = self.take(account, || format!("{}/{user}", project.name), units, &share).await?;
        if let Took::MinuteFull(_) = taken {
            project.account.unspent.fetch_add(units.unsigned_abs(), Ordering::Relaxed);
        } else if what == For::Polls {
            project.polled.fetch_add(units.unsigned_abs(), Ordering::Relaxed);
        }
        Ok(taken)
    }

    async fn take(&self, account: &Account, subject: impl Fn() -> String, units: i64, share: &Share) -> Result<Took, Failure> {
        let mut block = account.ledger.lock().await;
        block.put_back(ledger::signed(account.unspent.swap(0, Ordering::Relaxed)));
        ledger::take(&self.pool, self.service, &mut block, subject, units, share).await
    }

    /// Units that one caller may spend in one go for a user, so that other calls for the same user do not wait too long.
    pub fn user_share(&self) -> u64 {
        self.limits.user_per_minute / 10
    }

    /// Counts a retried call.
    pub fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts spent units.
    pub fn count(&self, units: u64) {
        self.units.fetch_add(units, Ordering::Relaxed);
    }

    /// Units spent and calls retried so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.units.load(Ordering::Relaxed), self.retries.load(Ordering::Relaxed))
    }

    fn accounts(&self, project: &str, user: Uuid) -> (Arc<Project>, Arc<Account>) {
        let project = self.project(project);
        let account = || Arc::new(Account::new(self.limits.user_per_minute, USER_BURST));
        let account = Arc::clone(locked(&project.users).entry(user).or_insert_with(account));
        (project, account)
    }

    fn project(&self, name: &str) -> Arc<Project> {
        let mut projects = locked(&self.projects);
        if let Some(project) = projects.get(name) {
            return Arc::clone(project);
        }
        let project = Arc::new(Project {
            name: name.to_owned(),
            account: Account::new(self.limits.project_per_minute, PROJECT_BURST),
            users: Mutex::default(),
            polled: AtomicU64::new(0),
        });
        projects.insert(name.to_owned(), Arc::clone(&project));
        project
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
