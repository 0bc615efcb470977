//! Parses the Date header: RFC 5322 and other formats in use. An invalid date gives `None`; nothing is guessed.

use chrono::{DateTime, Duration, FixedOffset, NaiveDate, Utc};

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
/// The named zones of RFC 5322, in hours; others count as UTC.
const ZONES: [(&str, i32); 8] =
    [("EST", -5), ("EDT", -4), ("CST", -6), ("CDT", -5), ("MST", -7), ("MDT", -6), ("PST", -8), ("PDT", -7)];
/// Maximum length in bytes; the rest is ignored.
const MAX_LENGTH: usize = 200;

#[derive(Default)]
struct Parts {
    day: Option<u32>,
    month: Option<u32>,
    year: Option<i32>,
    time: Option<(u32, u32, u32)>,
    /// Seconds east of Greenwich.
    offset: i32,
    is_afternoon: Option<bool>,
}

/// Returns the instant, if the text is a valid date.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = without_comments(text.trim().get(..text.trim().len().min(MAX_LENGTH))?);
    if let Ok(at) = DateTime::parse_from_rfc3339(&text).or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S %z")) {
        return Some(at.to_utc());
    }
    let mut parts = Parts::default();
    for token in text.split([' ', '\t', ',', '\r', '\n']).filter(|token| !token.is_empty()) {
        match token.split('-').collect::<Vec<_>>()[..] {
            // The format of cookies: 20-Nov-2026.
            [day, month, year] if month.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                [day, month, year].iter().try_for_each(|token| parts.take(token))?;
            }
            _ => parts.take(token)?,
        }
    }
    parts.instant()
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_u32;
    let kept = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    text.chars().filter(kept).collect::<String>().trim().to_owned()
}

impl Parts {
    /// Parses one token. `None`: the text is not a date.
    fn take(&mut self, token: &str) -> Option<()> {
        let digits = token.bytes().all(|byte| byte.is_ascii_digit());
        if token.contains(':') && token.starts_with(|c: char| c.is_ascii_digit()) {
            // The zone may follow directly: 10:00:00+0200, 10:00:00Z.
            let end = token.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(token.len());
            self.time = Some(time(&token[..end])?);
            return if end < token.len() { self.take(&token[end..]) } else { Some(()) };
        }
        if token.starts_with(['+', '-']) {
            self.offset = offset(token)?;
        } else if digits {
            match (self.day, token.len()) {
                (None, 1 | 2) => self.day = token.parse().ok(),
                (_, 2..=4) if self.year.is_none() => self.year = Some(year(token)?),
                _ => return None,
            }
        } else {
            self.name(token)?;
        }
        Some(())
    }

    fn name(&mut self, token: &str) -> Option<()> {
        let word = token.trim_matches('.').to_ascii_lowercase();
        let is_month = |month: &&str| word.len() >= 3 && (month.starts_with(&word) || word == "sept" && month.starts_with("sep"));
        match (word.as_str(), MONTHS.iter().position(is_month)) {
            (_, Some(index)) if self.month.is_none() => self.month = u32::try_from(index + 1).ok(),
            ("am", _) => self.is_afternoon = Some(false),
            ("pm", _) => self.is_afternoon = Some(true),
            (word, _) => {
                if let Some((_, hours)) = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
                    self.offset = hours * 3_600;
                } else if let Some(at) = word.find(['+', '-']) {
                    // GMT+0200
                    self.offset = offset(&word[at..])?;
                }
            }
        }
        Some(())
    }

    fn instant(self) -> Option<DateTime<Utc>> {
        let (hour, minute, second) = self.time?;
        let hour = match self.is_afternoon {
            None => hour,
            Some(_) if !(1..=12).contains(&hour) => return None,
            Some(is_afternoon) => hour % 12 + if is_afternoon { 12 } else { 0 },
        };
        let day = NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)?;
        // A leap second counts as the first second of the next minute.
        let (second, more) = if second == 60 { (59, 1) } else { (second, 0) };
        let local = day.and_hms_opt(hour, minute, second)?;
        let at = local.and_local_timezone(FixedOffset::east_opt(self.offset)?).single()?;
        Some(at.to_utc() + Duration::seconds(more))
    }
}

fn time(token: &str) -> Option<(u32, u32, u32)> {
    let token = token.split('.').next()?;
    let numbers: Vec<u32> = token.split(':').map(|part| part.parse().ok().filter(|_| part.len() <= 2)).collect::<Option<_>>()?;
    match numbers[..] {
        [hour, minute] => Some((hour, minute, 0)),
        [hour, minute, second] => Some((hour, minute, second)),
        _ => None,
    }
}

/// `+0200` or `+02:00`. Three digits are ambiguous.
fn offset(token: &str) -> Option<i32> {
    let sign = if token.starts_with('-') { -1 } else { 1 };
    let digits = token.get(1..)?.replace(':', "");
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Two-digit years below 69 are in this century; 1900 is added to others and to three-digit years, following RFC 5322 and Python.
fn year(token: &str) -> Option<i32> {
    let year: i32 = token.parse().ok()?;
    Some(match token.len() {
        2 if year < 69 => 2_000 + year,
        2 | 3 => 1_900 + year,
        _ => year,
    })
    .filter(|year| *year >= 1900)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<String> {
        parse(text).map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string())
    }

    #[test]
    fn dates_are_read_however_they_are_written() {
        for text in [
            "Fri, 20 Nov 2026 10:00:00 +0000",
            "Fri, 20 Nov 2026 10:00:00 GMT",
            "20 Nov 2026 10:00",
            "20 nov 26 10:00:00",
            "Mon, 20 Nov 2026 11:00:00 +0100 (CET, (local))",
            "Friday, 20 November 2026 02:00:00 PST",
            "Fri, 20-Nov-2026 10:00:00 GMT",
            "Fri Nov 20 10:00:00 2026",
            "Fri Nov 20 10:00:00 UTC 2026",
            "Nov 20, 2026 10:00:00 AM",
            "Fri, 20 Nov 2026 12:00:00 GMT+0200",
            "Fri, 20 Nov 2026 12:00:00 +02:00",
            "Fri, 20 Nov 2026 10:00:00.123 Z",
            "Fri,20 Nov 2026 10:00:00+0000",
            "2026-11-20T10:00:00Z",
            "2026-11-20 11:00:00 +0100",
            "Fri, 20 Nov 2026 09:59:60 +0000",
            "Fri, 20 Nov 2026 15:30:00 +0530",
            "Fri, 20 Nov 126 10:00:00 -0000",
        ] {
            assert_eq!(read(text).as_deref(), Some("2026-11-20 10:00:00"), "{text}");
        }
        assert_eq!(read("Sun, 29 Feb 2004 12:00:00 PM").as_deref(), Some("2004-02-29 12:00:00"));
        assert_eq!(read("1 Jan 70 00:00:00 EST").as_deref(), Some("1970-01-01 05:00:00"));
    }

    #[test]
    fn text_that_is_not_a_date_yields_none() {
        for text in [
            "",
            "Fri, 45 Nov 2026 25:61:61 +0200",
            "Mon, 30 Feb 2026 10:00:00 +0000",
            "Fri, 29 Feb 2026 10:00:00 +0000",
            "Fri, 20 Foo 2026 10:00:00 +0000",
            "Fri, 20 Nov 2026 10:00:00 +200",
            "Fri, 20 Nov 2026 10:00:00 +9999",
            "Fri, 20 Nov 2026 24:00:00 +0000",
            "Fri, 20 Nov 2026 10:60:00 +0000",
            "Fri, 20 Nov 2026 10:00:61 +0000",
            "Fri, 20 Nov 2026",
            "Fri, 20 Nov 10:00:00",
            "Fri, 20 Nov 20260 10:00:00",
            "Fri, 20 Nov 2026 13:00:00 PM",
            "yesterday",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_date_or_none(text in "(\\PC|[0-9]|:|\\+|-| |Nov|GMT|\\(){0,40}") {
            parse(&text);
        }

        #[test]
        fn every_instant_is_read_back(seconds in -2_000_000_000_i64..30_000_000_000, hours in -14_i32..=14) {
            let at = DateTime::from_timestamp(seconds, 0).expect("an instant");
            let zone = FixedOffset::east_opt(hours * 3_600).expect("a zone");
            prop_assert_eq!(parse(&at.with_timezone(&zone).to_rfc2822()), Some(at));
        }
    }
}
