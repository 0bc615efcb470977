//! The supported search terms of `q`: those that define a time window. Any other is refused, so that a test notices.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, TimeZone as _, Utc};

/// Milliseconds since the epoch: from `after` on, up to `before`.
#[derive(Debug, PartialEq, Eq)]
pub struct Window {
    pub after: i64,
    pub before: i64,
}

/// The window that these terms define; an error holds the unsupported term.
pub fn window(text: &str, now: DateTime<Utc>) -> Result<Window, String> {
    let mut window = Window { after: i64::MIN, before: i64::MAX };
    for word in text.split_whitespace() {
        let known = match word.split_once(':') {
            Some(("after", value)) => time(value).map(|at| window.after = window.after.max(at)),
            Some(("before", value)) => time(value).map(|at| window.before = window.before.min(at)),
            Some(("newer_than", value)) => age(value).map(|age| window.after = window.after.max((now - age).timestamp_millis())),
            _ => None,
        };
        known.ok_or_else(|| word.to_owned())?;
    }
    Ok(window)
}

/// Seconds since the epoch, or a date. Google interprets dates as midnight in California, wherever the user is.
fn time(value: &str) -> Option<i64> {
    if let Ok(seconds) = value.parse::<i64>() {
        return seconds.checked_mul(1_000);
    }
    let date = NaiveDate::parse_from_str(value, "%Y/%m/%d").ok()?;
    let midnight = chrono_tz::America::Los_Angeles.from_local_datetime(&date.and_time(NaiveTime::MIN)).earliest()?;
    Some(midnight.timestamp_millis())
}

fn age(value: &str) -> Option<Duration> {
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let days = match unit {
        "d" => 1,
        "m" => 30,
        "y" => 365,
        _ => return None,
    };
    Duration::try_days(number.parse::<i64>().ok()?.checked_mul(days)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_narrow_the_window_and_others_are_refused() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let after = |text: &str| window(text, now).map(|window| window.after);
        assert_eq!(after("after:1700000000 after:1600000000"), Ok(1_700_000_000_000));
        assert_eq!(after("after:2026/07/01"), Ok(1_782_889_200_000), "midnight in California is 7 o'clock UTC");
        assert_eq!(after("newer_than:7d"), Ok((1_800_000_000 - 7 * 86_400) * 1_000));
        assert_eq!(window("before:1700000000", now), Ok(Window { after: i64::MIN, before: 1_700_000_000_000 }));
        for text in ["from:ann", "after:yesterday", "newer_than:7", "hello", "newer_than:"] {
            assert_eq!(window(text, now), Err(text.to_owned()));
        }
    }
}
