//! Time zones by the names used in calendars: IANA's, those of Windows (CLDR's table), and offsets. Pure.

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

/// Maximum number of bytes read from the end of a name. Real names are shorter, but received ones can have any length.
const MAX_NAME: usize = 128;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// A named zone with all its transitions.
    Place(Tz),
    /// A fixed offset from UTC.
    Offset(FixedOffset),
}

impl Zone {
    /// The zone with this name, or else with this offset, or UTC if there is neither. `None`: the name is unknown and there is no offset.
    pub fn of(name: Option<&str>, offset: Option<FixedOffset>) -> Option<Self> {
        match name {
            Some(name) => Self::from_name(name).or(offset.map(Self::Offset)),
            None => Some(offset.map_or(Self::Place(Tz::UTC), Self::Offset)),
        }
    }

    /// The zone with this name, as in `Europe/Berlin`, `W. Europe Standard Time`, `(UTC+01:00) Amsterdam, Berlin`, `GMT+02:00`, or with a prefix
    /// that calendar programs add (`/freeassociation.sourceforge.net/Europe/Berlin`).
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim().trim_matches('"').trim();
        let name = &name[name.ceil_char_boundary(name.len().saturating_sub(MAX_NAME))..];
        let iana = |name: &str| {
            let known = || TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)).copied();
            name.parse().ok().or_else(known).map(Self::Place)
        };
        let windows = |name: &str| localzone::win_zone_to_iana(name, None).and_then(iana);
        // `GMT+2` is east of Greenwich, unlike IANA's `Etc/GMT+2`.
        let direct = |name: &str| iana(name).or_else(|| windows(name)).or_else(|| offset(name).map(Self::Offset));
        direct(name).or_else(|| {
            let mut rest = name;
            while let Some((_, after)) = rest.split_once('/') {
                if let Some(zone) = direct(after) {
                    return Some(zone);
                }
                rest = after;
            }
            None
        })
    }

    /// The instant of a local time; the first, if it occurs twice. A time skipped by a transition is interpreted with the offset before the
    /// transition.
    pub fn instant(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self {
            Self::Place(tz) => tz.from_local_datetime(&local).earliest().map(|at| at.to_utc()).or_else(|| {
                let before = local.checked_sub_signed(TimeDelta::days(1))?;
                Some(tz.from_local_datetime(&before).earliest()?.to_utc() + TimeDelta::days(1))
            }),
            Self::Offset(offset) => offset.from_local_datetime(&local).earliest().map(|at| at.to_utc()),
        }
    }

    /// The zone of this machine: `TZ`, or the one set for all its users. UTC if there is none.
    pub fn of_this_machine() -> Self {
        let name = localzone::get_local_zone_with_validation(|name| Self::from_name(name).is_some());
        name.and_then(|name| Self::from_name(&name)).unwrap_or(Self::Place(Tz::UTC))
    }

    /// An instant with the offset that the zone has then.
    pub fn at(self, at: DateTime<Utc>) -> DateTime<FixedOffset> {
        match self {
            Self::Place(tz) => at.with_timezone(&tz).fixed_offset(),
            Self::Offset(offset) => at.with_timezone(&offset),
        }
    }

    /// The local time at an instant.
    pub fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        self.at(at).naive_local()
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Place(tz) => f.write_str(tz.name()),
            Self::Offset(offset) => write!(f, "UTC{offset}"),
        }
    }
}

/// Parses an offset: `GMT+02:00`, `UTC-5`, `+0530`, `(UTC+01:00) Amsterdam, Berlin`, `Z`.
fn offset(name: &str) -> Option<FixedOffset> {
    let name = match name.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((inside, _)) => inside,
        None => name,
    };
    let upper = name.to_uppercase();
    let rest = ["UTC", "GMT"].iter().find_map(|prefix| upper.strip_prefix(prefix)).unwrap_or(&upper).trim();
    if matches!(rest, "" | "Z") && !upper.is_empty() {
        return FixedOffset::east_opt(0);
    }
    let (sign, digits) = match rest.chars().next()? {
        '+' => (1, &rest[1..]),
        '-' => (-1, &rest[1..]),
        '\u{2212}' => (-1, &rest['\u{2212}'.len_utf8()..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let number =
        |text: &str| text.parse::<i32>().ok().filter(|_| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
    // No zone has ever had a larger offset.
    FixedOffset::east_opt(sign * (hours * 3_600 + minutes * 60)).filter(|_| hours < 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_an_overlong_name_is_read() {
        let long = format!("{}/Europe/Berlin", "ä/".repeat(1 << 20));
        assert_eq!(Zone::from_name(&long), Some(Zone::Place(Tz::Europe__Berlin)));
        assert_eq!(Zone::from_name(&"e/".repeat(1 << 20)), None);
        assert_eq!(Zone::from_name(&"ä".repeat(MAX_NAME)), None);
    }

    #[test]
    fn a_zone_is_known_by_all_its_names() {
        let named = |tz: Tz| Some(Zone::Place(tz));
        let east = |minutes: i32| FixedOffset::east_opt(minutes * 60).map(Zone::Offset);
        let table = [
            ("Europe/Berlin", named(Tz::Europe__Berlin)),
            ("europe/berlin", named(Tz::Europe__Berlin)),
            ("US/Pacific", named(Tz::US__Pacific)),
            ("Asia/Calcutta", named(Tz::Asia__Calcutta)),
            ("Etc/GMT+5", named(Tz::Etc__GMTPlus5)),
            ("W. Europe Standard Time", named(Tz::Europe__Berlin)),
            ("\"Central European Standard Time\"", named(Tz::Europe__Warsaw)),
            ("India Standard Time", named(Tz::Asia__Kolkata).or(named(Tz::Asia__Calcutta))),
            ("/freeassociation.sourceforge.net/Europe/Berlin", named(Tz::Europe__Berlin)),
            ("/mozilla.org/20050126_1/America/New_York", named(Tz::America__New_York)),
            ("tzone://Microsoft/Utc", named(Tz::UTC)),
            ("GMT+02:00", east(120)),
            ("UTC+2", east(120)),
            ("UTC-03:30", east(-210)),
            ("+0530", east(330)),
            ("(UTC+01:00) Amsterdam, Berlin, Bern", east(60)),
            ("(GMT) Greenwich Mean Time", east(0)),
            ("Z", east(0)),
            ("Customized Time Zone", None),
            ("GMT+99", None),
            ("GMT+1:75", None),
            ("+", None),
            ("", None),
        ];
        for (name, zone) in table {
            let parsed = Zone::from_name(name);
            let same = match (parsed, zone) {
                (Some(Zone::Place(a)), Some(Zone::Place(b))) => a == b || name.starts_with("India"),
                (parsed, zone) => parsed == zone,
            };
            assert!(same, "{name:?}: {parsed:?}, not {zone:?}");
        }
    }

    #[test]
    fn a_zone_without_a_known_name_keeps_its_offset() {
        let offset = FixedOffset::east_opt(3_600);
        assert_eq!(Zone::of(Some("Customized Time Zone"), offset), offset.map(Zone::Offset));
        assert_eq!(Zone::of(Some("Customized Time Zone"), None), None);
        assert_eq!(Zone::of(None, None), Some(Zone::Place(Tz::UTC)));
        assert_eq!(Zone::of(Some("Europe/Berlin"), offset), Some(Zone::Place(Tz::Europe__Berlin)));
    }

    #[test]
    fn a_time_skipped_by_dst_moves_one_hour_later() {
        let local = "2026-03-29T02:30:00".parse().expect("a time");
        let at: DateTime<Utc> = "2026-03-29T01:30:00Z".parse().expect("a time");
        assert_eq!(Zone::Place(Tz::Europe__Berlin).instant(local), Some(at));
    }
}
