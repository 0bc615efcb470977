//! How a feed announces a change: without blocking, and independently of its listeners.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::channel::Channel;

/// A change.
pub enum Ring {
    Made(Arc<Channel>),
    /// A calendar or the list of calendars.
    Feed(Arc<str>),
    /// A user's or a shared drive's log of changes, by its key.
    Log(String),
    /// A mailbox has a new history ID, through a message with these labels; `None`: a watch began.
    Mail {
        user: Arc<str>,
        history: u64,
        labels: Option<Vec<String>>,
    },
    File {
        key: String,
        state: &'static str,
        changed: Option<String>,
    },
}

/// Attached to a feed.
pub struct Bell {
    rings: UnboundedSender<Ring>,
    key: Arc<str>,
}

impl Bell {
    pub(super) fn new(rings: UnboundedSender<Ring>, key: Arc<str>) -> Self {
        Self { rings, key }
    }

    pub fn feed(&self) {
        self.ring(Ring::Feed(Arc::clone(&self.key)));
    }

    pub fn mail(&self, history: u64, labels: Vec<String>) {
        self.ring(Ring::Mail { user: Arc::clone(&self.key), history, labels: Some(labels) });
    }

    /// A log of changes; `item`: in a user's log, only for clients that include items of shared drives.
    pub fn log(&self, log: &str, item: bool) {
        self.ring(Ring::Log(if item { all_drives_key(log) } else { log_key(log) }));
    }

    pub fn file(&self, id: &str, state: &'static str, changed: Option<String>) {
        self.ring(Ring::File { key: file_key(id), state, changed });
    }

    fn ring(&self, ring: Ring) {
        // There is no listener once the simulator ends.
        let _ = self.rings.send(ring);
    }
}

pub fn events_key(user: &str, calendar: &str) -> String {
    format!("events/{user}/{calendar}")
}

pub fn file_key(id: &str) -> String {
    format!("file/{id}")
}

pub fn log_key(log: &str) -> String {
    format!("log/{log}")
}

pub fn all_drives_key(user: &str) -> String {
    format!("drives/{user}")
}
