//! Broken inputs for everything that reads bytes of strangers (`syncctl::fuzz`): none may panic, overflow the stack, or take memory out of
//! proportion.
//!
//!     make fuzz [INPUTS=10000000] [SEED=1] [ONLY=mail]
//!
//! Without arguments it is a short leg of fixed inputs, as part of `make test`. Each target runs in a process of its own, so that one that dies is
//! told with the input that killed it, in `target/fuzz`. An input follows from target, seed and number alone: what died once dies again.

mod inputs;
mod memory;
mod run;
mod targets;

use std::process::ExitCode;

use targets::{TARGETS, Target};

/// Inputs of the short leg, for each target.
const FEW: u64 = 1_000;

/// What is asked for on the command line.
struct Order {
    /// Of all targets together.
    inputs: u64,
    seed: u64,
    only: Option<String>,
    /// In a process of one target: from which input on, and whether each is written down before it is tried.
    child: Option<(u64, bool)>,
}

impl Order {
    /// `None`: the arguments choose other tests, as `cargo test NAME` gives them to every test.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut order = Self { inputs: FEW * TARGETS.len() as u64, seed: 1, only: None, child: None };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--inputs" => order.inputs = value.parse().ok()?,
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
        chosen.iter().for_each(|target| run::child(target, order.seed, from, order.inputs, trace));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        eprintln!("there is no target {:?}", order.only.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    let each = order.inputs.div_ceil(chosen.len() as u64);
    let done: Vec<bool> = std::thread::scope(|threads| {
        let all: Vec<_> = chosen.iter().map(|target| threads.spawn(move || run::parent(target, order.seed, each))).collect();
        all.into_iter().map(|one| one.join().unwrap_or(false)).collect()
    });
    match done.iter().all(|well| *well) {
        true => {
            println!("{} inputs, seed {}: all well", each * chosen.len() as u64, order.seed);
            ExitCode::SUCCESS
        }
        false => ExitCode::FAILURE,
    }
}
