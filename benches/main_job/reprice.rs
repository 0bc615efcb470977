//! A million streams, and recomputing the price of their polls.

use crate::shared::figures::timed;
use crate::support::World;

const STREAMS: u32 = 1_000_000;

pub struct Repriced {
    /// Additional time of a run with nothing due when it recomputes the price.
    pub seconds: f64,
    pub rss_mib: f64,
}

/// A tenth of the streams has a weekly pattern.
pub fn a_million() -> Repriced {
    eprintln!("price of a poll over {STREAMS} streams …");
    let world = World::with_users(1, 0);
    world.execute(&format!(
        "INSERT INTO users (email) SELECT 'many' || n || '@example.com' FROM generate_series(1, {STREAMS} / 10) n;
         INSERT INTO accounts (user_id, kind, project, credentials)
           SELECT u.id, a.kind, a.project, a.credentials FROM users u, accounts a WHERE u.email LIKE 'many%';
         INSERT INTO streams (user_id, service, kind, resource, cursor, due_at, change_mass, change_since, change_shape)
           SELECT u.id, 'calendar', 'events', n::text, 'cursor', now() + interval '1 day', exp(random() * 9 - 5), now() - interval '60 days',
             CASE WHEN n = 1 THEN (SELECT array_agg(random()::real) FROM generate_series(1, 34)) END
           FROM users u, generate_series(1, 10) n WHERE u.email LIKE 'many%';
         ANALYZE streams"
    ));
    world.syncctl(&["calendar", "cron"]).expect(0);
    let run = |every| {
        let (seconds, output) = timed(|| world.syncctl(&["calendar", "cron", "--json", "--set", every]));
        (seconds, output.expect(0).json())
    };
    let (with, report) = run("pace.reprice_every=1ms");
    let (without, _) = run("pace.reprice_every=1h");
    // Includes the user's own list and calendar.
    assert_eq!(world.count("SELECT streams FROM pace_prices WHERE service = 'calendar'"), i64::from(STREAMS) + 2);
    Repriced { seconds: with - without, rss_mib: report["peak_rss_kib"].as_f64().unwrap_or(0.0) / 1024.0 }
}
