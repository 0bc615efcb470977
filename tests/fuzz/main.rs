//! Broken inputs for every parser of untrusted bytes (`syncctl::fuzz`): none may panic, overflow the stack, or take memory out of
//! proportion.
//!
//!     make fuzz [INPUTS=10000000] [SEED=1] [ONLY=mail]
//!
//! Without arguments it runs a short list of fixed inputs, as part of `make test`. Each target runs in a separate process, so that a crash
//! is reported with the input that caused it, in `target/fuzz`. An input depends only on target, seed and number: crashes are reproducible.

mod inputs;
mod memory;
mod run;
mod targets;

use std::process::ExitCode;

use targets::{TARGETS, Target};

/// Inputs per target without arguments.
const FEW: u64 = 1_000;

/// The command line.
struct Order {
    /// For all targets together; `None`: the short run.
    inputs: Option<u64>,
    seed: u64,
    only: Option<String>,
    /// In the process of one target: the first input, and whether each is written to disk before it is tried.
    child: Option<(u64, bool)>,
}

impl Order {
    /// `None`: the arguments select other tests (`cargo test NAME` passes them to every test).
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut order = Self { inputs: None, seed: 1, only: None, child: None };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--inputs" => order.inputs = Some(value.parse().ok()?),
                "--seed" => order.seed = value.parse().ok()?,
                "--only" => order.only = Some(value),
                "--from" => order.child = Some((value.parse().ok()?, false)),
                "--trace-from" => order.child = Some((value.parse().ok()?, true)),
                _ => return None,
            }
        }
        Some(order)
    }
}

fn main() -> ExitCode {
    let Some(order) = Order::parse(std::env::args().skip(1)) else { return ExitCode::SUCCESS };
    let chosen: Vec<&'static Target> =
        TARGETS.iter().filter(|target| order.only.as_ref().is_none_or(|only| target.name == only)).collect();
    if let Some((from, trace)) = order.child {
        chosen.iter().for_each(|target| run::child(target, order.seed, from, order.inputs.unwrap_or(FEW), trace));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        eprintln!("there is no target {:?}", order.only.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    let shares: u64 = chosen.iter().map(|target| target.share).sum();
    let inputs = |target: &Target| order.inputs.map_or(FEW, |all| all.saturating_mul(target.share).div_ceil(shares));
    let work: Vec<(&'static Target, u64)> = chosen.into_iter().map(|target| (target, inputs(target))).collect();
    let done: Vec<bool> = std::thread::scope(|threads| {
        let all: Vec<_> =
            work.iter().map(|(target, inputs)| threads.spawn(|| run::parent(target, order.seed, *inputs))).collect();
        all.into_iter().map(|one| one.join().unwrap_or(false)).collect()
    });
    if done.iter().all(|well| *well) {
        println!("{} inputs, seed {}: all well", work.iter().map(|(_, inputs)| inputs).sum::<u64>(), order.seed);
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
