//! The timed log of a chaos run: counted, and kept for debugging.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Lines and counts so far.
pub struct Story {
    began: Instant,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Story {
    pub fn new() -> Self {
        Self { began: Instant::now(), log: Mutex::default() }
    }

    /// Counts an event and logs it.
    pub fn record(&self, what: &'static str, more: impl std::fmt::Display) {
        let line = format!("{:9.3} {what} {more}", self.began.elapsed().as_secs_f64());
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        *log.counts.entry(what).or_default() += 1;
        log.lines.push(line);
    }

    pub fn count(&self, what: &str) -> u64 {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).counts.get(what).copied().unwrap_or(0)
    }

    /// Writes the log; returns its path.
    pub fn keep(&self, seed: u64) -> PathBuf {
        let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let file = tmp.parent().unwrap_or(&tmp).join(format!("chaos-{seed}.log"));
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner).lines.join("\n");
        std::fs::write(&file, lines + "\n").expect("writing the story");
        file
    }
}
