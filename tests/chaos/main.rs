//! Chaos: runs of several hosts over all services, killed, suspended and stopped at random, while Google, PostgreSQL and the network fail
//! at random and users keep changing their data. Afterwards everything is healed and compared row by row.
//!
//!     make chaos [SECONDS=600] [SEED=1] [SEEDS=1]
//!     make chaos-heal
//!
//! Without arguments it runs for a minute with a fixed seed, as part of `make test`. It prints one line per seed and writes
//! `target/chaos.json`; if there is a problem, `target/chaos-SEED.log` holds the story. A seed reproduces changes, blows and fates, but the
//! operating system's scheduling differs from run to run.

mod arena;
mod blows;
mod changes;
mod clocks;
mod compare;
mod deaths;
mod heal;
mod hosts;
#[path = "../it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}
mod judge;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use it::support;
use judge::Verdict;

/// The command line.
struct Order {
    seconds: u64,
    seed: u64,
    seeds: u64,
    /// Measure only recovery from blows whose names have this prefix; see `heal.rs`.
    heal: Option<String>,
}

impl Order {
    /// `None`: the arguments select other tests (`cargo test NAME` passes them to every test).
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut order = Self { seconds: 60, seed: 1, seeds: 1, heal: None };
        while let Some(name) = arguments.next() {
            let field = match name.as_str() {
                "--seconds" => &mut order.seconds,
                "--seed" => &mut order.seed,
                "--seeds" => &mut order.seeds,
                "--heal" => {
                    order.heal = Some(arguments.next().unwrap_or_default());
                    continue;
                }
                _ => return None,
            };
            *field = arguments.next()?.parse().ok()?;
        }
        Some(order)
    }
}

fn main() -> ExitCode {
    let Some(order) = Order::parse(std::env::args().skip(1)) else { return ExitCode::SUCCESS };
    if let Some(prefix) = &order.heal {
        let rows = heal::table(prefix);
        write("chaos-heal.json", &heal::json(&rows));
        return code(heal::show(&rows));
    }
    let verdicts: Vec<Verdict> = (order.seed..order.seed + order.seeds)
        .map(|seed| {
            let verdict = storm(seed, Duration::from_secs(order.seconds));
            println!("{verdict}");
            verdict
        })
        .collect();
    let sum = Verdict::sum(&verdicts);
    if verdicts.len() > 1 {
        println!("{sum}");
    }
    let seeds: Vec<_> = verdicts.iter().map(Verdict::json).collect();
    write("chaos.json", &json!({ "sum": sum.json(), "seeds": seeds }));
    code(sum.is_clean())
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes metrics into the target folder.
fn write(name: &str, figures: &serde_json::Value) {
    let tmp = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(tmp.parent().unwrap_or(tmp).join(name), format!("{figures:#}\n")).expect("writing the figures");
}

/// Runs one chaos run and returns its verdict.
fn storm(seed: u64, length: Duration) -> Verdict {
    let arena = arena::Arena::new(seed);
    std::thread::scope(|scope| {
        let arena = &arena;
        for lane in 0..hosts::LANES {
            scope.spawn(move || hosts::work(arena, lane));
        }
        scope.spawn(|| hosts::listen(arena));
        scope.spawn(|| changes::make(arena));
        scope.spawn(|| blows::strike(arena));
        std::thread::sleep(length);
        arena.end();
    });
    judge::verdict(&arena)
}
