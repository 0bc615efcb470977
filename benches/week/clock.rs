//! The simulated clock of every process here: libfaketime reads it from a file. `scripts/week` loads it into this process; children inherit
//! it.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};

/// Variables with which a child uses this clock.
const VARIABLES: [&str; 5] =
    ["LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_DONT_FAKE_MONOTONIC", "FAKETIME_NO_CACHE", "FAKETIME_DONT_RESET"];

pub struct Clock {
    file: PathBuf,
    /// The same moment by the real clock and by the monotonic one.
    real: SystemTime,
    steady: Instant,
}

impl Clock {
    /// The clock, still at the real time.
    pub fn of_environment() -> Self {
        let file = std::env::var("FAKETIME_TIMESTAMP_FILE").expect("run this by scripts/week, which sets the clock up");
        Self { file: file.into(), real: SystemTime::now(), steady: Instant::now() }
    }

    /// Environment variables for a child.
    pub fn environment() -> impl Iterator<Item = (&'static str, String)> {
        VARIABLES.into_iter().map(|name| (name, std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))))
    }

    /// Sets the time; from there it advances at the real speed.
    pub fn set(&self, time: DateTime<Utc>) {
        let real = DateTime::<Utc>::from(self.real + self.steady.elapsed());
        let offset = (time - real).as_seconds_f64();
        // Renamed, so that it is never read half-written.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{offset:+.3}\n")).expect("writing the clock");
        std::fs::rename(&new, &self.file).expect("setting the clock");
        let off = (Utc::now() - time).abs().to_std().unwrap_or_default();
        assert!(off < Duration::from_secs(2), "the clock is {off:?} off: libfaketime does not follow {}", self.file.display());
    }
}
