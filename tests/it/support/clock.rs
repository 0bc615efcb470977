//! Time that passes faster: the clocks of the simulator and of the database, moved forward.

use serde_json::json;

use super::World;

impl World {
    /// Moves both clocks forward, for everything that runs from now on.
    pub fn move_clock(&self, hours: f64) {
        self.sim.admin("clock", json!({ "advance": (hours * 3600.0).round() as i64 }));
        self.move_database_clock(hours);
    }

    /// `now()` of our own schema, which comes before `pg_catalog` in the search path, is the real one and an offset. Channels are made, renewed
    /// and forgotten by it, and streams become due. (A schema beside ours would be left out by the binary.)
    pub fn move_database_clock(&self, hours: f64) {
        self.execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS simulated;
             CREATE TABLE IF NOT EXISTS simulated.clock (ahead interval NOT NULL);
             INSERT INTO simulated.clock SELECT '0' WHERE NOT EXISTS (SELECT FROM simulated.clock);
             UPDATE simulated.clock SET ahead = ahead + {hours} * interval '1 hour';
             CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz STABLE LANGUAGE sql
               AS 'SELECT pg_catalog.now() + ahead FROM simulated.clock';
             DO $$ BEGIN
               EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
             END $$"
        ));
    }

    /// Blocks until no lease of a dead process holds, as the database's clock goes on.
    pub fn wait_until_leases_lapse(&self) {
        let left = "SELECT pg_sleep(greatest(0, extract(epoch FROM greatest((SELECT max(claimed_until) FROM streams),
            (SELECT max(held_until) FROM job_locks), (SELECT max(alive_until) FROM runs WHERE status = 'running'),
            (SELECT max(refreshing_until) FROM accounts)) - now()) + 0.01)::float8)";
        self.query(left);
    }
}
