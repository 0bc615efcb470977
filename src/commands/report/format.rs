//! Formats numbers and times for people. Pure.

use chrono::{DateTime, Utc};

/// What a number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
}

/// Steps of a duration axis, in seconds.
const ROUND_SECONDS: [f64; 23] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    14_400.0, 21_600.0, 43_200.0,
];

impl Unit {
    /// Returns the smallest round step that is at least `min`.
    pub fn step(self, min: f64) -> f64 {
        let decimal = |min: f64| {
            let power = 10f64.powf(min.max(f64::MIN_POSITIVE).log10().floor());
            [1.0, 2.0, 5.0, 10.0]
                .into_iter()
                .map(|factor| factor * power)
                .find(|step| *step >= min * 0.999)
                .unwrap_or(10.0 * power)
        };
        match self {
            Self::Count => decimal(min.max(1.0)),
            Self::Seconds => {
                let round = ROUND_SECONDS.into_iter().find(|step| *step >= min * 0.999);
                round.unwrap_or_else(|| decimal(min / 86_400.0) * 86_400.0)
            }
        }
    }

    /// Formats a value for an axis.
    pub fn short(self, value: f64) -> String {
        match self {
            Self::Count if value >= 1e9 => format!("{} G", trimmed(value / 1e9)),
            Self::Count if value >= 1e6 => format!("{} M", trimmed(value / 1e6)),
            Self::Count if value >= 1e4 => format!("{} k", trimmed(value / 1e3)),
            Self::Count => count(value.round() as u64),
            Self::Seconds => seconds(value),
        }
    }

    /// Formats a value for a table.
    pub fn long(self, value: f64) -> String {
        match self {
            Self::Count => count(value.round().max(0.0) as u64),
            Self::Seconds => seconds(value),
        }
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats a number with narrow spaces between thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join("\u{202f}")
}

/// Like `count`, for counts from the database.
pub fn counted(value: i64) -> String {
    count(value.unsigned_abs())
}

/// Formats seconds in a suitable unit.
pub fn seconds(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        ..0.9995 => format!("{} ms", trimmed(value * 1000.0)),
        ..90.0 => format!("{} s", trimmed(if value < 10.0 { value } else { (value * 10.0).round() / 10.0 })),
        ..3600.0 => format!("{} min", trimmed((value / 6.0).round() / 10.0)),
        ..172_800.0 => format!("{} h", trimmed((value / 360.0).round() / 10.0)),
        _ => format!("{} days", trimmed((value / 8640.0).round() / 10.0)),
    }
}

pub fn percent(share: f64) -> String {
    // Round down, so that only all is 100 %.
    let rounded = (share * 1000.0).floor() / 10.0;
    format!("{} %", trimmed(rounded))
}

pub fn bytes(value: i64) -> String {
    let value = value as f64;
    match value {
        ..1_048_576.0 => format!("{:.0} KiB", value / 1024.0),
        ..1_073_741_824.0 => format!("{:.1} MiB", value / 1_048_576.0),
        _ => format!("{:.1} GiB", value / 1_073_741_824.0),
    }
}

pub fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}

/// Returns the seconds between labels on a time axis of `window` seconds, for at most seven labels.
pub fn round_times(window: i64) -> i64 {
    const ROUND: [i64; 13] =
        [300, 600, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 4 * 86_400, 7 * 86_400, 28 * 86_400];
    ROUND.into_iter().find(|every| window / every <= 6).unwrap_or(window / 6 / (28 * 86_400) * 28 * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_axes_have_round_steps() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(["", " ms", " s", " min", " h", " days"].map(str::len).len(), 6);
        let texts: Vec<String> = [0.0, 0.25, 1.5, 75.0, 90.0, 3600.0, 7200.0, 259_200.0].into_iter().map(seconds).collect();
        assert_eq!(texts, ["0", "250 ms", "1.5 s", "75 s", "1.5 min", "1 h", "2 h", "3 days"]);
        assert_eq!(percent(0.99999), "99.9 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!((Unit::Count.step(0.3), Unit::Count.step(3.0), Unit::Count.step(2500.0)), (1.0, 5.0, 5000.0));
        assert_eq!((Unit::Seconds.step(0.3), Unit::Seconds.step(61.0), Unit::Seconds.step(90_000.0)), (0.5, 120.0, 172_800.0));
        assert_eq!((Unit::Count.short(12_500.0), Unit::Count.short(9_000.0)), ("12.5 k".into(), "9\u{202f}000".into()));
    }

    #[test]
    fn any_window_has_a_few_labelled_times() {
        for hours in [1, 6, 24, 48, 24 * 7, 24 * 14, 24 * 28, 24 * 90, 24 * 366] {
            let named = hours * 3600 / round_times(hours * 3600);
            assert!((2..=6).contains(&named), "{hours} h: {named}");
        }
    }
}
