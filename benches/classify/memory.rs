//! Memory of a process that learns, saves, loads and classifies, and holds one document at a time.

use std::process::Command;

use syncctl::classify::decide::{May, Neighbours};
use syncctl::classify::learner::Learner;

use crate::corpus;

/// The argument that selects that process.
pub const COMMAND: &str = "learn-all";

const DOCUMENTS: usize = 5_000;

/// Runs in that process.
pub fn learn_all() {
    let documents = || corpus::lines("mail").chain(corpus::lines("bbc")).take(DOCUMENTS);
    let mut learner = Learner::default();
    for document in documents() {
        learner.learn(&document.features(), &Neighbours::default(), document.label()).expect("room for a label");
    }
    let saved = learner.to_bytes();
    drop(learner);
    let loaded = Learner::from_bytes(&saved).expect("its own bytes");
    let decided = documents().filter(|document| {
        loaded.decide(&document.features(), &Neighbours::default(), |_| May::Given).outcome
            != syncctl::classify::decide::Outcome::Unsure
    });
    assert!(decided.count() > 0, "nothing was decided");
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's own status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    println!("{}", line.trim().trim_end_matches(" kB"));
}

/// Its peak, in MiB.
pub fn peak() -> f64 {
    let own = std::env::current_exe().expect("this program");
    let output = Command::new(own).arg(COMMAND).output().expect("this program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("kibibytes");
    kib / 1024.0
}
