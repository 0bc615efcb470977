//! The result of a run: its status, its message, its exit code.

use super::Report;
use crate::engine::Counts;
use crate::error::{Class, Exit};
use crate::state::RunStatus;

/// Classes that reject an account, as opposed to a call.
const OF_ACCOUNTS: [Class; 2] = [Class::AuthRevoked, Class::ClientRefused];

impl Report {
    /// The status. For a run that was stopped early, it describes only what was polled: `stopped_early` shows that the rest is left to the next run.
    pub(super) fn verdict(&self) -> RunStatus {
        let failed = self.failed_streams + self.unknown_users;
        let all_failed = failed > 0 && failed == self.polls + self.unknown_users;
        let has_polled = self.polls > 0;
        let is_held_up = !self.paused.is_empty() || self.held_streams > 0 || self.refused_many();
        if self.error.is_some() || all_failed || self.refused_all() {
            RunStatus::Failed
        } else if failed > 0 {
            RunStatus::Partial
        } else if !self.paused.is_empty() && !has_polled {
            RunStatus::Paused
        } else if self.held_streams > 0 && !has_polled {
            RunStatus::Skipped
        } else if is_held_up || self.unprepared.is_some() || self.has_problem || self.did_nothing() {
            RunStatus::Partial
        } else {
            RunStatus::Completed
        }
    }

    /// Stopped before any stream was completed or any page stored: if every run is stopped this early, nothing is ever synced.
    fn did_nothing(&self) -> bool {
        self.is_of_polls
            && self.stopped_early.is_some()
            && self.users.is_empty()
            && self.changes.values().all(|counts| *counts == Counts::default())
    }

    /// Whether an account was refused before this run or by it.
    pub(in crate::engine) fn may_be_refused(&self) -> bool {
        const CLASSES: [Class; 4] = [Class::AuthRevoked, Class::ClientRefused, Class::ScopeMissing, Class::ApiDisabled];
        self.saw_refused || CLASSES.iter().any(|class| self.classes.contains(class))
    }

    fn refused_all(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.is_all())
    }

    fn refused_many(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.is_above(self.refused_share))
    }

    fn failed_only_by(&self, classes: &[Class]) -> bool {
        self.classes.iter().all(|class| classes.contains(class))
    }

    /// One readable line for `error_message`.
    pub fn error_message(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        let mut parts = Vec::new();
        if let Some(refused) = self.refused.as_ref().filter(|_| self.refused_all() || self.refused_many()) {
            parts.push(format!("{} (`syncctl accounts list`)", refused.in_words()));
        }
        // A problem reported for all accounts is not repeated for their streams.
        if !(self.refused_all() && self.failed_only_by(&OF_ACCOUNTS)) {
            parts.extend(self.failures());
        }
        let paused = self.paused.iter();
        parts.extend(paused.map(|pause| {
            format!("{} (daily_quota: {}; `syncctl quota resume {}` lifts it)", pause.in_words(), pause.reason, pause.project)
        }));
        if let Some(why) = &self.unprepared {
            parts.push(format!("preparation failed and the polls ran without it: {why}"));
        }
        if let Some(why) = self.stopped_early.as_ref().filter(|_| self.did_nothing()) {
            parts.push(format!("{why} before anything was polled"));
        }
        if self.held_streams > 0 {
            parts.push(format!("{} streams are held by another run: {}", self.held_streams, self.skipped.join("; ")));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Failures by class. Those that paused a project are reported with the pause.
    fn failures(&self) -> Option<String> {
        let is_reported = |class: &str| class == Class::DailyQuota.name() && !self.paused.is_empty();
        let errors = self.errors.iter().filter(|(class, _)| !is_reported(class));
        let parts: Vec<String> = errors.map(|(class, entry)| format!("{} × {class} ({})", entry.count, entry.example)).collect();
        let why = parts.join("; ");
        match (parts.is_empty(), self.failed_streams) {
            (true, _) => None,
            // Unknown ids have no stream.
            (false, 0) => Some(why),
            (false, failed) => Some(format!("{failed} of {} streams failed: {why}", self.polls)),
        }
    }

    /// A missing scope or a disabled API does not mean that credentials are refused.
    fn exit_of_refusal(&self) -> Exit {
        if self.refused.as_ref().is_some_and(|refused| refused.lacking > 0) { Exit::SomeFailed } else { Exit::Refused }
    }

    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        let is_busy = self.held_streams > 0 && self.failed_streams == 0 && self.paused.is_empty() && !self.refused_many();
        match self.status {
            RunStatus::Completed => Exit::Done,
            RunStatus::Skipped => Exit::Busy,
            RunStatus::Partial if is_busy && self.unknown_users == 0 => Exit::Busy,
            RunStatus::Partial if self.has_problem && self.failed_only_by(&[Class::AuthRevoked]) => Exit::Refused,
            RunStatus::Partial if self.has_problem && self.failed_only_by(&[Class::Settings]) => Exit::Settings,
            RunStatus::Failed => self.exit_of_failure(),
            RunStatus::Partial | RunStatus::Paused | RunStatus::Running | RunStatus::Abandoned => Exit::SomeFailed,
        }
    }

    fn exit_of_failure(&self) -> Exit {
        const CREDENTIALS: [Class; 3] = [Class::AuthRevoked, Class::ClientRefused, Class::TokenStale];
        if self.error.is_some() {
            self.error_exit.unwrap_or(Exit::SomeFailed)
        } else if self.unknown_users > 0 {
            Exit::SomeFailed
        } else if self.refused_all() {
            self.exit_of_refusal()
        } else if self.failed_only_by(&[Class::Transient]) {
            Exit::Unavailable
        } else if self.failed_only_by(&[Class::Settings]) {
            Exit::Settings
        } else if self.failed_only_by(&CREDENTIALS) {
            Exit::Refused
        } else {
            Exit::SomeFailed
        }
    }
}
