//! What runs changed, in nouns: `3 events, 82 files, 37 messages`. Pure.

use crate::engine::Report;
use crate::services::registry;

/// The items that these runs created, updated or deleted, or would have; empty if there are none.
pub fn changed<'a>(reports: impl IntoIterator<Item = &'a Report>) -> String {
    let mut parts = Vec::new();
    for report in reports {
        for (kind, nouns) in registry::of_job(&report.job).into_iter().flat_map(|service| service.nouns) {
            let changes = report.changes.get(*kind).map_or(0, |counts| counts.changes());
            if changes > 0 {
                parts.push(count(changes, *nouns));
            }
        }
    }
    parts.join(", ")
}

/// What the items of a kind of stream are called, in the plural; its own name if it has no noun.
pub fn plural<'a>(report: &Report, kind: &'a str) -> &'a str {
    let mut nouns = registry::of_job(&report.job).into_iter().flat_map(|service| service.nouns);
    nouns.find(|(of, _)| *of == kind).map_or(kind, |(_, [_, plural])| *plural)
}

/// `1 event`, `50,153 events`
pub fn count(number: u64, [one, several]: [&str; 2]) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { several })
}

/// A number with commas between groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Counts;

    #[test]
    fn numbers_are_grouped() {
        let numbers = [(0, "0"), (999, "999"), (1_000, "1,000"), (50_153, "50,153"), (1_234_567, "1,234,567")];
        for (number, text) in numbers {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(count(1, ["event", "events"]), "1 event");
        assert_eq!(count(0, ["event", "events"]), "0 events");
    }

    #[test]
    fn changes_are_counted_in_nouns_the_main_items_first() {
        let mut calendar = Report::new(uuid::Uuid::nil(), "calendar cron", false);
        calendar.changes.insert("calendar_list".into(), Counts { created: 1, ..Counts::default() });
        calendar
            .changes
            .insert("events".into(), Counts { created: 1, updated: 1, deleted: 1, unchanged: 9, ..Counts::default() });
        let mut drive = Report::new(uuid::Uuid::nil(), "drive cron", false);
        drive.changes.insert("changes".into(), Counts { created: 82, ..Counts::default() });
        drive.changes.insert("drive_list".into(), Counts { unchanged: 2, ..Counts::default() });
        assert_eq!(changed([&calendar, &drive]), "3 events, 1 calendar, 82 files");
        assert_eq!(changed([&Report::new(uuid::Uuid::nil(), "gmail cron", false)]), "");
        assert_eq!((plural(&drive, "changes"), plural(&drive, "other")), ("files", "other"));
    }
}
