//! Statements that a run sends to PostgreSQL, as counted by `pg_stat_statements`.

use super::World;

impl World {
    /// Resets the count.
    pub fn reset_statements(&self) {
        self.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
        self.execute("SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)");
    }

    /// The number of statements since the reset.
    pub fn statements(&self) -> i64 {
        self.count(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
             WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%'",
        )
    }
}
