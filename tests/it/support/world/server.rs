//! What PostgreSQL itself reports.

use super::World;

impl World {
    /// How many connections to this database wait for a lock.
    pub fn lock_waits(&self) -> i64 {
        self.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    }
}
