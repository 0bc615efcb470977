//! The main job without faults.

use serde_json::json;

use crate::support::World;

#[test]
fn two_hundred_users_are_stored_and_an_idle_run_costs_one_call_a_stream() {
    let mut world = World::with_users(200, 50);
    // The statements of a run that takes long, such as heartbeats, are not those of its streams.
    world.set("SYNCCTL_ENGINE_LEASE", "1h");
    world.set("SYNCCTL_ENGINE_LOOK_EVERY", "1h");
    let first = world.syncctl(&["calendar", "cron", "--json"]).expect(0).json();
    assert_eq!(first["status"], "completed");
    assert_eq!(first["total_users"], 200);
    world.assert_in_step();
    assert_eq!(world.sim.truth().len(), 200 * 50);

    world.sim.reset_ledger();
    world.reset_statements();
    let second = world.sync_all().expect(0).json();
    let streams = second["streams"].as_u64().expect("a number");
    assert_eq!(second["idle_streams"].as_u64(), Some(streams));
    assert_eq!(streams, 400, "a list and a calendar for each user");
    assert_eq!(world.sim.ledger()["total"].as_u64(), Some(streams), "{}", world.sim.ledger());
    let statements = world.statements();
    let per_stream = statements as f64 / streams as f64;
    // Where the search path is not ours alone, each statement has a BEGIN, a SET and a COMMIT in the same round trip.
    let is_alone = world.count("SELECT cardinality(current_schemas(false))::bigint") == 1;
    let most = if is_alone { 0.05 } else { 0.2 };
    assert!(per_stream <= most, "{statements} statements for {streams} idle streams");
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn changes_arrive_and_nothing_is_applied_twice() {
    let world = World::with_users(10, 30);
    world.sync_all().expect(0);
    for seed in 0..5 {
        world.sim.churn(40, seed);
        let report = world.sync_all().expect(0).json();
        assert_eq!(report["status"], "completed");
        world.assert_in_step();
    }
    let again = world.sync_all().expect(0).json();
    let changes = &again["changes"]["events"];
    assert_eq!((&changes["created"], &changes["updated"], &changes["deleted"]), (&json!(0), &json!(0), &json!(0)));
}

#[test]
fn a_run_that_finds_nothing_due_makes_no_call_and_is_recorded() {
    let world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    let report = world.syncctl(&["calendar", "cron", "--json"]).expect(0).json();
    assert_eq!(report["streams"], 0);
    assert_eq!(world.sim.ledger()["total"], 0);
    assert_eq!(world.rows("calendar_cron_results WHERE status = 'completed' AND total_users = 0"), 1);
    world.assert_no_leftovers();
}

#[test]
fn a_dry_run_before_the_first_sync_asks_for_the_lists_once() {
    let world = World::with_users(5, 5);
    let run = world.syncctl(&["calendar", "cron", "--dry-run", "--max-duration", "20s", "--json"]).expect(0).json();
    assert_eq!((&run["streams"], &run["stopped_early"]), (&json!(5), &json!(null)), "{run}");
    assert_eq!(world.rows("streams WHERE cursor IS NOT NULL OR kind = 'events'"), 0);
}

#[test]
fn a_dry_run_says_what_would_change_and_writes_nothing() {
    let world = World::with_users(5, 20);
    world.sync_all().expect(0);
    world.sim.churn(25, 3);
    let dump = |world: &World| -> Vec<String> {
        [
            "users",
            "accounts",
            "streams",
            "calendars",
            "calendar_events",
            "meetings",
            "calendar_cron_results",
            "runs",
            "quota_usage",
            "quota_minutes",
        ]
        .iter()
        .map(|table| {
            let row =
                &world.query(&format!("SELECT coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') FROM {table} t"))[0];
            row.get(0)
        })
        .collect()
    };
    let before = dump(&world);
    let rehearsal = world.syncctl(&["calendar", "cron", "--force", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(dump(&world), before);
    let real = world.sync_all().expect(0).json();
    assert_eq!(rehearsal["changes"], real["changes"]);
    assert!(real["changes"]["events"]["updated"].as_u64() > Some(0));
}

#[test]
fn a_list_that_hangs_holds_up_no_other_calendar() {
    let world = World::with_users(3, 5);
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "stall", "method": "calendarList.list", "user": user }));
    let mut run = world.spawn(&["calendar", "cron"]);
    world.wait_for_stall();
    // The events of the other two arrive while the list is still pending.
    while world.rows("streams WHERE kind = 'events' AND cursor IS NOT NULL") < 2 {
        assert!(run.try_wait().expect("a child").is_none(), "it ended before the list was answered");
        std::thread::yield_now();
    }
    assert_eq!(world.rows("streams WHERE kind = 'calendar_list' AND claimed_by IS NOT NULL"), 1);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    assert!(run.wait().expect("the run ends").success());
    world.assert_in_step();
}

#[test]
fn a_dry_run_that_needs_new_tokens_ends_with_two_connections() {
    let mut world = World::with_users(20, 5);
    world.sync_all().expect(0);
    world.sim.churn(10, 3);
    world.forget_access_tokens();
    world.set("SYNCCTL_DB_POOL_SIZE", "2");
    let run = world.syncctl(&["calendar", "cron", "--force", "--dry-run", "--max-duration", "60s", "--json"]).expect(0).json();
    assert_eq!((&run["streams"], &run["stopped_early"]), (&json!(40), &json!(null)), "{run}");
}

#[test]
fn a_cancelled_meeting_with_a_bot_is_kept_and_a_moved_one_keeps_its_row_and_bot_status() {
    let world = World::empty();
    world.sim.admin("users", json!({ "email": "ann@example.com" }));
    let event = |id: &str, hour: u32| {
        json!({ "id": id, "status": "confirmed", "summary": "Weekly sync",
          "start": { "dateTime": format!("{}T{hour:02}:00:00Z", tomorrow()) }, "end": { "dateTime": format!("{}T{hour:02}:30:00Z", tomorrow()) } })
    };
    for id in ["withbot", "empty", "moved"] {
        world.sim.admin("events", json!({ "user": "ann@example.com", "calendar": "primary", "event": event(id, 9) }));
    }
    world.import();
    world.sync_all().expect(0);
    assert_eq!(world.rows("meetings"), 3);
    world.execute("UPDATE meetings SET bot_id = 'bot_1', bot_status = 'bot_scheduled' WHERE event_id IN ('withbot', 'moved')");
    for id in ["withbot", "empty"] {
        world.sim.delete_event("ann@example.com", id);
    }
    let url = format!("{}/admin/events", world.sim.url);
    ureq::put(url)
        .send_json(json!({ "user": "ann@example.com", "calendar": "primary", "event": event("moved", 15) }))
        .expect("moving an event");
    world.sync_all().expect(0);
    let rows = world.query("SELECT event_id, event_status, bot_status, extract(hour FROM start_at AT TIME ZONE 'UTC')::int FROM meetings ORDER BY event_id");
    let rows: Vec<(String, String, String, i32)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    assert_eq!(
        rows,
        [
            ("moved".into(), "confirmed".into(), "bot_scheduled".into(), 15),
            ("withbot".into(), "cancelled".into(), "bot_scheduled".into(), 9),
        ]
    );
}

fn tomorrow() -> String {
    (chrono::Utc::now() + chrono::Duration::days(1)).format("%F").to_string()
}

#[test]
fn batch_poll_skips_a_bad_id_and_polls_the_others() {
    let world = World::with_users(3, 5);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let output = world.syncctl(&["calendar", "batch-poll", &users[0], "nobody@example.com", &users[1], "--json"]);
    assert_eq!(output.code, 1, "{output:#?}");
    let report = output.json();
    assert_eq!(report["status"], "partial");
    assert_eq!((&report["successful_users"], &report["failed_users"]), (&json!(2), &json!(1)));
    assert!(output.stderr.contains("no user nobody@example.com"));
}

#[test]
fn smart_poll_says_why_it_skips_and_force_polls_anyway() {
    let world = World::with_users(1, 5);
    let user = world.first_user();
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    let skipped = world.syncctl(&["calendar", "smart-poll", &user]).expect(0);
    assert!(skipped.stdout.contains("due in") && skipped.stdout.contains("last polled"), "{}", skipped.stdout);
    assert_eq!(world.sim.ledger()["total"], 0);
    world.syncctl(&["calendar", "smart-poll", &user, "--force"]).expect(0);
    assert_eq!(world.sim.ledger()["total"], 2);
}
