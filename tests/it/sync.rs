//! All services in one run, and the pace: activity, upcoming meetings, budgets, and non-changes.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::CALENDAR;

const ANN: &str = "user00000@example.com";

/// Users with some items in each service, synced once.
fn synced(users: u32) -> World {
    let world = World::empty();
    world.sim.generate(users, 5);
    world.sim.admin("drive/generate", json!({ "files": 3, "seed": 7 }));
    world.sim.admin("mail/generate", json!({ "messages": 40, "seed": 7 }));
    world.import();
    world.syncctl(&["sync", "cron"]).expect(0);
    world
}

fn sync(world: &World, arguments: &[&str]) -> Value {
    world.syncctl(&[&["sync", "--json"], arguments].concat()).expect(0).json()
}

/// The explanation of a service's stream.
fn explained(world: &World, service: &str, kind: &str) -> Value {
    let all = sync(world, &["explain", ANN]);
    all.as_array().into_iter().flatten().find(|one| one["service"] == service && one["kind"] == kind).expect("the stream").clone()
}

#[test]
fn one_run_polls_every_service_and_each_has_its_rows() {
    let world = synced(3);
    for (table, total) in [("calendar", "total_users"), ("drive", "total_files"), ("gmail", "total_users")] {
        let rows = world.query(&format!("SELECT status, {total} FROM {table}_cron_results"));
        let rows: Vec<(String, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(rows.len(), 1, "{table}: {rows:?}");
        assert_eq!(rows[0].0, "completed", "{table}");
    }
    world.assert_in_step();
    for table in ["drive_files", "gmail_messages"] {
        assert!(world.rows(table) > 0, "{table}");
    }
    world.sim.reset_ledger();
    let again = sync(&world, &["cron", "--force"]);
    let calls: Vec<(&str, u64)> = again["runs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|run| (run["service"].as_str().expect("a name"), run["report"]["api_calls"].as_u64().expect("calls")))
        .collect();
    // Lists and feeds: each service counts its own calls although all run together.
    assert_eq!(calls, [("calendar", 6), ("drive", 6), ("gmail", 3)], "{again:#}");
    let summaries = world.query("SELECT summary_data FROM sync_cron_summaries ORDER BY timestamp");
    assert_eq!((summaries.len(), &summaries[1].get::<_, Value>(0)["execution_id"]), (2, &again["execution_id"]));
}

#[test]
fn a_service_that_fails_or_is_busy_stops_no_other() {
    let world = synced(2);
    world.sim.fault(json!({ "fault": "access_not_configured", "probability": 1.0, "method": "history.list" }));
    world.lock_job("drive cron");
    let output = world.syncctl(&["sync", "cron", "--force", "--json"]).expect(1);
    let run = output.json();
    let status = |index: usize| run["runs"][index]["report"]["status"].as_str().expect("a status").to_owned();
    assert_eq!([status(0), status(1), status(2)], ["completed", "skipped", "failed"], "{run:#}");
    assert!(
        output.stderr.contains("gmail") && !output.stderr.contains("drive"),
        "a skipped one is not an error: {}",
        output.stderr
    );
    world.sim.clear_faults();
    world.unlock_jobs();
    let user = sync(&world, &["user", ANN]);
    assert!(user["runs"].as_array().into_iter().flatten().all(|run| run["report"]["total_users"] == 1), "{user:#}");
}

#[test]
fn activity_makes_streams_due_earlier_and_explain_shows_it() {
    let world = synced(1);
    // The wait after a first pass is random, half an hour or more, which may be as early as activity would make it.
    world.execute("UPDATE streams SET due_at = polled_at + interval '1 hour' WHERE kind = 'events'");
    let before = explained(&world, "calendar", "events");
    // A minimum below which activity shows, and enough changes not to be at the maximum.
    world.execute("UPDATE streams SET change_mass = 5, change_shape = NULL WHERE kind = 'events'");
    let recorded = sync(&world, &["activity", ANN, "calendar_view"]);
    assert!(recorded["advanced"].as_u64() >= Some(1), "{recorded}");
    let after = explained(&world, "calendar", "events");
    assert!(after["due_at"].as_str() < before["due_at"].as_str(), "{before:#} {after:#}");
    assert!((after["weight"].as_f64().expect("a weight") - 6.0).abs() < 0.1, "{after:#}");
    let reason = after["reason"].as_str().expect("words");
    assert!(reason.contains("active ") && reason.contains(" s ago (x6.0)"), "{after:#}");
    // An hour later half of it is left, and a weaker activity does not reduce it.
    world.execute("UPDATE streams SET weight_at = weight_at - interval '1 hour'; UPDATE user_activity SET last_at = last_at - interval '1 hour'");
    sync(&world, &["activity", ANN, "general"]);
    let later = explained(&world, "calendar", "events");
    assert!((later["weight"].as_f64().expect("a weight") - 3.5).abs() < 0.1, "{later:#}");
    let list = explained(&world, "calendar", "calendar_list");
    assert!(list["reason"].as_str().expect("words").contains("a fixed interval"), "{list:#}");
    world.syncctl(&["sync", "activity", "nobody@example.com", "general"]).expect(2);
    world.syncctl(&["sync", "activity", ANN, "sleeping"]).expect(2);
}

/// All of syncctl's own work, repeated.
#[test]
fn syncctls_own_work_is_no_change_and_no_activity() {
    let mut world = synced(2);
    let known = |world: &World| {
        let rows = world.query(
            "SELECT s.id, change_mass * exp(extract(epoch FROM change_mass_at - timestamptz '2026-01-01')::float8 * ln(2) / (3 * 86400)), weight
             FROM streams s ORDER BY s.id",
        );
        rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, f64>(1), row.get::<_, f64>(2))).collect::<Vec<_>>()
    };
    let before = known(&world);
    world.set("SYNCCTL_PUSH_ADDRESS", "http://127.0.0.1:9/push");
    for arguments in [
        &["sync", "cron", "--force"][..],
        &["calendar", "renew-watches"],
        &["drive", "renew-watches"],
        &["calendar", "poll", ANN],
        &["gmail", "batch-poll"],
        &["sync", "user", ANN],
        &["channels", "stop", "--all"],
        &["sync", "metrics"],
        &["sync", "explain", ANN],
    ] {
        world.syncctl(arguments).expect(0);
    }
    let after = known(&world);
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.0, before.2), (after.0, after.2));
        assert!((before.1 - after.1).abs() <= 1e-6 * before.1.abs(), "stream {}: {} became {}", before.0, before.1, after.1);
    }
    assert_eq!(world.rows("user_activity"), 0);
    // A change by another client counts.
    world.sim.churn(20, 5);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert_ne!(known(&world), after);
}

#[test]
fn a_calendar_with_a_meeting_soon_is_polled_more_often_also_when_it_is_one_of_a_series() {
    let world = World::of(&CALENDAR, 2, 0);
    world.sync_all().expect(0);
    let at = |minutes: i64| (chrono::Utc::now() + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
    let meeting = |start: i64| {
        json!({ "id": "meeting", "summary": "Weekly sync", "start": { "dateTime": at(start), "timeZone": "UTC" },
                "end": { "dateTime": at(start + 30), "timeZone": "UTC" } })
    };
    world.sim.admin("events", json!({ "user": ANN, "calendar": "primary", "event": meeting(40) }));
    // A series that began four weeks ago has an occurrence in 80 minutes.
    let mut series = meeting(80 - 4 * 7 * 24 * 60);
    series["recurrence"] = json!(["RRULE:FREQ=WEEKLY"]);
    world.sim.admin("events", json!({ "user": "user00001@example.com", "calendar": "primary", "event": series }));
    world.sync_all().expect(0);
    world.execute("UPDATE streams SET due_at = now() + interval '1 hour', change_mass = 0, change_shape = NULL");
    world.syncctl(&["calendar", "cron"]).expect(0);
    let due = |user: &str| {
        world.query(&format!(
            "SELECT extract(epoch FROM s.due_at - s.polled_at)::float8 / 60 FROM streams s JOIN users u ON u.id = s.user_id
             WHERE u.email = '{user}' AND s.kind = 'events'"
        ))[0]
            .get::<_, f64>(0)
    };
    let (single, of_series) = (due(ANN), due("user00001@example.com"));
    assert!((4.9..=5.5).contains(&single), "40 minutes before the meeting polls are {single} minutes apart");
    assert!((9.0..=10.5).contains(&of_series), "80 minutes before it {of_series}");
    let said = explained(&world, "calendar", "events");
    assert!(said["reason"].as_str().expect("words").contains("a meeting begins in 3"), "{said:#}");
}

#[test]
fn polls_together_keep_the_budget_and_one_user_keeps_theirs() {
    let mut world = World::of(&CALENDAR, 40, 1);
    world.set("SYNCCTL_CALENDAR_MAX_INTERVAL", "6h");
    let crowd = "crowd@example.com";
    world.sim.admin("users", json!({ "email": crowd }));
    for number in 0..60 {
        world
            .sim
            .admin("calendars", json!({ "user": crowd, "id": format!("c{number}@group.calendar.google.com"), "selected": true }));
    }
    world.import();
    world.sync_all().expect(0);
    world.execute("UPDATE streams SET change_mass = 20, change_mass_at = now(), change_shape = NULL, change_since = now() - interval '30 days'");
    world.set("SYNCCTL_PACE_REPRICE_EVERY", "1ms");
    let price = |world: &World| {
        world.syncctl(&["calendar", "cron"]).expect(0);
        sync(world, &["metrics"])["projects"][0].clone()
    };
    let ample = price(&world);
    assert_eq!(ample["price"], 0.05, "{ample:#}");
    world.set("SYNCCTL_PACE_CALLS_PER_DAY", "2000");
    let tight = price(&world);
    let polls = tight["polls"].as_f64().expect("polls") * 24.0;
    assert!((polls / 2000.0 - 1.0).abs() < 0.02, "{polls} polls a day\n{tight:#}");
    assert!(tight["price"].as_f64() > Some(0.05), "{tight:#}");
    assert!(explained(&world, "calendar", "events")["reason"].as_str().expect("words").contains("times as expensive"));
    // A user with sixty calendars costs more than the others.
    world.set("SYNCCTL_PACE_USER_CALLS_PER_DAY", "700");
    price(&world);
    let dearer = world.rows(&format!(
        "pace_user_prices p JOIN users u ON u.id = p.user_id JOIN pace_prices a USING (service)
         WHERE u.email = '{crowd}' AND p.price > a.price"
    ));
    assert_eq!((dearer, world.rows("pace_user_prices")), (1, 1));
    // Even the longest intervals exceed this.
    world.set("SYNCCTL_PACE_CALLS_PER_DAY", "10");
    let output = world.syncctl(&["calendar", "cron", "-v"]).expect(0);
    assert!(output.stderr.contains("polls exceed the budget"), "{}", output.stderr);
}

#[test]
fn a_fleet_teaches_what_to_assume_of_its_streams_at_most_once_an_hour() {
    let mut world = World::of(&CALENDAR, 40, 1);
    world.sync_all().expect(0);
    world.execute("UPDATE streams SET change_mass = 0, change_mass_at = now(), change_shape = NULL, change_since = now() - interval '30 days'");
    world.execute("DELETE FROM pace_priors");
    let a_day = |world: &World| explained(world, "calendar", "events")["changes_per_day"].as_f64().expect("a rate");
    let assumed = a_day(&world);
    world.set("SYNCCTL_PACE_REPRICE_EVERY", "1ms");
    world.syncctl(&["calendar", "cron"]).expect(0);
    // Lists of calendars have a fixed interval, for which nothing is assumed.
    let learnt =
        world.query("SELECT kind, streams, changes / hours, fitted_at::text FROM pace_priors WHERE service = 'calendar'");
    assert_eq!((learnt.len(), learnt[0].get::<_, &str>(0), learnt[0].get::<_, i64>(1)), (1, "events", 40));
    let rate: f64 = learnt[0].get(2);
    assert!(rate < 0.03, "{rate} changes an hour, learnt from streams without changes");
    let silent = a_day(&world);
    assert!(silent < assumed / 2.0, "{silent} changes a day instead of {assumed}");
    world.set("SYNCCTL_PACE_REPRICE_EVERY", "1h");
    world.syncctl(&["calendar", "cron"]).expect(0);
    let later = world.query("SELECT fitted_at::text FROM pace_priors WHERE service = 'calendar'");
    assert_eq!(later[0].get::<_, &str>(0), learnt[0].get::<_, &str>(3));
    // What was stored wrongly is not believed.
    world.execute("UPDATE pace_priors SET hours = 'NaN', followers = '{}'");
    assert!((a_day(&world) / assumed - 1.0).abs() < 0.05, "{}", a_day(&world));
}
