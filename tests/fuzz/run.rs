//! Runs a target in a separate process and reports how it ended.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::inputs;
use crate::memory;
use crate::targets::Target;

/// Stack size of syncctl's threads in bytes: Rust's default.
const STACK: usize = 2 << 20;
/// Bytes of memory that an input may take per input byte, in addition to the target's fixed allowance.
const MEMORY: usize = 400;
/// The slowest input above this is kept for inspection.
const SLOW: Duration = Duration::from_millis(500);
/// Inputs between two progress lines.
const STEP: u64 = 1_000;

/// Tries the inputs from this number on, in a thread with the stack size of syncctl's threads. Each line reports the number done; the last
/// one the outcome.
pub fn child(target: &'static Target, seed: u64, from: u64, until: u64, trace: bool) {
    let work = move || {
        let corpus = target.corpus();
        let (mut peak, mut slowest) = (0, Duration::ZERO);
        for number in from..until {
            let input = inputs::make(&corpus, target.words, seed, number);
            if trace {
                fs::write(kept(target), &input).expect("writing the input");
            }
            if number.is_multiple_of(STEP) {
                say(&number.to_string());
            }
            let started = Instant::now();
            let took = memory::of(|| (target.read)(&input));
            let elapsed = started.elapsed();
            if elapsed > slowest.max(SLOW) {
                fs::write(kept(target).with_extension("slowest"), &input).expect("writing the slowest input");
            }
            slowest = slowest.max(elapsed);
            peak = peak.max(took);
            let most = target.memory + MEMORY * input.len();
            assert!(took <= most, "{took} bytes of memory for {} bytes of input, and {most} are allowed", input.len());
        }
        say(&format!("peak {} KiB, slowest {} ms", peak >> 10, slowest.as_millis()));
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread");
    if thread.join().is_err() {
        std::process::exit(101);
    }
}

/// Path of the input being tried.
fn kept(target: &Target) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../fuzz");
    fs::create_dir_all(&folder).expect("making target/fuzz");
    folder.join(format!("{}.input", target.name))
}

fn say(line: &str) {
    // The reader may be gone.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs a target's process and reports the outcome.
pub fn parent(target: &'static Target, seed: u64, inputs: u64) -> bool {
    let started = Instant::now();
    let (status, last) = process(target, seed, ("--from", 0), inputs);
    if status.success() {
        println!("{:13} {inputs} inputs in {:.1} s; {last}", target.name, started.elapsed().as_secs_f64());
        return true;
    }
    // Repeats the last few inputs, writing each to disk before it is tried.
    let from = last.parse().unwrap_or(0);
    let (again, _) = process(target, seed, ("--trace-from", from), (from + STEP).min(inputs));
    if again.success() {
        println!("{:13} FAILED ({status}) at one of the inputs {from} to {}, and not again", target.name, from + STEP)
    } else {
        println!("{:13} FAILED ({again}) at the input in {}", target.name, kept(target).display())
    }
    false
}

/// How a process ended, and its last line.
fn process(target: &Target, seed: u64, (how, from): (&str, u64), until: u64) -> (ExitStatus, String) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--only", target.name, "--seed", &seed.to_string(), "--inputs", &until.to_string(), how, &from.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the process starts");
    let last = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok).last();
    (child.wait().expect("it ends"), last.unwrap_or_default())
}
