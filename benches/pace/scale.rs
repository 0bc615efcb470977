//! How large the scenarios are and how long they may take: variables of the environment for quick looks.

use std::time::Duration;

fn number(name: &str, default: f64) -> f64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// `PACE_SCALE` (1) multiplies users and streams.
pub fn scale() -> f64 {
    number("PACE_SCALE", 1.0)
}

/// So many, at this scale.
pub fn scaled(count: u32) -> u32 {
    ((f64::from(count) * scale()).round() as u32).max(1)
}

/// `PACE_CAP` (600): seconds that one scenario may take before it is ended and judged by what it reached.
pub fn cap() -> Duration {
    Duration::from_secs_f64(number("PACE_CAP", 600.0))
}

/// `PACE_MINUTES` (5): how long changes come where their delay is measured.
pub fn minutes() -> u32 {
    number("PACE_MINUTES", 5.0) as u32
}
