//! Streams that a run leaves to a separate process.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Streams that were due at the last look and must be polled in isolation.
#[derive(Default)]
pub struct IsolatedStreams {
    ids: Mutex<Vec<i64>>,
    pub(super) added: Notify,
}

impl IsolatedStreams {
    /// Sets the streams seen by the last look; those of earlier looks are either included or already polled.
    pub fn put(&self, ids: Vec<i64>) {
        let is_any = !ids.is_empty();
        *self.ids.lock().unwrap_or_else(PoisonError::into_inner) = ids;
        if is_any {
            self.added.notify_one();
        }
    }

    pub(super) fn take(&self) -> Vec<i64> {
        std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
