//! Binding budgets, shared by three concurrent processes.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::mailbox::Mailbox;
use crate::corpus::Document;
use crate::support::World;
use crate::table::Table;

const PROCESSES: usize = 3;
/// Mails for each, none of which can be decided otherwise: each is a question.
const MAILS: usize = 100;
const REQUESTS: f64 = 40.0;
const TOKENS: f64 = 60_000.0;
/// With prices per million tokens of prompts and answers.
const COST: f64 = 0.1;
const PRICES: (f64, f64) = (2.0, 8.0);

pub fn measure(mail: &[Document], table: &mut Table) {
    let requests = used(mail, &[("REQUESTS_PER_MINUTE", REQUESTS)], fullest_minute);
    let tokens =
        used(mail, &[("TOKENS_PER_DAY", TOKENS)], |ledger| tokens_of(ledger, "prompt") + tokens_of(ledger, "completion"));
    let prices =
        [("COST_PER_DAY", COST), ("COST_PER_MILLION_PROMPT_TOKENS", PRICES.0), ("COST_PER_MILLION_COMPLETION_TOKENS", PRICES.1)];
    let cost =
        used(mail, &prices, |ledger| (tokens_of(ledger, "prompt") * PRICES.0 + tokens_of(ledger, "completion") * PRICES.1) / 1e6);
    let shares = [requests / REQUESTS, tokens / TOKENS, cost / COST];
    assert!(shares.iter().all(|share| *share > 0.5), "a budget that did not bind: {shares:?}");
    let most = shares.iter().copied().fold(0.0, f64::max);
    let about = format!("{requests} of {REQUESTS} requests a minute, {tokens} of {TOKENS} tokens, {cost:.3} of {COST} of cost");
    table.add("endpoint_budget_exceeded", (most - 1.0).max(0.0), Some("0"), &about);
}

/// The usage of a budget that is insufficient for all.
fn used(mail: &[Document], budget: &[(&str, f64)], measure: impl Fn(&Value) -> f64) -> f64 {
    let mut world = World::empty();
    let mut mailboxes: Vec<Mailbox<'_>> =
        (0..PROCESSES).map(|number| Mailbox::new(&world, &format!("user{number}@example.com"), mail)).collect();
    for mailbox in &mut mailboxes {
        mailbox.arrive(&world, 0..MAILS);
    }
    world.name_endpoint(Mailbox::truth(&mail[..MAILS]));
    for (name, value) in budget {
        let name: &'static str = format!("SYNCCTL_CLASSIFY_ENDPOINT_{name}").leak();
        world.settings.retain(|(set, _)| *set != name);
        world.set(name, value.to_string());
    }
    std::thread::scope(|scope| {
        for mailbox in &mailboxes {
            scope.spawn(|| world.syncctl_with_input(&["classify", "batch-poll", "--stdin"], &mailbox.lines()).expect(0));
        }
    });
    let ledger = world.model_ledger();
    let requests = ledger["requests"].as_u64().expect("a count");
    assert!(requests < (PROCESSES * MAILS) as u64, "all {requests} were asked about: no budget did bind");
    measure(&ledger)
}

fn tokens_of(ledger: &Value, of: &str) -> f64 {
    ledger[format!("{of}_tokens")].as_f64().expect("tokens")
}

fn fullest_minute(ledger: &Value) -> f64 {
    let calls = ledger["calls"].as_array().expect("calls");
    let times: Vec<DateTime<Utc>> =
        calls.iter().map(|call| call["at"].as_str().and_then(|at| at.parse().ok()).expect("a time")).collect();
    let from = |begin: &DateTime<Utc>| times.iter().filter(|at| (0..60).contains(&(**at - *begin).num_seconds())).count();
    times.iter().map(from).max().unwrap_or(0) as f64
}
