//! Counts every call: by method, status, user and stream.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::state::lock;

#[derive(Default)]
pub struct Ledger {
    counts: Mutex<Counts>,
    under_way: AtomicU64,
    requests: AtomicU64,
    most_requests: AtomicU64,
}

/// Counts since the last reset. API calls only; token requests are under `oauth`.
#[derive(Default, Clone, Serialize)]
pub struct Counts {
    pub total: u64,
    pub by_method: BTreeMap<String, u64>,
    pub by_status: BTreeMap<u16, u64>,
    pub by_user: BTreeMap<String, BTreeMap<String, u64>>,
    pub by_stream: BTreeMap<String, u64>,
    pub quota_units: u64,
    /// Units spent, by service, without calls beyond a limit.
    pub units: BTreeMap<&'static str, u64>,
    /// Calls that were refused because of a limit.
    pub beyond: Beyond,
    pub max_concurrent: u64,
    /// The maximum number of concurrent HTTP requests to the APIs; a batch counts as one, token requests do not count.
    pub requests_at_once: u64,
    /// Requests to a batch endpoint; the calls in them are counted individually.
    pub batches: u64,
    pub oauth: Oauth,
}

/// By the limit that refused them.
#[derive(Default, Clone, Serialize)]
pub struct Beyond {
    pub user_minute: u64,
    pub project_minute: u64,
    pub day: u64,
    pub concurrency: u64,
}

/// A limit that refuses calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    UserMinute,
    ProjectMinute,
    Day,
    Concurrency,
}

#[derive(Default, Clone, Serialize)]
pub struct Oauth {
    pub refreshes: u64,
    pub granted: u64,
    pub refused: u64,
}

/// A call in flight; it is counted when it ends.
pub struct Call<'a>(&'a Ledger);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request in flight.
pub struct Request<'a>(&'a Ledger);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
    pub fn request(&self) -> Request<'_> {
        let now = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_requests.fetch_max(now, Ordering::Relaxed);
        Request(self)
    }

    pub fn begin(
        &self,
        method: &str,
        user: Option<&str>,
        stream: Option<&str>,
        (service, units): (&'static str, u64),
    ) -> Call<'_> {
        let concurrent = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let mut counts = lock(&self.counts);
        counts.total += 1;
        counts.quota_units += units;
        *counts.units.entry(service).or_default() += units;
        counts.max_concurrent = counts.max_concurrent.max(concurrent);
        bump(&mut counts.by_method, method);
        if let Some(user) = user {
            bump(counts.by_user.entry(user.to_owned()).or_default(), method);
            if let Some(stream) = stream {
                bump(&mut counts.by_stream, &format!("{user}/{stream}"));
            }
        }
        Call(self)
    }

    /// Refunds the units of a call that was refused without being counted.
    pub fn refund(&self, units: u64) {
        lock(&self.counts).quota_units -= units;
    }

    /// Counts a call that this limit refused: it spent no units.
    pub fn beyond(&self, limit: Limit, (service, units): (&'static str, u64)) {
        let mut counts = lock(&self.counts);
        let beyond = &mut counts.beyond;
        *match limit {
            Limit::UserMinute => &mut beyond.user_minute,
            Limit::ProjectMinute => &mut beyond.project_minute,
            Limit::Day => &mut beyond.day,
            Limit::Concurrency => &mut beyond.concurrency,
        } += 1;
        drop(counts);
        self.unspent((service, units));
    }

    /// A call that was refused because of a real or simulated limit spent no units.
    pub fn unspent(&self, (service, units): (&'static str, u64)) {
        // There may have been a reset since the call began.
        if let Some(spent) = lock(&self.counts).units.get_mut(service) {
            *spent = spent.saturating_sub(units);
        }
    }

    pub fn batch(&self) {
        lock(&self.counts).batches += 1;
    }

    pub fn answered(&self, status: u16) {
        *lock(&self.counts).by_status.entry(status).or_default() += 1;
    }

    pub fn token(&self, granted: bool) {
        let oauth = &mut lock(&self.counts).oauth;
        oauth.refreshes += 1;
        oauth.granted += u64::from(granted);
        oauth.refused += u64::from(!granted);
    }

    pub fn counts(&self) -> Counts {
        let mut counts = lock(&self.counts).clone();
        counts.requests_at_once = self.most_requests.load(Ordering::Relaxed);
        counts
    }

    pub fn reset(&self) {
        *lock(&self.counts) = Counts::default();
        self.most_requests.store(self.requests.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}
