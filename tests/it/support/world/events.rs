//! Events that are sent to others, notifications that come from providers, and the channels they come by.

use serde_json::Value;

use super::World;

impl World {
    /// How many events were emitted.
    pub fn outbox_events(&self) -> i64 {
        self.count("SELECT count(*) FROM outbox_events")
    }

    /// How many events of a type were emitted.
    pub fn outbox_events_of(&self, kind: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM outbox_events WHERE type = '{kind}'"))
    }

    /// The payloads of the events of a type, in order.
    pub fn payloads_of(&self, kind: &str) -> Vec<Value> {
        let statement = format!("SELECT payload FROM outbox_events WHERE type = '{kind}' ORDER BY seq");
        self.query(&statement).iter().map(|row| row.get(0)).collect()
    }

    /// How many notifications are stored.
    pub fn notifications(&self) -> i64 {
        self.count("SELECT count(*) FROM notifications")
    }

    /// How many notifications of a provider are stored.
    pub fn notifications_of(&self, source: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM notifications WHERE source = '{source}'"))
    }

    /// How many notifications all channels have counted.
    pub fn notifications_of_channels(&self) -> i64 {
        self.count("SELECT sum(notifications)::int8 FROM channels")
    }

    /// How many channels are in this state.
    pub fn channels_in(&self, state: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM channels WHERE state = '{state}'"))
    }
}
