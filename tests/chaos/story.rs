//! What happened in a storm, with its times: counted, and kept for whoever has to find out why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Lines and counts so far.
pub struct Story {
    began: Instant,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Story {
    pub fn new() -> Self {
        Self { began: Instant::now(), told: Mutex::default() }
    }

    /// Counts something and tells of it.
    pub fn tell(&self, what: &'static str, more: impl std::fmt::Display) {
        let line = format!("{:9.3} {what} {more}", self.began.elapsed().as_secs_f64());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told.counts.entry(what).or_default() += 1;
        told.lines.push(line);
    }

    pub fn count(&self, what: &str) -> u64 {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).counts.get(what).copied().unwrap_or(0)
    }

    /// Writes it down; answers where.
    pub fn keep(&self, seed: u64) -> PathBuf {
        let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let file = tmp.parent().unwrap_or(&tmp).join(format!("chaos-{seed}.log"));
        let lines = self.told.lock().unwrap_or_else(PoisonError::into_inner).lines.join("\n");
        std::fs::write(&file, lines + "\n").expect("writing the story");
        file
    }
}
