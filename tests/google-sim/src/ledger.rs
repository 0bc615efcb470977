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
}

/// What was counted since the last reset. API calls only; token requests stand under `oauth`.
#[derive(Default, Clone, Serialize)]
pub struct Counts {
    pub total: u64,
    pub by_method: BTreeMap<String, u64>,
    pub by_status: BTreeMap<u16, u64>,
    pub by_user: BTreeMap<String, BTreeMap<String, u64>>,
    pub by_stream: BTreeMap<String, u64>,
    pub quota_units: u64,
    pub max_concurrent: u64,
    /// Requests to a batch endpoint; the calls in them are counted one by one.
    pub batches: u64,
    pub oauth: Oauth,
}

#[derive(Default, Clone, Serialize)]
pub struct Oauth {
    pub refreshes: u64,
    pub granted: u64,
    pub refused: u64,
}

/// A call under way; it is counted when it ends.
pub struct Call<'a>(&'a Ledger);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
    pub fn begin(&self, method: &str, user: Option<&str>, stream: Option<&str>, units: u64) -> Call<'_> {
        let concurrent = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let mut counts = lock(&self.counts);
        counts.total += 1;
        counts.quota_units += units;
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

    /// Takes back the units of a call that was refused without being counted.
    pub fn refund(&self, units: u64) {
        lock(&self.counts).quota_units -= units;
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
        lock(&self.counts).clone()
    }

    pub fn reset(&self) {
        *lock(&self.counts) = Counts::default();
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}
