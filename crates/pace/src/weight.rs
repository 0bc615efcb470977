//! How much the delay of a user's changes matters, and for how long.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The weight at `now` of one that was `weight` at `at`: the part above 1 is halved in each half-life.
pub fn faded(weight: f64, at: DateTime<Utc>, now: DateTime<Utc>, half_life: Duration) -> f64 {
    let age = (now - at).as_seconds_f64().max(0.0);
    1.0 + (weight - 1.0) * (-age / half_life.as_secs_f64()).exp2()
}

/// `20 min`, `3 h`, `2 d`.
pub fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_makes_delay_count_more_and_wears_off() {
        let at = DateTime::UNIX_EPOCH;
        let hour = Duration::from_secs(3600);
        assert_eq!(faded(4.0, at, at, hour), 4.0);
        assert_eq!(faded(4.0, at, at + hour, hour), 2.5);
        assert!(faded(4.0, at, at + 24 * hour, hour) < 1.001);
        // A clock that runs behind does not raise the weight above its initial value.
        assert_eq!(faded(4.0, at + hour, at, hour), 4.0);
    }

    #[test]
    fn times_are_words() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!([59, 60, 7199, 7200, 172_800].map(words), ["59 s", "1 min", "119 min", "2 h", "2 d"]);
    }
}
