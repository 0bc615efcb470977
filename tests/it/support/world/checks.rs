//! What every test may assert of its world, and await in it.

use super::World;

impl World {
    /// Asserts that the database equals the simulator's data: nothing lost, nothing left over, nothing stale.
    #[track_caller]
    pub fn assert_in_step(&self) {
        let (truth, stored) = ((self.service.truth)(self), self.stored());
        let lost: Vec<_> = truth.keys().filter(|key| !stored.contains_key(*key)).take(5).collect();
        let excess: Vec<_> = stored.keys().filter(|key| !truth.contains_key(*key)).take(5).collect();
        let stale: Vec<_> =
            truth.iter().filter(|(key, etag)| stored.get(*key).is_some_and(|stored| stored != *etag)).take(5).collect();
        assert!(
            lost.is_empty() && excess.is_empty() && stale.is_empty(),
            "{} at Google, {} stored; lost {lost:?}, excess {excess:?}, stale {stale:?}",
            truth.len(),
            stored.len()
        );
        for (what, statement) in self.service.wrong {
            assert_eq!(self.count(statement), 0, "{what}");
        }
        (self.service.check)(self);
    }

    /// Asserts that a run left nothing behind.
    #[track_caller]
    pub fn assert_no_leftovers(&self) {
        assert_eq!(self.leased_streams(), 0, "leases");
        assert_eq!(self.job_locks(), 0, "locks");
        let name = self.service.name;
        assert_eq!(self.results_in(name, "running"), 0, "running rows");
        let rows = format!(
            "SELECT count(*) FROM {name}_cron_results r WHERE NOT EXISTS (SELECT 1 FROM {name}_cron_metrics m
               WHERE m.execution_id = r.execution_id) OR NOT EXISTS (SELECT 1 FROM {name}_cron_summaries s WHERE s.summary_data ->> 'execution_id' = r.execution_id)"
        );
        assert_eq!(self.count(&rows), 0, "run rows without metrics or summary");
    }

    /// Blocks until the simulator withholds an answer (fault `stall`).
    pub fn wait_for_stall(&self) {
        // A run that never makes the stalling call must fail the test, not block it.
        let request = ureq::get(format!("{}/admin/stalled?wait=1", self.sim.url)).config();
        let stalled = request.timeout_global(Some(std::time::Duration::from_secs(300))).build().call();
        assert!(stalled.is_ok(), "no call stalled: {stalled:?}");
    }
}
