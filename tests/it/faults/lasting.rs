//! Persistent faults: each stream fails with its class, and the run reports it.

use serde_json::json;

use crate::support::World;
use crate::support::answer::{answer, with};
use crate::support::world::runs::LastResult;

/// A persistent fault: every stream fails with its class, and the run reports it.
#[track_caller]
fn a_lasting_fault_is_named(fault: &str, method: &str, class: &str, code: i32) -> World {
    let mut world = World::with_users(2, 5);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "500ms");
    if method == "token" {
        world.forget_access_tokens();
    }
    world.sim.fault(json!({ "fault": fault, "probability": 1.0, "method": method, "seconds": 60 }));
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let run = world.syncctl(&["calendar", "batch-poll", "--json", &users[0], &users[1]]);
    assert_eq!(run.code, code, "{run:#?}");
    let errors = run.json()["errors"].clone();
    assert!(errors[class]["count"].as_u64() > Some(0), "{errors}");
    let LastResult { status, error } = world.last_result("calendar");
    assert!(["partial", "failed", "paused"].contains(&status.as_str()), "{status}");
    assert!(error.contains(class) && !error.contains('@'), "{error}");
    assert!(!run.stderr.contains('@'), "an address in the log: {}", run.stderr);
    world.assert_no_leftovers();
    world
}

#[test]
fn a_missing_scope_stops_the_stream_until_a_check_finds_it_granted() {
    let world = a_lasting_fault_is_named("insufficient_permissions", "events.list", "scope_missing", 1);
    assert_eq!(world.streams_in("stopped"), 2);
    // It has persisted for a month.
    world.execute("UPDATE streams SET failing_since = failing_since - interval '30 days', due_at = now() WHERE failures > 0");
    world.syncctl(&["calendar", "cron"]).expect(1);
    assert_eq!(world.rows("streams WHERE state = 'stopped' AND due_at > now() + interval '20 hours'"), 2);
    world.sim.clear_faults();
    world.syncctl(&["accounts", "check"]).expect(0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(world.rows("streams WHERE service = 'calendar' AND state = 'active'"), 4);
}

#[test]
fn a_disabled_api_stops_the_stream() {
    a_lasting_fault_is_named("access_not_configured", "events.list", "api_disabled", 1);
}

#[test]
fn a_lasting_server_error_is_transient_and_the_cursor_stays() {
    let world = a_lasting_fault_is_named("server_500", "events.list", "transient", 1);
    assert_eq!(world.rows("streams WHERE kind = 'events' AND cursor IS NOT NULL AND failures = 1"), 2);
}

#[test]
fn a_bad_request_without_a_token_in_it_is_permanent() {
    let world = a_lasting_fault_is_named("bad_request_400", "calendarList.list", "permanent", 1);
    assert_eq!(world.rows("streams WHERE failed_class = 'permanent'"), 2);
}

#[test]
fn a_used_up_day_pauses_the_project_however_it_is_worded() {
    for fault in ["daily_limit", "daily_quota_403", "daily_quota_429"] {
        let world = a_lasting_fault_is_named(fault, "events.list", "daily_quota", 1);
        assert_eq!(world.quota_pauses(), 1, "{fault}");
        world.sim.reset_ledger();
        assert_eq!(world.sync_all().expect(1).json()["status"], "paused", "{fault}");
        assert_eq!(world.sim.ledger()["total"], 0, "{fault}: a paused project is not called");
    }
}

#[test]
fn a_limit_of_one_user_makes_only_that_user_wait() {
    let world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.churn(30, 1);
    let user = world.first_user();
    world.sim.fault(with(answer("calendar-quotaExceeded.http"), json!({ "method": "events.list", "user": user })));
    world.sim.reset_ledger();
    let run = world.sync_all().expect(1).json();
    assert_eq!((&run["status"], &run["errors"]["user_quota"]["count"]), (&json!("partial"), &json!(1)), "{run}");
    assert_eq!(world.sim.ledger()["by_user"][&user]["events.list"], 1, "called again immediately");
    assert_eq!(world.rows("quota_pauses"), 0);
    let waits = |seconds: u32| {
        let waits = format!(
            "SELECT count(DISTINCT user_id) FROM streams
             WHERE service = 'calendar' AND failed_class = 'user_quota' AND due_at > failed_at + {seconds} * interval '1 second'"
        );
        world.count(&waits)
    };
    assert_eq!((waits(15), waits(60)), (1, 0));
    // It has persisted for hours.
    world.execute("UPDATE streams SET failing_since = failing_since - interval '3 hours', due_at = now() WHERE failures > 0");
    world.syncctl(&["calendar", "cron"]).expect(1);
    assert_eq!((waits(15 * 60), waits(30 * 60)), (1, 0));
    world.sim.clear_faults();
    // As if the longest wait had passed.
    world.execute("UPDATE streams SET due_at = due_at - interval '8 hours'");
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
}

#[test]
fn a_google_that_never_answers_is_transient() {
    // Calls in one batch wait together; the next time, those that can be answered are.
    let world = a_lasting_fault_is_named("slow_headers", "events.list", "transient", 1);
    assert_eq!(world.rows("streams WHERE failed_message LIKE '%timed out%'"), 2);
}

#[test]
fn a_token_endpoint_that_stutters_condemns_no_grant() {
    for fault in ["server_500", "rate_limit_429", "cut_body", "cut_json", "slow_headers"] {
        let class = if fault == "rate_limit_429" { "rate_limited" } else { "transient" };
        let code = if fault == "rate_limit_429" { 1 } else { 69 };
        let world = a_lasting_fault_is_named(fault, "token", class, code);
        assert_eq!(world.accounts_in("revoked"), 0, "{fault}");
        world.sim.clear_faults();
        world.sync_all().expect(0);
        world.assert_in_step();
    }
}

#[test]
fn a_revoked_grant_is_reported_in_one_line_and_not_used_until_it_is_imported_again() {
    let world = a_lasting_fault_is_named("invalid_grant", "token", "auth_revoked", 77);
    assert_eq!(world.accounts_in("revoked"), 2);
    world.sim.reset_ledger();
    let again = world.sync_all().expect(77);
    assert!(again.stderr.contains("2 of 2 accounts are refused") && again.stderr.lines().count() == 1, "{}", again.stderr);
    assert_eq!((&world.sim.ledger()["total"], &world.sim.ledger()["oauth"]["refreshes"]), (&json!(0), &json!(0)));
    world.sim.clear_faults();
    world.import();
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_calendar_that_is_gone_for_an_hour_is_left_alone() {
    for fault in ["not_found", "gone_deleted"] {
        let world = a_lasting_fault_is_named(fault, "events.list", "gone", 1);
        world.sim.clear_faults();
        // A single refusal may be a mistake.
        assert_eq!(world.streams_in("removed"), 0);
        world.execute("UPDATE streams SET failing_since = failing_since - interval '1 hour'");
        world.sim.fault(json!({ "fault": fault, "method": "events.list" }));
        world.sync_all().expect(1);
        world.sim.clear_faults();
        assert_eq!(world.streams_in("removed"), 2);
        world.sync_all().expect(0);
    }
}

#[test]
fn an_unreachable_google_ends_with_69() {
    let mut world = World::with_users(2, 5);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    // A port that was free a moment ago: connections are refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    world.set("SYNCCTL_GOOGLE_ROOT", format!("http://127.0.0.1:{port}"));
    let run = world.sync_all().expect(69);
    assert!(run.stderr.contains("could not connect"), "{}", run.stderr);
    world.assert_no_leftovers();
}

/// As in a container with only the binary.
#[test]
fn without_root_certificates_the_message_says_what_to_install() {
    let mut world = World::with_users(1, 1);
    world.sync_all().expect(0);
    world.set("SYNCCTL_GOOGLE_ROOT", world.sim.url.replacen("http:", "https:", 1));
    let none = tempfile::NamedTempFile::new().expect("a file");
    world.set("SSL_CERT_FILE", none.path().to_str().expect("a path"));
    let run = world.sync_all().expect(1);
    assert!(run.stderr.contains("install ca-certificates"), "{}", run.stderr);
}
