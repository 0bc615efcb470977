//! syncctl at Google's own pace: answers that take 150 ms in the median, and Google's quotas in any sixty seconds. Prints tables and writes
//! `target/bench-pace.json`. Each time is held against the bound that quotas alone set, which the table states.
//!
//!     cargo bench --bench pace [-- SCENARIO …]
//!
//! - `onboard_mail`, `onboard_calendars`: first syncs of 200 mailboxes of 480 messages, of 10,000 calendars of 50 events
//! - `idle`: passes over 10,000 calendars and 10,000 mailboxes in which nothing has changed, also without quotas
//! - `delay`: from a change to its row, `cron` each minute, beside a first sync of 100,000 messages and without it
//! - `hosts`: the same with two hosts, of which one is killed
//! - `first_page`: 1,000 new users, until the last of them has his newest page
//! - `accounts`: CPU of 1,000 tokens of a service account beside those of people, straight and through an HTTPS proxy
//!
//! A word chooses all scenarios that begin with it; none: all, which takes about an hour. `PACE_SCALE`, `PACE_CAP` and `PACE_MINUTES`
//! make them smaller and shorter (see `scale.rs`). Figures of scenarios that were not chosen stay in the file as they were.
//!
//! Everything is the real binary over real HTTP; the simulator is a process of its own, and both share this machine with PostgreSQL.

mod accounts;
mod cron;
mod delay;
mod first_page;
mod ground;
mod idle;
mod onboard;
mod run;
mod scale;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;
mod simulator;
#[path = "../../tests/it/support/mod.rs"]
#[allow(dead_code)]
mod support;
mod told;

use serde_json::{Map, Value};

use told::Told;

const FILE: &str = "bench-pace.json";

type Scenario = (&'static str, fn() -> Told);

const SCENARIOS: [Scenario; 7] = [
    ("onboard_mail", onboard::mailboxes),
    ("onboard_calendars", onboard::calendars),
    ("idle", idle::both),
    ("delay", delay::beside_big),
    ("hosts", delay::two_hosts),
    ("first_page", first_page::first_page),
    ("accounts", accounts::cpu),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if words == [simulator::COMMAND] {
        return simulator::serve();
    }
    // A second installation cannot happen: this process has just begun.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut wrong = Vec::new();
    for (name, scenario) in chosen(&words) {
        let told = scenario();
        told.print();
        let before = std::fs::read_to_string(shared::figures::path(FILE)).ok();
        let mut all: Map<String, Value> = before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        told.merge_into(&mut all, name);
        shared::figures::write(FILE, &Value::Object(all));
        wrong.extend(told.wrong.into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn chosen(words: &[String]) -> Vec<Scenario> {
    let names = SCENARIOS.map(|(name, _)| name).join(", ");
    for word in words {
        assert!(SCENARIOS.iter().any(|(name, _)| name.starts_with(word.as_str())), "no scenario {word}: there are {names}");
    }
    let is_chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.starts_with(word.as_str()));
    SCENARIOS.into_iter().filter(|(name, _)| is_chosen(name)).collect()
}
