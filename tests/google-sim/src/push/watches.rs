//! The watches of mailboxes: one each, the time of a mailbox's next notification, and past watches. Independent of HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::{Value, json};

use super::bell::Ring;
use crate::state::{World, lock};

/// Milliseconds: a week.
const LIVES: i64 = 604_800_000;
/// Between two notifications of a mailbox.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Watches {
    by_user: BTreeMap<String, Watch>,
    paces: HashMap<String, Pace>,
    /// Users, and the intervals in which they were watched.
    past: Vec<(String, (i64, i64))>,
}

pub struct Watch {
    pub topic: String,
    /// Labels, and whether they are excluded. Empty: all mail.
    labels: (Vec<String>, bool),
    /// Milliseconds of the simulated clock.
    made: i64,
    expires: i64,
    sent: u64,
}

/// Outlives the watch, so that a new watch does not bypass the limit.
#[derive(Default)]
struct Pace {
    pending: Option<u64>,
    /// A timer waits for the next notification to be due.
    timer: bool,
    last: Option<Instant>,
}

impl Watch {
    fn wants(&self, labels: &[String]) -> bool {
        let (known, excludes) = &self.labels;
        known.is_empty() || labels.iter().any(|label| known.contains(label)) != *excludes
    }

    /// A line of the test's list.
    pub fn shown(&self, user: &str) -> Value {
        let (labels, excludes) = &self.labels;
        json!({ "user": user, "topic": self.topic, "labels": labels, "excludes": excludes,
            "expiration": DateTime::from_timestamp_millis(self.expires), "made_at": DateTime::from_timestamp_millis(self.made),
            "messages_sent": self.sent })
    }
}

impl Watches {
    fn end(&mut self, user: &str, now: i64) {
        if let Some(watch) = self.by_user.remove(user) {
            self.past.push((user.to_owned(), (watch.made, watch.expires.min(now))));
        }
    }

    pub fn live(&self, now: i64) -> impl Iterator<Item = (&String, &Watch)> {
        self.by_user.iter().filter(move |(_, watch)| now < watch.expires)
    }

    /// The intervals in which mailboxes are or were watched.
    pub fn spans(&self) -> Vec<(String, (i64, i64))> {
        let present = self.by_user.iter().map(|(user, watch)| (user.clone(), (watch.made, watch.expires)));
        self.past.iter().cloned().chain(present).collect()
    }

    /// Notes a change. Returns how long to wait before `due`; `None`: there is no watcher, or a timer is already waiting.
    pub fn changed(&mut self, user: &str, history: u64, labels: Option<&[String]>, now: i64) -> Option<Duration> {
        let watch = self.by_user.get(user).filter(|watch| now < watch.expires)?;
        if !labels.is_none_or(|labels| watch.wants(labels)) {
            return None;
        }
        let pace = self.paces.entry(user.to_owned()).or_default();
        pace.pending = Some(history);
        let waits = std::mem::replace(&mut pace.timer, true);
        let since = pace.last.map_or(PAUSE, |last| last.elapsed());
        (!waits).then(|| PAUSE.saturating_sub(since))
    }

    /// The newest history ID, now that a notification may be sent.
    pub fn due(&mut self, user: &str) -> Option<u64> {
        let pace = self.paces.get_mut(user)?;
        pace.timer = false;
        pace.last = Some(Instant::now());
        pace.pending.take()
    }

    /// The topic of a live watch.
    pub fn topic(&self, user: &str, now: i64) -> Option<String> {
        self.by_user.get(user).filter(|watch| now < watch.expires).map(|watch| watch.topic.clone())
    }

    pub fn sent(&mut self, user: &str) {
        if let Some(watch) = self.by_user.get_mut(user) {
            watch.sent += 1;
        }
    }
}

/// Watches a mailbox, replacing an older watch, and notifies the topic; returns the expiry in milliseconds.
pub fn watch_mailbox(world: &World, user: &str, topic: String, labels: (Vec<String>, bool), history: u64) -> i64 {
    let made = world.now().timestamp_millis();
    let expires = made + LIVES;
    let mut watches = lock(&world.push.watches);
    watches.end(user, made);
    watches.by_user.insert(user.to_owned(), Watch { topic, labels, made, expires, sent: 0 });
    // There is no listener once the simulator ends.
    let _ = world.push.rings.send(Ring::Mail { user: Arc::from(user), history, labels: None });
    expires
}

pub fn stop_mailbox(world: &World, user: &str) {
    lock(&world.push.watches).end(user, world.now().timestamp_millis());
}
