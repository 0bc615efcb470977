//! Figures of a process that polls in isolation, added to those of its run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ClassCount, Report};
use crate::engine::Counts;
use crate::error::Class;

/// Figures of a part of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Part {
    users: BTreeMap<Uuid, bool>,
    streams: u64,
    polls: u64,
    idle_streams: u64,
    failed_streams: u64,
    interrupted_streams: u64,
    resyncs: u64,
    quarantined: u64,
    changes: BTreeMap<String, Counts>,
    api_calls: u64,
    quota_units: u64,
    retries: u64,
    errors: BTreeMap<String, ClassCount>,
    off: BTreeMap<String, ClassCount>,
    error: Option<String>,
}

impl Part {
    /// The part that a closed report describes.
    pub fn of(report: Report) -> Self {
        let named = |classes: BTreeMap<&'static str, ClassCount>| {
            classes.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
        };
        Self {
            users: report.users,
            streams: report.streams,
            polls: report.polls,
            idle_streams: report.idle_streams,
            failed_streams: report.failed_streams,
            interrupted_streams: report.interrupted_streams,
            resyncs: report.resyncs,
            quarantined: report.quarantined,
            changes: report.changes,
            api_calls: report.api_calls,
            quota_units: report.quota_units,
            retries: report.retries,
            errors: named(report.errors),
            off: named(report.off),
            error: report.error,
        }
    }
}

impl Report {
    /// Adds the figures of a separate process.
    pub(in crate::engine) fn take_over(&mut self, part: Part) {
        for (user, is_good) in part.users {
            *self.users.entry(user).or_insert(true) &= is_good;
        }
        self.streams += part.streams;
        self.polls += part.polls;
        self.idle_streams += part.idle_streams;
        self.failed_streams += part.failed_streams;
        self.interrupted_streams += part.interrupted_streams;
        self.resyncs += part.resyncs;
        self.quarantined += part.quarantined;
        for (kind, counts) in part.changes {
            *self.changes.entry(kind).or_default() += counts;
        }
        self.api_calls += part.api_calls;
        self.quota_units += part.quota_units;
        self.retries += part.retries;
        for (name, count) in part.errors {
            if let Some(class) = Class::from_name(&name) {
                self.classes.insert(class);
                add(&mut self.errors, class, count);
            }
        }
        for (name, count) in part.off {
            if let Some(class) = Class::from_name(&name) {
                add(&mut self.off, class, count);
            }
        }
        self.error = self.error.take().or(part.error);
    }
}

fn add(classes: &mut BTreeMap<&'static str, ClassCount>, class: Class, more: ClassCount) {
    let count = classes.entry(class.name()).or_default();
    count.count += more.count;
    if count.example.is_empty() {
        count.example = more.example;
    }
}
