//! Parsing and formatting of durations in settings and arguments.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

use super::DAY;

/// A longer duration is a mistake, and a timestamp that far away cannot be stored.
const MAX: Duration = Duration::from_secs(100 * 366 * DAY);

/// Reads `90s`, `1h 30m` or `7days`.
///
/// # Errors
/// Returns a message if the text is not a duration or exceeds a century.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{error}; a duration is written like 90s, 5m or 30days"))?;
    if duration > MAX { Err("must be 100years or less".into()) } else { Ok(duration) }
}

/// Formats a duration. Whole days stay days: they rarely make whole months or years.
#[must_use]
pub fn text(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > DAY && seconds.is_multiple_of(DAY) && duration.subsec_nanos() == 0 => {
            format!("{}days", seconds / DAY)
        }
        _ => humantime::format_duration(duration).to_string(),
    }
}

pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_a_round_trip() {
        for text in ["0s", "200ms", "1m 4s", "1day", "7days", "90days", "365days", "1day 6h"] {
            assert_eq!(parse(text).map(super::text).as_deref(), Ok(text));
        }
        assert!(parse("101years").is_err() && parse("soon").is_err() && parse("5").is_err());
    }
}
