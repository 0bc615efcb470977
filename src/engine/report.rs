//! The report of a run: counted while it runs, written to the run tables, shown to users.

mod entries;
pub mod part;
mod unknown;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

pub use entries::{ClassCount, Covered, Quantiles, Slow};

use super::Counts;
use super::delays::Delays;
use super::meter::PAUSED;
use super::outcome::{Outcome, PollEnd};
use super::push::figures::Figures;
use super::verify::compared::Compared;
use crate::db::accounts::Refused;
use crate::db::quota::Pause;
use crate::error::{Class, Exit, Failure, Fault, one_line};
use crate::state::RunStatus;

/// Number of slowest streams in a summary.
const SLOWEST: usize = 5;

/// The outcome of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub execution_id: Uuid,
    pub job: String,
    pub version: &'static str,
    pub dry_run: bool,
    /// `running` until the report is closed.
    pub status: RunStatus,
    /// Why the run ended before everything due was polled.
    pub stopped_early: Option<String>,
    /// Preparation that failed before the polls, which ran without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unprepared: Option<String>,
    /// Why the run itself failed.
    pub error: Option<String>,
    /// The exit code of the process in that case.
    #[serde(skip)]
    pub error_exit: Option<Exit>,
    pub total_users: usize,
    pub successful_users: usize,
    pub failed_users: usize,
    /// Ids on the command line that match no user; they count as failed users.
    pub unknown_users: u64,
    /// Counts for the run tables, if the run counts something other than users.
    pub covered: Option<Covered>,
    pub streams: u64,
    /// Polls of these streams: a stream that becomes due again during the run is polled again.
    pub polls: u64,
    pub idle_streams: u64,
    pub failed_streams: u64,
    pub interrupted_streams: u64,
    pub resyncs: u64,
    pub quarantined: u64,
    /// Changes by kind of stream.
    pub changes: BTreeMap<String, Counts>,
    /// Responses received from Google, including those for tokens.
    pub api_calls: u64,
    pub quota_units: u64,
    pub retries: u64,
    /// Accounts that were revoked and work again.
    pub revived_accounts: u64,
    /// Streams of services that their users do not have or did not grant, by class; these are not failures.
    pub off: BTreeMap<&'static str, ClassCount>,
    /// Failed streams by class, with one example each.
    pub errors: BTreeMap<&'static str, ClassCount>,
    /// Refused accounts, if any; set only in runs for all users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// If the share of refused accounts is above this, the run has not completed its work.
    #[serde(skip)]
    pub(super) refused_share: f64,
    /// Projects whose streams wait because their daily quota is used up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<Pause>,
    /// Named streams that are held by another run; `skipped` names it.
    pub held_streams: u64,
    /// A project was paused when the run looked for due streams.
    #[serde(skip)]
    pub(super) saw_pause: bool,
    /// Whether this run polls streams; other runs do other work.
    #[serde(skip)]
    pub(super) is_of_polls: bool,
    /// An account, or a service of an account, was refused at that time.
    #[serde(skip)]
    pub(super) saw_refused: bool,
    pub fetch_ms: Quantiles,
    /// How long the changes found had waited.
    pub delays: Delays,
    pub slowest: Vec<Slow>,
    /// Skipped streams, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// What was done with push channels, by jobs that manage them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Figures>,
    /// Result of the comparison with the provider, by the job that makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Compared>,
    /// Service-specific details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
    pub elapsed_ms: u64,
    /// Peak memory of the process, if the system reports it.
    pub peak_rss_kib: Option<u64>,
    #[serde(skip)]
    classes: BTreeSet<Class>,
    /// A problem outside the streams (`Source::trouble`).
    #[serde(skip)]
    has_problem: bool,
    #[serde(skip)]
    users: BTreeMap<Uuid, bool>,
    /// Streams that gave way to others and have not been polled again since; they count as interrupted.
    #[serde(skip)]
    gave_way: BTreeSet<i64>,
    #[serde(skip)]
    fetches: Vec<u32>,
}

impl Report {
    /// Creates an empty report.
    pub fn new(execution_id: Uuid, job: &str, dry_run: bool) -> Self {
        Self { execution_id, job: job.into(), version: env!("CARGO_PKG_VERSION"), dry_run, ..Self::default() }
    }

    /// Number of users with at least one ended stream.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    /// Counts ids that match nothing, and names the first few.
    pub(super) fn add_unknown(&mut self, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        self.unknown_users = ids.len() as u64;
        let count = ClassCount { count: self.unknown_users, example: unknown::format_unknown(ids) };
        self.errors.insert("unknown_user", count);
    }

    /// Counts a stream.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        outcome.log();
        // Streams that a pause kept from being polled are reported with their project, unless a part of them was stored.
        let polled = !matches!(outcome.end, PollEnd::Paused(_)) || outcome.counts != Counts::default();
        self.polls += u64::from(polled);
        self.streams += u64::from(polled && !outcome.again);
        self.resyncs += u64::from(outcome.resyncs);
        self.quarantined += outcome.quarantined;
        self.delays += &outcome.delays;
        *self.changes.entry(outcome.kind.clone()).or_default() += outcome.counts;
        let ms = |duration: &Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        self.fetches.extend(outcome.fetches.iter().map(ms));
        // The result of an interrupted stream is unknown: a user with only such streams is neither a success of this run nor a failure.
        if !matches!(outcome.end, PollEnd::Interrupted | PollEnd::GaveWay | PollEnd::Paused(_)) {
            *self.users.entry(outcome.user_id).or_insert(true) &= !matches!(outcome.end, PollEnd::Failed(_));
        }
        if self.gave_way.remove(&outcome.id) {
            self.interrupted_streams -= 1;
        }
        match &outcome.end {
            PollEnd::Idle(_) => self.idle_streams += 1,
            PollEnd::Done => {}
            PollEnd::GaveWay => {
                self.gave_way.insert(outcome.id);
                self.interrupted_streams += 1;
            }
            PollEnd::Interrupted => self.interrupted_streams += 1,
            PollEnd::Paused(failure) => {
                self.interrupted_streams += u64::from(polled);
                // Streams that were skipped because of the known pause add no information.
                if failure.reason != PAUSED {
                    tally(&mut self.errors, failure);
                }
            }
            PollEnd::Failed(failure) => self.fail(failure),
            PollEnd::Off(failure) => tally(&mut self.off, failure),
        }
        let slow = Slow {
            stream_id: outcome.id,
            user_id: outcome.user_id,
            kind: outcome.kind.clone(),
            ms: outcome.took.as_millis() as u64,
        };
        let index = self.slowest.partition_point(|other| other.ms >= slow.ms);
        if index < SLOWEST {
            self.slowest.insert(index, slow);
            self.slowest.truncate(SLOWEST);
        }
    }

    /// Counts claimed streams that the run will not get to: full passes between two pages, and streams that have not begun.
    pub(super) fn give_back(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if outcome.fetches.is_empty() {
                self.interrupted_streams += u64::from(!self.gave_way.contains(&outcome.id));
            } else {
                self.add(&Outcome { end: PollEnd::Interrupted, ..outcome });
            }
        }
    }

    /// Counts an idle stream that another run had taken over by the time it was to be closed.
    pub(super) fn lost(&mut self, user: Uuid) {
        self.idle_streams -= 1;
        self.fail_of(user, &Failure::new(Class::LeaseLost, "another run has taken over this stream"));
    }

    /// Counts a stream that could not even be claimed.
    pub(super) fn fail_unclaimed(&mut self, user: Uuid, failure: &Failure) {
        self.polls += 1;
        self.streams += 1;
        self.fail_of(user, failure);
    }

    fn fail_of(&mut self, user: Uuid, failure: &Failure) {
        self.users.insert(user, false);
        self.fail(failure);
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.failed_streams += 1;
        self.classes.insert(failure.class);
        tally(&mut self.errors, failure);
    }

    /// Counts a problem outside the streams.
    pub(super) fn add_problem(&mut self, failure: &Failure) {
        self.has_problem = true;
        self.classes.insert(failure.class);
        tally(&mut self.errors, failure);
    }

    /// Records that the run itself failed.
    pub(super) fn fail_run(&mut self, error: &anyhow::Error) {
        self.error = Some(one_line(&format!("{error:#}")));
        self.error_exit = error.downcast_ref::<Fault>().map(|fault| fault.exit);
    }

    /// Computes the totals; `covers`: number of entries in the run tables that a user counts for. Returns the counts for the run tables.
    pub(super) fn close(&mut self, elapsed: Duration, covers: impl Fn(Uuid) -> u64) -> Covered {
        self.elapsed_ms = elapsed.as_millis() as u64;
        self.peak_rss_kib = peak_rss_kib();
        self.total_users = self.users.len() + self.unknown_users as usize;
        self.successful_users = self.users.values().filter(|ok| **ok).count();
        self.failed_users = self.total_users - self.successful_users;
        self.fetches.sort_unstable();
        let at = |share: f64| {
            let last = self.fetches.len().saturating_sub(1);
            self.fetches.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
        };
        self.fetch_ms = Quantiles { p50: at(0.5), p95: at(0.95), max: at(1.0) };
        if self.status == RunStatus::Running {
            self.status = self.verdict();
        }
        let sum = |failed_only: bool| -> u64 {
            self.users.iter().filter(|(_, ok)| !failed_only || !**ok).map(|(user, _)| covers(*user)).sum::<u64>()
        };
        let mut covered = self.covered.unwrap_or_else(|| Covered { total: sum(false), failed: sum(true) });
        covered.total += self.unknown_users;
        covered.failed += self.unknown_users;
        self.covered = Some(covered);
        covered
    }
}

fn tally(classes: &mut BTreeMap<&'static str, ClassCount>, failure: &Failure) {
    let class = classes.entry(failure.class.name()).or_default();
    class.count += 1;
    if class.example.is_empty() {
        class.example.clone_from(&failure.message);
    }
}

/// `VmHWM` of /proc/self/status; `None` on systems without it.
fn peak_rss_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests;
