//! `syncctl db size`: the size of the database, and its growth.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::postgres::Postgres;

/// The report's entry of a table.
fn table(world: &World, name: &str) -> Value {
    let size = world.syncctl(&["db", "size", "--json"]).expect(0).json();
    let tables = size["tables"].as_array().expect("tables").clone();
    tables.into_iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("no {name} in {size}"))
}

#[test]
fn size_names_what_fills_the_database() {
    let world = World::with_users(2, 20);
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.execute("ANALYZE");
    let events = table(&world, "calendar_events");
    assert_eq!(events["rows"].as_i64(), Some(world.rows("calendar_events")), "{events}");
    assert!(
        events["indexes"].as_array().expect("indexes").iter().any(|index| index["index"] == "calendar_events_pkey"),
        "{events}"
    );
    let text = world.syncctl(&["db", "size"]).expect(0).stdout;
    assert!(text.contains("calendar_events") && text.contains("in total") && text.contains(" %"), "{text}");
}

/// The server's counters would report an old burst as growth forever, and miss rows from before they began.
#[test]
fn tables_of_runs_grow_by_the_dates_of_the_last_week() {
    let world = World::empty();
    world.execute(
        "INSERT INTO calendar_cron_metrics (execution_id, timestamp)
           SELECT n::text, now() - interval '5 minutes' * n FROM generate_series(0, 14 * 288 - 1) n;
         INSERT INTO calendar_cron_metrics (execution_id, timestamp) SELECT 'burst', now() - interval '10 days' FROM generate_series(1, 20000);
         ANALYZE",
    );
    let metrics = table(&world, "calendar_cron_metrics");
    assert_eq!(metrics["rows"], json!(24_032));
    assert_eq!(metrics["growth"]["by"], "dates");
    assert_eq!(metrics["growth"]["days"].as_f64(), Some(7.0));
    assert_eq!(metrics["growth"]["rows_a_day"].as_f64(), Some(288.0), "{metrics}");
    // In a database that is minutes old, an empty table has no growth yet.
    assert_eq!(table(&world, "gmail_cron_metrics")["growth"], Value::Null);

    let text = world.syncctl(&["db", "size"]).expect(0).stdout;
    let line = text.lines().find(|line| line.trim_start().starts_with("calendar_cron_metrics ")).expect("a line");
    let bytes = (metrics["bytes"].as_f64().expect("bytes") + metrics["index_bytes"].as_f64().expect("bytes")) * 288.0 / 24_032.0;
    assert!(line.contains(&format!("+{:.0} KiB (288 rows)", bytes / 1024.0)), "{line}: {bytes}");
    assert!(text.contains("a day: mean of new rows in the last 7 days, by the dates of the rows"), "{text}");
}

#[test]
fn a_table_that_began_later_grows_by_the_days_since() {
    let world = World::empty();
    world.execute(
        "INSERT INTO notifications (source, key, received_at) SELECT 'attendee', n::text, now() - interval '1 hour' * n FROM generate_series(0, 48) n",
    );
    let growth = table(&world, "notifications")["growth"].clone();
    let (a_day, days) = (growth["rows_a_day"].as_f64().expect("a rate"), growth["days"].as_f64().expect("days"));
    assert!((a_day - 24.5).abs() < 0.1 && (days - 2.0).abs() < 0.01, "{growth}");
}

/// Events, files and messages have no insertion date: only the server's counters are available.
#[test]
fn what_has_no_date_grows_by_the_counters_of_the_server_or_not_at_all() {
    let world = World::with_users(2, 60);
    world.syncctl(&["calendar", "cron"]).expect(0);
    let stored = world.rows("calendar_events");
    assert!(stored >= 100, "{stored} events");
    world.execute("UPDATE schema_migrations SET applied_at = applied_at - interval '10 days'; ANALYZE");
    // A server process reports its counts when it ends, shortly after its client.
    let counted = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'calendar_events'";
    while world.count(counted) < stored {
        std::thread::yield_now();
    }
    let growth = table(&world, "calendar_events")["growth"].clone();
    // Before PostgreSQL 15 the counters' start is known: they began with this database.
    if world.rows("pg_stat_database WHERE datname = current_database() AND stats_reset IS NULL") == 1 {
        let a_day = growth["rows_a_day"].as_f64().expect("a rate");
        assert!(growth["by"] == "counters" && (a_day - stored as f64 / 10.0).abs() < 0.1, "{growth}: {stored} events");
        let text = world.syncctl(&["db", "size"]).expect(0).stdout;
        assert!(text.contains("10 days counted by the server, including first syncs"), "{text}");
    }
    // Counters that were reset have seen none of this.
    world.execute("SELECT pg_stat_reset()");
    assert_eq!(table(&world, "calendar_events")["growth"], Value::Null);
}

#[test]
fn counters_that_a_crash_took_say_nothing() {
    let server: &'static Postgres = Box::leak(Box::new(Postgres::new(None, &[])));
    let start = || server.cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
    let status = || server.cluster.status().expect("a status");
    start();
    let database = server.database();
    let url = database.url();
    let world = World::on(database, url);
    world.execute(
        "UPDATE schema_migrations SET applied_at = applied_at - interval '10 days';
         INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, raw)
           SELECT 1, n::text, gen_random_uuid(), 'c', 'confirmed', '{}' FROM generate_series(1, 1000) n",
    );
    world.execute("CHECKPOINT");
    let pid = rustix::process::Pid::from_raw(status().pid.expect("a server")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::QUIT).expect("a crash");
    while status().running || status().pid.is_some() {
        std::thread::yield_now();
    }
    start();
    world.execute("ANALYZE");
    let events = table(&world, "calendar_events");
    assert_eq!((&events["rows"], &events["growth"]), (&json!(1000), &Value::Null), "{events}");
}
