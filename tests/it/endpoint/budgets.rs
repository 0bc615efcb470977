//! Budgets shared by all hosts: they are never exceeded, and unused reservations are returned.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use syncctl::error::{Class, Failure};
use syncctl::services::classify::endpoint::Question;

use super::{Desk, candidates};

/// Hosts call in parallel until they are refused, at most this often. Returns the refusals.
fn ask_at_once(desk: &Desk, hosts: usize, most: usize) -> Vec<Failure> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..hosts)
            .map(|_| {
                scope.spawn(move || {
                    let host = desk.host();
                    (0..most).find_map(|_| host.ask_about("The girders come on Monday").err())
                })
            })
            .collect();
        asking.into_iter().filter_map(|host| host.join().expect("a host")).collect()
    })
}

#[test]
fn no_minute_has_more_requests_than_the_settings_allow() {
    let mut desk = Desk::new();
    desk.settings.requests_per_minute = 25;
    let refusals = ask_at_once(&desk, 4, 40);
    assert_eq!(refusals.len(), 4);
    for refusal in &refusals {
        assert_eq!(refusal.class, Class::RateLimited);
        let wait = refusal.retry_after.expect("a wait");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(62), "{refusal}");
    }
    let ledger = desk.ledger();
    let calls = ledger["calls"].as_array().expect("calls");
    let times: Vec<DateTime<Utc>> =
        calls.iter().map(|call| call["at"].as_str().and_then(|at| at.parse().ok()).expect("a time")).collect();
    let in_minute = |from: DateTime<Utc>| times.iter().filter(|at| (0..60).contains(&(**at - from).num_seconds())).count();
    assert!(times.iter().all(|from| in_minute(*from) <= 25), "{times:?}");
    assert!(times.len() >= 25, "{} requests", times.len());
}

#[test]
fn no_day_has_more_tokens_than_the_settings_allow() {
    let mut desk = Desk::new();
    desk.settings.tokens_per_day = 50_000;
    let refusals = ask_at_once(&desk, 4, 400);
    assert_eq!(refusals.len(), 4);
    let midnight = midnight();
    for refusal in &refusals {
        assert_eq!(refusal.class, Class::DailyQuota);
        assert!(refusal.message.contains(&format!("is used up until {midnight}")), "{refusal}");
        assert!(refusal.retry_after.is_some_and(|wait| wait <= Duration::from_secs(24 * 60 * 60)), "{refusal}");
    }
    let ledger = desk.ledger();
    let used = ledger["prompt_tokens"].as_i64().expect("tokens") + ledger["completion_tokens"].as_i64().expect("tokens");
    // The remainder is less than one call per host reserves.
    assert!((36_000..=50_000).contains(&used), "{used} tokens");
    assert_eq!(desk.world.budget_tokens(), used);
    assert_eq!(desk.world.count("SELECT prompt_tokens + completion_tokens FROM model_usage"), used);
    assert_eq!(ledger["by_status"], json!({ "200": ledger["requests"] }), "a request beyond the budget");
}

/// The end of the UTC day, in the format of messages.
fn midnight() -> String {
    let tomorrow = Utc::now().date_naive().succ_opt().expect("a day");
    format!("{tomorrow}T00:00:00Z")
}

#[test]
fn no_day_costs_more_than_the_settings_allow() {
    let mut desk = Desk::new();
    desk.settings.cost_per_million_prompt_tokens = 2.0;
    desk.settings.cost_per_million_completion_tokens = 8.0;
    desk.settings.cost_per_day = 0.05;
    let refusals = ask_at_once(&desk, 3, 400);
    assert!(refusals.len() == 3 && refusals.iter().all(|refusal| refusal.class == Class::DailyQuota), "{refusals:?}");
    let ledger = desk.ledger();
    let tokens = |name: &str| ledger[name].as_f64().expect("tokens");
    let cost = (tokens("prompt_tokens") * 2.0 + tokens("completion_tokens") * 8.0) / 1e6;
    assert!(cost <= 0.05 && cost > 0.025, "{cost}");
    let stored: f64 = desk.world.query("SELECT cost::float8 FROM model_usage")[0].get(0);
    assert!((stored - cost).abs() < 1e-9, "{stored} and {cost}");
    assert_eq!(desk.world.count("SELECT cost FROM model_budgets"), (cost * 1e9).round() as i64);
}

#[test]
fn an_endpoint_that_says_nothing_of_tokens_is_counted_by_the_upper_bound() {
    let desk = Desk::new();
    desk.configure(json!({ "usage": false }));
    let answered = desk.host().ask_about("The girders come on Monday").expect("an answer");
    let counted = desk.world.budget_tokens();
    assert_eq!(counted, answered.usage.prompt_tokens + answered.usage.completion_tokens);
    assert!(counted > desk.ledger()["prompt_tokens"].as_i64().expect("tokens"), "{counted}");
}

#[test]
fn a_host_that_dies_on_the_way_gives_nothing_back() {
    let desk = Desk::new();
    desk.world.sim.fault(json!({ "fault": "stall", "method": "chat.completions" }));
    std::thread::scope(|scope| {
        let (die, died) = tokio::sync::oneshot::channel::<()>();
        let host = desk.host();
        let asking = scope.spawn(move || {
            let candidates = candidates();
            let question = Question { title: "", author: "", text: "girders", candidates: &candidates };
            host.runtime.block_on(async {
                tokio::select! {
                    answer = host.endpoint.request(&host.pool, &question) => panic!("{answer:?}"),
                    _ = died => {}
                }
            });
        });
        desk.world.wait_for_stall();
        drop(die);
        asking.join().expect("the host");
    });
    assert!(desk.world.budget_tokens() > 1_000);
    assert_eq!(desk.world.rows("model_usage"), 0);
}

#[test]
fn each_day_has_its_own_budget_and_old_ones_are_deleted() {
    let mut desk = Desk::new();
    desk.settings.tokens_per_day = 50_000;
    desk.world.execute(
        "INSERT INTO model_budgets SELECT (now() AT TIME ZONE 'UTC')::date - n, 50000, 0 FROM unnest(ARRAY[1, 7, 8, 400]) n",
    );
    desk.host().ask_about("The girders come on Monday").expect("an answer");
    let days = desk.world.query("SELECT ((now() AT TIME ZONE 'UTC')::date - day)::bigint, tokens FROM model_budgets");
    let days: BTreeMap<i64, i64> = days.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(days.keys().copied().collect::<Vec<_>>(), [0, 1, 7]);
    assert!(days[&0] < 3_000, "{days:?}");
}
