//! Push with a simulated Google: prints tables and writes `target/bench-push.json`. Takes about six minutes, most of which is waiting.
//!
//! - from a change at Google to its row: with push and `webhook serve --drain`, with push and `webhook drain` each minute, and without push
//! - 5,000 notifications a second for half a minute: how many are stored, how fast they are answered, and the memory
//! - the answers to bad requests amid valid ones
//!
//! Everything is the real binary over real HTTP with a separate PostgreSQL; all of it shares this machine with the simulator.

mod delay;
mod flood;
#[path = "../../tests/it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}
mod paced;
mod refused;
#[path = "../../tests/it/webhook/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;
mod watched;

use serde_json::json;

use it::support;
use shared::delays::Delays;
use support::service::{CALENDAR, DRIVE, GMAIL};

fn main() {
    // It cannot be installed already: this process has just begun.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let delays: [(&str, Delays); 5] = [
        ("Calendar, push, serve --drain", delay::at_once(&CALENDAR)),
        ("Drive, push, serve --drain", delay::at_once(&DRIVE)),
        ("Gmail, push, serve --drain", delay::at_once(&GMAIL)),
        ("Calendar, push, drain each minute", delay::each_minute()),
        ("Calendar, no push, default pace", paced::without_push()),
    ];
    let flood = flood::flood();
    let refused = refused::refused();

    println!("\n{:<36}{:>6}{:>12}{:>12}{:>12}", "from the change to its row", "n", "median, s", "p99, s", "max, s");
    for (name, delays) in &delays {
        println!("{name:<36}{:>6}{:>12.3}{:>12.3}{:>12.3}", delays.count(), delays.at(0.5), delays.at(0.99), delays.at(1.0));
    }
    println!("\n{}\n{}", flood.text(), refused.text());

    let shown = delays.iter().map(|(name, delays)| {
        json!({ "what": name, "n": delays.count(), "median_s": delays.at(0.5), "p99_s": delays.at(0.99), "max_s": delays.at(1.0) })
    });
    let figures = json!({ "delays": shown.collect::<Vec<_>>(), "flood": flood, "refused": refused });
    shared::figures::write("bench-push.json", &figures);
    assert!(flood.is_whole() && refused.is_harmless(), "notifications were lost, or a bad request did harm: see above");
}
