//! Each fault of the error table, alone and combined: no loss, no duplicates, the right class recorded.

mod lasting;

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL, Service};

/// A temporary fault: it may cost retries or a failed stream, never data.
#[track_caller]
fn a_passing_fault_loses_nothing(service: &'static Service, fault: &str, extra: Value) {
    let mut world = World::of(service, 6, 20);
    world.sync_all().expect(0);
    world.churn(40, 5);
    // Shorter than a slow answer takes.
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "500ms");
    // The first call deterministically, the others by chance.
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
        assert_eq!(world.quarantined(), 0);
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

/// Attendee separately: it has one limit, no cursor that expires, and keys instead of tokens (`attendee/keys.rs`); missing answers are in
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
