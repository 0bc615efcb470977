//! Accelerated time: the clocks of the simulator and of the database, moved forward.

use serde_json::json;

use super::World;

impl World {
    /// Moves both clocks forward for all later runs.
    pub fn move_clock(&self, hours: f64) {
        self.sim.admin("clock", json!({ "advance": (hours * 3600.0).round() as i64 }));
        self.move_database_clock(hours);
    }

    /// `now()` in our own schema, which precedes `pg_catalog` in the search path, is the real time plus an offset. It determines when
    /// channels are created, renewed
    /// and forgotten, and when streams are due. (The binary would ignore a separate schema.)
    pub fn move_database_clock(&self, hours: f64) {
        self.execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS simulated;
             CREATE TABLE IF NOT EXISTS simulated.clock (ahead interval NOT NULL);
             INSERT INTO simulated.clock SELECT '0' WHERE NOT EXISTS (SELECT FROM simulated.clock);
             UPDATE simulated.clock SET ahead = ahead + {hours} * interval '1 hour';
             CREATE OR REPLACE FUNCTION syncctl.now() RETURNS timestamptz STABLE LANGUAGE sql
               AS 'SELECT pg_catalog.now() + ahead FROM simulated.clock';
             DO $$ BEGIN
               EXECUTE format('ALTER DATABASE %I SET search_path = syncctl, pg_catalog', current_database());
             END $$"
        ));
    }

    /// Blocks until the leases of dead processes have lapsed by the database's clock.
    pub fn wait_until_leases_lapse(&self) {
        let wait = "SELECT pg_sleep(greatest(0, extract(epoch FROM greatest((SELECT max(claimed_until) FROM streams),
            (SELECT max(held_until) FROM job_locks), (SELECT max(alive_until) FROM runs WHERE status = 'running'),
            (SELECT max(refreshing_until) FROM accounts)) - now()) + 0.01)::float8)";
        self.query(wait);
    }
}
