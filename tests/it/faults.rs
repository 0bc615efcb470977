//! Each fault of the error table, alone and mixed: nothing lost, nothing doubled, the right class recorded.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::answer::{answer, with};
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL, Service};

/// A fault that passes: it may cost retries or a failed stream, never data.
#[track_caller]
fn a_passing_fault_loses_nothing(service: &'static Service, fault: &str, extra: Value) {
    let mut world = World::of(service, 6, 20);
    world.sync_all().expect(0);
    world.churn(40, 5);
    // Shorter than a slow answer takes.
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "500ms");
    // The first call for certain, the others by chance.
    let whens = [json!({ "at_call": 1 }), json!({ "probability": 0.3, "times": 20 })];
    for (when, method) in whens.iter().flat_map(|when| service.struck.iter().map(move |method| (when, method))) {
        let mut body = json!({ "fault": fault, "method": method, "user": service.whose });
        for (key, value) in extra.as_object().into_iter().flatten().chain(when.as_object().into_iter().flatten()) {
            body[key] = value.clone();
        }
        world.sim.fault(body);
    }
    let run = world.sync_all();
    let faults = world.sim.get("faults");
    world.sim.clear_faults();
    assert!([0, 1].contains(&run.code), "{run:#?}");
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
    for (nth, method) in service.struck.iter().enumerate() {
        assert_eq!(faults[nth]["hits"], 1, "the fault never struck {method}: {faults}");
    }
}

macro_rules! passing {
    ($($name:ident: $fault:literal $(, $extra:tt)?;)+) => { $(
        #[test]
        fn $name() {
            #[allow(unused_mut, unused_assignments)]
            let mut extra = json!({});
            $(extra = json!($extra);)?
            a_passing_fault_loses_nothing(SERVICE, $fault, extra);
        }
    )+ };
}

/// The same tests, for each service.
macro_rules! for_each_service {
    ($($tests:tt)*) => {
        mod calendar {
            use super::*;
            static SERVICE: &Service = &CALENDAR;
            $($tests)*
        }
        mod gmail {
            use super::*;
            static SERVICE: &Service = &GMAIL;
            $($tests)*
        }
        mod drive {
            use super::*;
            static SERVICE: &Service = &DRIVE;
            $($tests)*
        }
    };
}

/// A fault that stays: every stream fails with its class, and the run says so.
#[track_caller]
fn a_lasting_fault_is_named(fault: &str, method: &str, class: &str, code: i32) -> World {
    let mut world = World::with_users(2, 5);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "500ms");
    if method == "token" {
        world.execute("UPDATE accounts SET access_token = NULL, token_expires_at = NULL");
    }
    world.sim.fault(json!({ "fault": fault, "probability": 1.0, "method": method, "seconds": 60 }));
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let run = world.syncctl(&["calendar", "batch-poll", "--json", &users[0], &users[1]]);
    assert_eq!(run.code, code, "{run:#?}");
    let errors = run.json()["errors"].clone();
    assert!(errors[class]["count"].as_u64() > Some(0), "{errors}");
    let row = &world.query("SELECT status, error_message FROM calendar_cron_results ORDER BY start_time DESC LIMIT 1")[0];
    let (status, message): (String, Option<String>) = (row.get(0), row.get(1));
    assert!(["partial", "failed"].contains(&status.as_str()), "{status}");
    assert!(message.as_deref().is_some_and(|message| message.contains(class) && !message.contains('@')), "{message:?}");
    assert!(!run.stderr.contains('@'), "an address in the log: {}", run.stderr);
    world.assert_no_leftovers();
    world
}

#[test]
fn a_missing_scope_stops_the_stream_until_a_check_finds_it_mended() {
    let world = a_lasting_fault_is_named("insufficient_permissions", "events.list", "scope_missing", 1);
    assert_eq!(world.count("SELECT count(*) FROM streams WHERE state = 'stopped' AND due_at > now() + interval '20 hours'"), 2);
    world.sim.clear_faults();
    world.syncctl(&["accounts", "check"]).expect(0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(world.count("SELECT count(*) FROM streams WHERE service = 'calendar' AND state = 'active'"), 4);
}

#[test]
fn a_disabled_api_stops_the_stream() {
    a_lasting_fault_is_named("access_not_configured", "events.list", "api_disabled", 1);
}

#[test]
fn a_lasting_server_error_is_transient_and_the_cursor_stays() {
    let world = a_lasting_fault_is_named("server_500", "events.list", "transient", 1);
    assert_eq!(world.count("SELECT count(*) FROM streams WHERE kind = 'events' AND cursor IS NOT NULL AND failures = 1"), 2);
}

#[test]
fn a_bad_request_without_a_token_in_it_is_permanent() {
    let world = a_lasting_fault_is_named("bad_request_400", "calendarList.list", "permanent", 1);
    assert_eq!(world.count("SELECT count(*) FROM streams WHERE failed_class = 'permanent'"), 2);
}

#[test]
fn a_used_up_day_pauses_the_project_however_it_is_worded() {
    for fault in ["daily_limit", "daily_quota_403", "daily_quota_429"] {
        let world = a_lasting_fault_is_named(fault, "events.list", "daily_quota", 1);
        assert_eq!(world.count("SELECT count(*) FROM quota_pauses WHERE until > now()"), 1, "{fault}");
        world.sim.reset_ledger();
        world.sync_all().expect(0);
        assert_eq!(world.sim.ledger()["total"], 0, "{fault}: a paused project is not called");
    }
}

#[test]
fn a_limit_of_one_user_makes_that_user_wait_and_nobody_else() {
    let world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.churn(30, 1);
    let user = world.sim.users().into_iter().next().expect("a user");
    world.sim.fault(with(answer("calendar-quotaExceeded.http"), json!({ "method": "events.list", "user": user })));
    world.sim.reset_ledger();
    let run = world.sync_all().expect(1).json();
    assert_eq!((&run["status"], &run["errors"]["user_quota"]["count"]), (&json!("partial"), &json!(1)), "{run}");
    assert_eq!(world.sim.ledger()["by_user"][&user]["events.list"], 1, "asked again at once");
    assert_eq!(world.count("SELECT count(*) FROM quota_pauses"), 0);
    let waits = "SELECT count(DISTINCT user_id) FROM streams WHERE service = 'calendar' AND failed_class = 'user_quota' AND due_at > now() + interval '30 minutes'";
    assert_eq!(world.count(waits), 1);
    world.sim.clear_faults();
    // As if the longest wait had passed.
    world.execute("UPDATE streams SET due_at = due_at - interval '8 hours'");
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
}

#[test]
fn a_google_that_never_answers_is_transient() {
    // What went together waits together; the next time those that can be answered are.
    let world = a_lasting_fault_is_named("slow_headers", "events.list", "transient", 1);
    assert_eq!(world.count("SELECT count(*) FROM streams WHERE failed_message LIKE '%timed out%'"), 2);
}

#[test]
fn a_token_endpoint_that_stutters_condemns_no_grant() {
    for fault in ["server_500", "rate_limit_429", "cut_body", "cut_json", "slow_headers"] {
        let class = if fault == "rate_limit_429" { "rate_limited" } else { "transient" };
        let code = if fault == "rate_limit_429" { 1 } else { 69 };
        let world = a_lasting_fault_is_named(fault, "token", class, code);
        assert_eq!(world.count("SELECT count(*) FROM accounts WHERE state = 'revoked'"), 0, "{fault}");
        world.sim.clear_faults();
        world.sync_all().expect(0);
        world.assert_in_step();
    }
}

#[test]
fn a_revoked_grant_is_told_once_and_not_called_again_until_it_is_imported_anew() {
    let world = a_lasting_fault_is_named("invalid_grant", "token", "auth_revoked", 77);
    assert_eq!(world.count("SELECT count(*) FROM accounts WHERE state = 'revoked'"), 2);
    world.sim.reset_ledger();
    let again = world.sync_all().expect(0);
    assert!(!again.stderr.contains("revoked"), "told twice: {}", again.stderr);
    assert_eq!((&world.sim.ledger()["total"], &world.sim.ledger()["oauth"]["refreshes"]), (&json!(0), &json!(0)));
    world.sim.clear_faults();
    world.import();
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_calendar_that_is_gone_is_named_once_and_then_left_alone() {
    for fault in ["not_found", "gone_deleted"] {
        let world = a_lasting_fault_is_named(fault, "events.list", "gone", 1);
        world.sim.clear_faults();
        assert_eq!(world.count("SELECT count(*) FROM streams WHERE state = 'removed'"), 2);
        world.sync_all().expect(0);
    }
}

#[test]
fn an_unreachable_google_ends_with_69() {
    let mut world = World::with_users(2, 5);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    world.set("SYNCCTL_GOOGLE_ROOT", format!("http://127.0.0.1:{port}"));
    let run = world.sync_all().expect(69);
    assert!(run.stderr.contains("could not connect"), "{}", run.stderr);
    world.assert_no_leftovers();
}

fn every_fault_at_once_at_twenty_percent(service: &'static Service) {
    let world = World::of(service, 20, 40);
    for fault in service.mixed {
        world.sim.fault(json!({ "fault": fault, "user": service.whose, "probability": 0.2 / service.mixed.len() as f64 }));
    }
    for seed in 0..8 {
        let run = world.sync_all();
        assert!([0, 1].contains(&run.code), "{run:#?}");
        world.churn(60, seed);
    }
    world.sim.clear_faults();
    (service.finish)(&world);
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[track_caller]
fn pages_that_name_everything_twice_are_taken_once_by(service: &'static Service) {
    let world = World::of(service, 2, 20);
    world.sim.fault(json!({ "fault": "repeated", "user": service.whose, "probability": 1.0 }));
    for seed in 0..3 {
        world.sync_all().expect(0);
        assert_eq!(world.count("SELECT count(*) FROM quarantined_items"), 0);
        world.churn(30, seed);
    }
    world.expire();
    world.sync_all().expect(0);
    world.sim.clear_faults();
    (service.finish)(&world);
    world.sync_all().expect(0);
    world.assert_in_step();
}

for_each_service! {
    passing! {
    a_refused_token_is_replaced: "auth_error";
    a_403_rate_limit_is_waited_out: "rate_limit_403", { "retry_after": 1, "hint": "header" };
    a_429_rate_limit_is_waited_out: "rate_limit_429", { "retry_after": 1, "hint": "message" };
    a_user_rate_limit_is_waited_out: "user_rate_limit";
    a_quota_metric_message_is_a_rate_limit: "quota_metric";
    an_expired_cursor_is_resynced: "cursor_expired";
    an_updated_min_that_is_too_long_ago_is_resynced: "cursor_expired_updated_min";
    a_408_is_tried_again: "timeout_408";
    a_500_is_tried_again: "server_500";
    a_404_page_of_the_front_end_is_tried_again: "not_found_page";
    a_502_page_of_the_front_end_is_tried_again: "bad_gateway_502";
    a_503_is_tried_again: "unavailable_503";
    a_504_is_tried_again: "gateway_timeout_504";
    a_reset_connection_is_tried_again: "connection_reset";
    a_cut_body_is_tried_again: "cut_body";
    a_cut_json_is_tried_again: "cut_json";
    an_answer_that_does_not_begin_is_tried_again: "slow_headers", { "seconds": 60 };
    an_answer_that_does_not_end_is_tried_again: "slow_body", { "seconds": 60 };
}

    #[test]
    fn every_fault_at_once_at_twenty_percent_loses_and_doubles_nothing() {
        every_fault_at_once_at_twenty_percent(SERVICE);
    }

    #[test]
    fn pages_that_name_everything_twice_are_taken_once() {
        pages_that_name_everything_twice_are_taken_once_by(SERVICE);
    }
}

/// As in a container that holds nothing but the binary.
#[test]
fn a_machine_without_root_certificates_is_told_what_to_install() {
    let mut world = World::with_users(1, 1);
    world.set("SYNCCTL_GOOGLE_ROOT", world.sim.url.replacen("http:", "https:", 1));
    let none = tempfile::NamedTempFile::new().expect("a file");
    world.set("SSL_CERT_FILE", none.path().to_str().expect("a path"));
    let run = world.sync_all().expect(1);
    assert!(run.stderr.contains("install ca-certificates"), "{}", run.stderr);
}

/// Attendee's own: it has one limit, no cursor that expires, and keys in place of tokens (`attendee/keys.rs`); answers that do not begin are in
/// `attendee/lasting.rs`.
mod attendee {
    use super::*;
    static SERVICE: &Service = &ATTENDEE;

    passing! {
    a_429_is_waited_out: "rate_limit_429", { "retry_after": 1 };
    a_408_is_tried_again: "timeout_408";
    a_500_is_tried_again: "server_500";
    a_404_page_of_the_front_end_is_tried_again: "not_found_page";
    a_502_page_of_the_front_end_is_tried_again: "bad_gateway_502";
    a_503_is_tried_again: "unavailable_503";
    a_504_is_tried_again: "gateway_timeout_504";
    a_reset_connection_is_tried_again: "connection_reset";
    a_lost_answer_is_looked_for: "answer_lost";
    a_cut_body_is_tried_again: "cut_body";
    a_cut_json_is_tried_again: "cut_json";
    an_answer_that_does_not_end_is_tried_again: "slow_body", { "seconds": 60 };
    }

    #[test]
    fn every_fault_at_once_at_twenty_percent_loses_and_doubles_nothing() {
        every_fault_at_once_at_twenty_percent(SERVICE);
    }

    #[test]
    fn pages_that_name_everything_twice_are_taken_once() {
        pages_that_name_everything_twice_are_taken_once_by(SERVICE);
    }
}
