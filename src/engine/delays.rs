//! How long changes waited for the poll that found them: a histogram that can be summed over runs. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::db::overview::Waited;

/// Upper bounds of the buckets, in seconds; one more bucket holds longer delays.
const BOUNDS: [f64; 22] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 450.0, 600.0, 900.0, 1_200.0, 1_800.0, 2_700.0, 3_600.0, 5_400.0,
    7_200.0, 14_400.0, 43_200.0, 86_400.0,
];

/// Delays from changes, by the provider's clock, to the polls that found them. Includes only changes announced by a feed: what first syncs, resyncs and
/// requests for single items find is old.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    pub count: u64,
    pub sum_seconds: f64,
    pub max_seconds: f64,
    /// Counts up to each bound, and one for longer delays; empty without a change.
    pub buckets: Vec<u64>,
}

impl Delays {
    /// The delays of a poll that found these changes.
    pub fn of(now: DateTime<Utc>, changes: &[DateTime<Utc>]) -> Self {
        let mut delays = Self::default();
        for change in changes {
            // A provider's clock ahead of ours does not make the delay negative.
            let seconds = (now - *change).as_seconds_f64().max(0.0);
            delays.count += 1;
            delays.sum_seconds += seconds;
            delays.max_seconds = delays.max_seconds.max(seconds);
            delays.buckets.resize(BOUNDS.len() + 1, 0);
            if let Some(bucket) = delays.buckets.get_mut(BOUNDS.partition_point(|bound| *bound < seconds)) {
                *bucket += 1;
            }
        }
        delays
    }

    /// Mean, in seconds; `None` without a change.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_seconds / self.count as f64)
    }

    /// The 95th percentile of the delays, but at least the mean, in seconds; `None` without a change. A few very long delays can lift the mean above the
    /// percentile; the larger value is still an upper bound for 95 of 100 changes.
    pub fn p95(&self) -> Option<f64> {
        Some(self.quantile(0.95)?.max(self.mean()?))
    }

    /// The quantile of the delays for this share, in seconds, interpolated within its bucket; `None` without a change.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count as f64;
        let mut before = 0.0;
        for (index, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if before + count >= rank {
                let low = if index == 0 { 0.0 } else { *BOUNDS.get(index - 1)? };
                let high = BOUNDS.get(index).copied().unwrap_or(self.max_seconds).min(self.max_seconds).max(low);
                return Some(low + (high - low) * ((rank - before) / count).clamp(0.0, 1.0));
            }
            before += count;
        }
        None
    }
}

impl From<&Waited> for Delays {
    fn from(waited: &Waited) -> Self {
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Self {
            count: count(waited.count),
            sum_seconds: waited.sum_seconds,
            max_seconds: waited.max_seconds,
            buckets: waited.buckets.iter().map(|bucket| count(*bucket)).collect(),
        }
    }
}

impl std::ops::AddAssign<&Delays> for Delays {
    fn add_assign(&mut self, other: &Self) {
        // A row written by another program can hold any number.
        self.count = self.count.saturating_add(other.count);
        self.sum_seconds += other.sum_seconds;
        self.max_seconds = self.max_seconds.max(other.max_seconds);
        if !other.buckets.is_empty() {
            self.buckets.resize(BOUNDS.len() + 1, 0);
        }
        // A row of another version may have other buckets; those in common are added.
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.saturating_add(*theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn quantiles_match_the_delays_and_merging_is_additive() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let at = |seconds: i64| now - TimeDelta::seconds(seconds);
        let mut sum = Delays::of(now, &[at(-5), at(30), at(30)]);
        sum += &Delays::of(now, &[at(600), at(100_000)]);
        let both = Delays::of(now, &[at(-5), at(30), at(30), at(600), at(100_000)]);
        assert_eq!(sum, both);
        assert_eq!(both.mean(), Some((30.0 + 30.0 + 600.0 + 100_000.0) / 5.0));
        let median = both.quantile(0.5).expect("changes");
        assert!((20.0..=30.0).contains(&median), "{median}");
        assert_eq!(both.quantile(1.0), Some(100_000.0));
        assert_eq!((Delays::default().quantile(0.5), Delays::default().p95()), (None, None));
    }

    #[test]
    fn no_p95_is_below_the_mean() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let at = |seconds: i64| now - TimeDelta::seconds(seconds);
        // One change in the middle of its bucket, and one very late change among many.
        for (many, seconds) in [(0, 7), (99, 5_000_000)] {
            let changes: Vec<_> = (0..many).map(|_| at(1)).chain([at(seconds)]).collect();
            let delays = Delays::of(now, &changes);
            assert!(delays.p95() >= delays.mean(), "{delays:?}");
            assert!(delays.p95() <= Some(delays.max_seconds), "{delays:?}");
        }
    }
}
