//! Runs: their rows, results and job locks.

use super::World;

/// A row of `SERVICE_cron_results`; `error` is empty for SQL's NULL.
pub struct LastResult {
    pub status: String,
    pub error: String,
}

impl World {
    pub fn runs(&self) -> i64 {
        self.count("SELECT count(*) FROM runs")
    }

    /// How many runs of a job have this status.
    pub fn runs_of(&self, job: &str, status: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM runs WHERE job = '{job}' AND status = '{status}'"))
    }

    /// How many runs of any job have this status.
    pub fn runs_in(&self, status: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM runs WHERE status = '{status}'"))
    }

    /// How many runs have another status than `completed`.
    pub fn runs_not_completed(&self) -> i64 {
        self.count("SELECT count(*) FROM runs WHERE status <> 'completed'")
    }

    /// How many result rows of a service have this status.
    pub fn results_in(&self, service: &str, status: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM {service}_cron_results WHERE status = '{status}'"))
    }

    /// The result row of a service that began last.
    pub fn last_result(&self, service: &str) -> LastResult {
        let statement = format!("SELECT status, error_message FROM {service}_cron_results ORDER BY start_time DESC LIMIT 1");
        let row = &self.query(&statement)[0];
        LastResult { status: row.get(0), error: row.get::<_, Option<String>>(1).unwrap_or_default() }
    }

    /// Lets the runs of a job be this much older, as an SQL interval.
    pub fn age_runs(&self, job: &str, by: &str) {
        self.execute(&format!(
            "UPDATE runs SET started_at = started_at - interval '{by}', ended_at = ended_at - interval '{by}' WHERE job = '{job}'"
        ));
    }

    pub fn job_locks(&self) -> i64 {
        self.count("SELECT count(*) FROM job_locks")
    }

    /// Locks a job for an hour, as a run on another host would.
    pub fn lock_job(&self, job: &str) {
        self.execute(&format!(
            "INSERT INTO job_locks (job, run_id, held_until) VALUES ('{job}', gen_random_uuid(), now() + interval '1 hour')"
        ));
    }

    pub fn unlock_jobs(&self) {
        self.execute("DELETE FROM job_locks");
    }
}
