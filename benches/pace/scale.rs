//! Size and time limit of the scenarios: environment variables for quick runs.

use std::time::Duration;

fn number(name: &str, default: f64) -> f64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// `PACE_SCALE` (1) multiplies users and streams.
pub fn scale() -> f64 {
    number("PACE_SCALE", 1.0)
}

/// The count at this scale.
pub fn scaled(count: u32) -> u32 {
    ((f64::from(count) * scale()).round() as u32).max(1)
}

/// `PACE_CAP` (600): seconds after which a scenario is stopped and evaluated.
pub fn cap() -> Duration {
    Duration::from_secs_f64(number("PACE_CAP", 600.0))
}

/// `PACE_MINUTES` (5): how long changes are made when their delay is measured.
pub fn minutes() -> u32 {
    number("PACE_MINUTES", 5.0) as u32
}
