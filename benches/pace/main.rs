//! syncctl under Google's conditions: a median latency of 150 ms, and Google's quotas in any sixty seconds. Prints tables and writes
//! `target/bench-pace.json`. Each time is compared with the bound set by quotas alone, which the table states.
//!
//!     cargo bench --bench pace [-- SCENARIO …]
//!
//! - `onboard_mail`, `onboard_calendars`: first syncs of 200 mailboxes of 480 messages, of 10,000 calendars of 50 events
//! - `idle`: passes over 10,000 calendars and 10,000 mailboxes in which nothing has changed, also without quotas
//! - `delay`: from a change to its row, `cron` each minute, with and without a concurrent first sync of 100,000 messages
//! - `hosts`: the same with two hosts, of which one is killed
//! - `first_page`: 1,000 new users, until the last of them has their newest page
//! - `accounts`: CPU time of 1,000 tokens of a service account relative to those of users, directly and through an HTTPS proxy
//!
//! An argument selects all scenarios with this prefix; none: all, which takes about an hour. `PACE_SCALE`, `PACE_CAP` and `PACE_MINUTES`
//! make them smaller and shorter (see `scale.rs`). Figures of other scenarios stay unchanged in the file.
//!
//! Everything is the real binary over real HTTP; the simulator is a separate process, and both share this machine with PostgreSQL.

mod accounts;
mod cron;
mod delay;
mod first_page;
mod ground;
mod idle;
#[path = "../../tests/it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}
mod onboard;
mod results;
mod run;
mod scale;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;
mod simulator;

use serde_json::{Map, Value};

use it::support;
use results::Results;

const FILE: &str = "bench-pace.json";

type Scenario = (&'static str, fn() -> Results);

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
    // It cannot be installed already: this process has just begun.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut wrong = Vec::new();
    for (name, scenario) in chosen(&words) {
        let results = scenario();
        results.print();
        let before = std::fs::read_to_string(shared::figures::path(FILE)).ok();
        let mut all: Map<String, Value> = before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        results.merge_into(&mut all, name);
        shared::figures::write(FILE, &Value::Object(all));
        wrong.extend(results.wrong.into_iter().map(|what| format!("{name}: {what}")));
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
