//! The time that PostgreSQL takes for the statements of jobs.

use std::collections::HashMap;

use serde_json::json;

use crate::support::World;

/// Changes of all kinds, and the jobs that store them.
pub fn jobs(world: &World, seed: u64) {
    // Warms the server's caches, and plans.
    for count in [20, 200] {
        world.sim.churn(count, seed);
        world.sim.admin("mail/churn", json!({ "changes": count, "seed": seed }));
        world.sim.admin("drive/churn", json!({ "changes": count, "seed": seed }));
        world.reset_statements();
        for service in ["calendar", "gmail", "drive"] {
            let user = world.sim.users().into_iter().next().expect("a user");
            world.syncctl(&[service, "poll", &user]).expect(0);
            world.syncctl(&[service, "cron"]).expect(0);
            world.syncctl(&[service, "metrics"]).expect(0);
        }
    }
}

/// Mean milliseconds of each statement since `jobs` began its last round.
pub fn times(world: &World) -> HashMap<String, f64> {
    let rows = world.query(
        "SELECT query, mean_exec_time FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
         WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%'",
    );
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Statements that take longer among many rows: ratio, milliseconds in both, and their beginning. Those under 0.2 ms do not matter.
pub fn slower(small: &HashMap<String, f64>, large: &HashMap<String, f64>) -> Vec<(f64, f64, f64, String)> {
    let both = large.iter().filter_map(|(query, &many)| Some((query, *small.get(query)?, many)));
    let noticed = both.filter(|(_, _, many)| *many > 0.2);
    let mut slower: Vec<_> = noticed
        .map(|(query, alone, many)| {
            let words: String = query.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(110).collect();
            (many / alone.max(0.02), alone, many, words)
        })
        .collect();
    slower.sort_by(|a, b| b.0.total_cmp(&a.0));
    slower
}
