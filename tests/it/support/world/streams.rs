//! Streams: states, leases, due times; and the pauses of quotas.

use super::World;

impl World {
    /// How many streams are in this state.
    pub fn streams_in(&self, state: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM streams WHERE state = '{state}'"))
    }

    pub fn failing_streams(&self) -> i64 {
        self.count("SELECT count(*) FROM streams WHERE failures > 0")
    }

    /// How many streams are leased to a run.
    pub fn leased_streams(&self) -> i64 {
        self.count("SELECT count(*) FROM streams WHERE claimed_by IS NOT NULL")
    }

    pub fn due_streams(&self) -> i64 {
        self.count("SELECT count(*) FROM streams WHERE due_at <= now()")
    }

    pub fn due_streams_of(&self, service: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM streams WHERE service = '{service}' AND due_at <= now()"))
    }

    /// How many streams had a notification after their last poll.
    pub fn notified_streams(&self) -> i64 {
        self.count("SELECT count(*) FROM streams WHERE pushed_at > polled_at")
    }

    /// How many streams had so many changes without a notification that their channel counts as silent.
    pub fn silent_streams(&self) -> i64 {
        self.count("SELECT count(*) FROM streams WHERE push_missed >= 3")
    }

    /// The highest number of leases in a row that lapsed on one stream.
    pub fn most_lapses(&self) -> i64 {
        self.count("SELECT max(lapses)::bigint FROM streams")
    }

    pub fn make_all_due(&self) {
        self.execute("UPDATE streams SET due_at = now()");
    }

    /// Makes no stream due for an hour.
    pub fn put_off_all(&self) {
        self.execute("UPDATE streams SET due_at = now() + interval '1 hour'");
    }

    /// Lets the last full pass of the streams of a kind be this long ago, as an SQL interval.
    pub fn age_full_passes(&self, kind: &str, ago: &str) {
        self.execute(&format!("UPDATE streams SET full_pass_at = now() - interval '{ago}' WHERE kind = '{kind}'"));
    }

    /// How many pauses of quotas are in force.
    pub fn quota_pauses(&self) -> i64 {
        self.count("SELECT count(*) FROM quota_pauses WHERE until > now()")
    }
}
