//! Spends quota: governor within the process, the ledger in PostgreSQL between hosts.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::config::Limits;
use crate::db::Pool;
use crate::db::quota::{self, Reservation};
use crate::error::{Class, Failure};

/// Units reserved at once, so that the ledger costs one statement for hundreds of calls.
const BLOCK: i64 = 500;

/// The quota of one service in this process.
pub struct Meter {
    pool: Pool,
    service: &'static str,
    limits: Limits,
    /// Smooths what this process sends for one project: the ledger counts whole minutes, Google does not.
    projects: Mutex<HashMap<String, Arc<DefaultDirectRateLimiter>>>,
    blocks: Mutex<HashMap<String, Arc<Mutex<Block>>>>,
    /// A dry run spends, but writes nothing.
    writes: bool,
}

/// Units in hand of one subject.
#[derive(Default)]
struct Block {
    left: i64,
    ends: Option<Instant>,
    /// Spent in this minute without the ledger: below its free share a user is not written down.
    free_spent: i64,
}

impl Meter {
    /// A meter that has spent nothing.
    pub fn new(pool: Pool, service: &'static str, limits: Limits, writes: bool) -> Self {
        Self { pool, service, limits, projects: Mutex::default(), blocks: Mutex::default(), writes }
    }

    /// Waits until `units` may be spent for this project and user. A full pass yields: it may use four fifths of each minute.
    ///
    /// # Errors
    /// `DailyQuota` when the day is used up.
    pub async fn spend(&self, project: &str, user: Uuid, units: u64, full_pass: bool) -> Result<(), Failure> {
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        self.smooth(project, units).await;
        if !self.writes {
            return Ok(());
        }
        let share = |limit: u64| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            if full_pass { limit / 5 * 4 } else { limit }
        };
        let day = i64::try_from(self.limits.per_day).unwrap_or(i64::MAX);
        let per_minute = share(self.limits.project_per_minute);
        self.take(project.to_owned(), units, per_minute, day, 0).await?;
        let per_minute = share(self.limits.user_per_minute);
        self.take(format!("{project}/{user}"), units, per_minute, i64::MAX, per_minute / 10).await
    }

    /// Gives back what was reserved and not spent.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let mut unspent = Vec::new();
        for (subject, block) in self.blocks.lock().await.drain() {
            let left = block.lock().await.left;
            if left > 0 {
                unspent.push((subject, left));
            }
        }
        match unspent.is_empty() {
            true => Ok(()),
            false => quota::refund(&self.pool, self.service, &unspent).await,
        }
    }

    async fn smooth(&self, project: &str, units: i64) {
        let per_minute = u32::try_from(self.limits.project_per_minute).unwrap_or(u32::MAX);
        let Some(per_minute) = NonZeroU32::new(per_minute) else { return };
        let limiter = {
            let mut projects = self.projects.lock().await;
            let fresh = || Arc::new(RateLimiter::direct(Quota::per_minute(per_minute)));
            Arc::clone(projects.entry(project.to_owned()).or_insert_with(fresh))
        };
        if let Some(units) = u32::try_from(units).ok().and_then(NonZeroU32::new) {
            // An error says that one call costs more than a whole minute allows; the ledger refuses that below.
            let _ = limiter.until_n_ready(units.min(per_minute)).await;
        }
    }

    async fn take(&self, subject: String, units: i64, per_minute: i64, per_day: i64, free: i64) -> Result<(), Failure> {
        let block = Arc::clone(self.blocks.lock().await.entry(subject.clone()).or_default());
        let mut block = block.lock().await;
        loop {
            if block.ends.is_none_or(|ends| ends <= Instant::now()) {
                *block = Block { ends: block.ends.map(|_| Instant::now() + Duration::from_secs(60)), ..Block::default() };
            }
            if block.free_spent + units <= free {
                block.free_spent += units;
                block.ends.get_or_insert_with(|| Instant::now() + Duration::from_secs(60));
                return Ok(());
            }
            if block.left >= units {
                block.left -= units;
                return Ok(());
            }
            let wanted = BLOCK.min(per_minute / 20).max(units);
            match quota::reserve(&self.pool, self.service, &subject, wanted, per_minute, per_day).await? {
                Reservation::Granted { minute_ends } => {
                    block.left += wanted;
                    block.ends = Some(Instant::now() + Duration::from_secs_f64(minute_ends));
                }
                Reservation::MinuteFull { minute_ends } => {
                    tokio::time::sleep(Duration::from_secs_f64(minute_ends)).await;
                }
                Reservation::DayFull { day_ends } => {
                    let mut failure = Failure::new(Class::DailyQuota, "the quota of the day that the settings allow is used up");
                    failure.retry_after = Some(Duration::from_secs_f64(day_ends));
                    return Err(failure);
                }
            }
        }
    }
}
