//! Groups the runs of a window into equal pieces of time. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize as _;
use serde_json::Value;

use crate::db::history::RunSummary;
use crate::engine::delays::Delays;
use crate::state::RunStatus;

/// Statuses of ended runs, in drawing order.
pub const STATUSES: [RunStatus; 6] =
    [RunStatus::Completed, RunStatus::Partial, RunStatus::Failed, RunStatus::Paused, RunStatus::Abandoned, RunStatus::Skipped];

/// Possible lengths of a piece, in seconds.
const STEPS: [i64; 11] = [60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 7 * 86_400, 28 * 86_400];
/// Maximum number of pieces; more would be too thin to point at.
const MAX_PIECES: i64 = 60;

/// Equal pieces of time; the last one is still in progress.
#[derive(Debug, Clone)]
pub struct Pieces {
    pub start: DateTime<Utc>,
    pub step: TimeDelta,
    pub count: usize,
}

impl Pieces {
    /// Divides the last `since` before `now` into pieces that begin at round UTC times.
    pub fn of(since: TimeDelta, now: DateTime<Utc>) -> Self {
        let seconds = since.num_seconds().max(1);
        let step = STEPS.into_iter().find(|step| seconds / step < MAX_PIECES).unwrap_or(seconds / MAX_PIECES);
        let first = (now.timestamp() - seconds).div_euclid(step) * step;
        let count = usize::try_from((now.timestamp() - first) / step + 1).unwrap_or(1);
        Self { start: DateTime::from_timestamp(first, 0).unwrap_or(now), step: TimeDelta::seconds(step), count }
    }

    /// Returns the piece that contains a time.
    fn index_of(&self, time: DateTime<Utc>) -> Option<usize> {
        let at = usize::try_from((time - self.start).num_seconds() / self.step.num_seconds()).ok()?;
        (time >= self.start && at < self.count).then_some(at)
    }

    /// Returns the start of a piece.
    pub fn at(&self, piece: usize) -> DateTime<Utc> {
        self.start + self.step * i32::try_from(piece).unwrap_or(i32::MAX)
    }
}

/// The runs of one job.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Runs by piece and status.
    pub runs: Vec<[u64; STATUSES.len()]>,
    /// Durations in milliseconds of runs that were not skipped, by piece; sorted.
    pub took: Vec<Vec<u64>>,
}

impl Job {
    /// Returns the number of runs with this status.
    pub fn count(&self, status: RunStatus) -> u64 {
        let index = STATUSES.iter().position(|known| *known == status);
        index.map_or(0, |index| self.runs.iter().filter_map(|piece| piece.get(index)).sum())
    }

    pub fn total(&self) -> u64 {
        self.runs.iter().flatten().sum()
    }

    /// Returns the share of completed runs among those that were not skipped.
    pub fn success_rate(&self) -> Option<f64> {
        let worked = self.total() - self.count(RunStatus::Skipped);
        (worked > 0).then(|| self.count(RunStatus::Completed) as f64 / worked as f64)
    }

    /// Returns the duration in seconds that this share of its runs did not exceed.
    pub fn took_at(&self, share: f64) -> Option<f64> {
        let mut all: Vec<u64> = self.took.iter().flatten().copied().collect();
        all.sort_unstable();
        quantile(&all, share)
    }
}

/// Figures of one service's runs, by piece.
#[derive(Debug, Clone, Default)]
pub struct Service {
    pub polls: Vec<u64>,
    pub calls: Vec<u64>,
    pub units: Vec<u64>,
    pub changed: Vec<u64>,
    pub delays: Vec<Delays>,
}

/// Failures of one class.
#[derive(Debug, Clone)]
pub struct Failures {
    pub count: u64,
    pub jobs: BTreeSet<String>,
    pub last_at: DateTime<Utc>,
    /// Example from the last run with such a failure.
    pub example: String,
}

/// All runs of the window.
#[derive(Debug, Clone)]
pub struct History {
    pub pieces: Pieces,
    pub runs: u64,
    pub jobs: BTreeMap<String, Job>,
    pub services: BTreeMap<String, Service>,
    pub errors: BTreeMap<String, Failures>,
}

impl History {
    pub fn new(pieces: Pieces) -> Self {
        Self { pieces, runs: 0, jobs: BTreeMap::new(), services: BTreeMap::new(), errors: BTreeMap::new() }
    }

    /// Adds a run.
    pub fn add(&mut self, run: RunSummary) {
        let Some(at) = self.pieces.index_of(run.ended_at) else { return };
        let count = self.pieces.count;
        self.runs += 1;
        let service = run.job.split(' ').next().unwrap_or_default().to_owned();
        let job = self
            .jobs
            .entry(run.job.clone())
            .or_insert_with(|| Job { runs: vec![Default::default(); count], took: vec![Vec::new(); count] });
        if let (Some(piece), Some(index)) = (job.runs.get_mut(at), STATUSES.iter().position(|known| Some(*known) == run.status)) {
            piece[index] += 1;
        }
        let ms = run.elapsed_ms.filter(|_| run.status.is_some_and(RunStatus::has_duration));
        if let (Some(took), Some(ms)) = (job.took.get_mut(at), ms) {
            took.insert(took.partition_point(|other| *other < ms), ms);
        }
        for (class, entry) in run.errors.as_object().into_iter().flatten() {
            self.fail(class, entry, &run.job, run.ended_at);
        }
        let service = self.services.entry(service).or_insert_with(|| Service {
            polls: vec![0; count],
            calls: vec![0; count],
            units: vec![0; count],
            changed: vec![0; count],
            delays: vec![Delays::default(); count],
        });
        let add = |sums: &mut Vec<u64>, value: u64| sums.iter_mut().skip(at).take(1).for_each(|sum| *sum += value);
        add(&mut service.polls, run.streams);
        add(&mut service.calls, run.api_calls);
        add(&mut service.units, run.quota_units);
        add(&mut service.changed, changed(&run.changes));
        if let (Ok(delays), Some(sum)) = (Delays::deserialize(&run.delays), service.delays.get_mut(at)) {
            *sum += &delays;
        }
    }

    fn fail(&mut self, class: &str, entry: &Value, job: &str, ended_at: DateTime<Utc>) {
        let empty = || Failures { count: 0, jobs: BTreeSet::new(), last_at: DateTime::UNIX_EPOCH, example: String::new() };
        let failures = self.errors.entry(class.to_owned()).or_insert_with(empty);
        failures.count += entry.get("count").and_then(Value::as_u64).unwrap_or(0);
        failures.jobs.insert(job.to_owned());
        if ended_at >= failures.last_at {
            failures.last_at = ended_at;
            failures.example = entry.get("example").and_then(Value::as_str).unwrap_or_default().to_owned();
        }
    }

    /// Returns the delays of all services in the entire window.
    pub fn delays(&self) -> Delays {
        let mut sum = Delays::default();
        self.services.values().flat_map(|service| &service.delays).for_each(|delays| sum += delays);
        sum
    }
}

fn changed(changes: &Value) -> u64 {
    let kinds = changes.as_object().into_iter().flat_map(|kinds| kinds.values());
    let counts = kinds.flat_map(|counts| ["created", "updated", "deleted"].map(|key| counts.get(key).and_then(Value::as_u64)));
    counts.flatten().sum()
}

/// Returns a quantile of sorted milliseconds, in seconds.
pub fn quantile(sorted: &[u64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).map(|ms| *ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_window_has_few_round_intervals_and_the_last_contains_now() {
        let now = DateTime::from_timestamp(1_795_581_818, 0).expect("a time");
        for (hours, step) in [(1, 60 * 5), (24, 1800), (7 * 24, 3 * 3600), (28 * 24, 12 * 3600), (366 * 24, 7 * 86_400)] {
            let pieces = Pieces::of(TimeDelta::hours(hours), now);
            assert_eq!(pieces.step.num_seconds(), step, "{hours} h");
            assert_eq!(pieces.start.timestamp() % step, 0);
            assert!(pieces.start <= now - TimeDelta::hours(hours));
            assert_eq!(pieces.index_of(now), Some(pieces.count - 1));
            assert_eq!(pieces.index_of(pieces.start - TimeDelta::seconds(1)), None);
        }
    }

    #[test]
    fn runs_count_in_the_interval_in_which_they_ended() {
        let now = DateTime::from_timestamp(1_795_581_818, 0).expect("a time");
        let mut history = History::new(Pieces::of(TimeDelta::hours(24), now));
        let run = |minutes: i64, status: RunStatus, ms: u64, example: &str| RunSummary {
            ended_at: now - TimeDelta::minutes(minutes),
            job: "gmail cron".into(),
            status: Some(status),
            elapsed_ms: Some(ms),
            errors: json!({ "transient": { "count": 2, "example": example } }),
            changes: json!({ "mailbox": { "created": 1, "updated": 2, "unchanged": 9 } }),
            ..RunSummary::default()
        };
        for summary in [
            run(1, RunStatus::Completed, 3000, "new"),
            run(2, RunStatus::Failed, 1000, "old"),
            run(3, RunStatus::Skipped, 9000, "old"),
        ] {
            history.add(summary);
        }
        history.add(run(60 * 48, RunStatus::Failed, 1, "long ago"));
        assert_eq!(history.runs, 3);
        let job = &history.jobs["gmail cron"];
        assert_eq!((job.total(), job.success_rate()), (3, Some(0.5)));
        assert_eq!((job.took_at(0.0), job.took_at(1.0)), (Some(1.0), Some(3.0)));
        assert_eq!((history.errors["transient"].count, &*history.errors["transient"].example), (6, "new"));
        assert_eq!(history.services["gmail"].changed.iter().sum::<u64>(), 9);
    }
}
