//! The cursor of a mailbox: where its history goes on, and when its labels are listed again, which no history reports. Pure.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// Labels are listed again after this time.
const LABELS_EVERY: Duration = Duration::days(1);
/// The same, if they could not be listed.
const LABELS_RETRY: Duration = Duration::hours(1);

/// The text of a cursor is its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub history_id: String,
    /// Seconds since the epoch. `sql/note_labels.sql` sets it to 0 when a message bears a label that is not known.
    pub labels_due: i64,
}

impl Cursor {
    /// Parses a cursor. One of an earlier version is a history id only: its labels are due.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self { history_id: text.to_owned(), labels_due: 0 })
    }

    /// Whether the labels are to be listed.
    pub fn are_labels_due(&self, now: DateTime<Utc>) -> bool {
        self.labels_due <= now.timestamp()
    }

    /// The cursor after this one. `listed`: whether its poll has listed the labels; `None`: it did not try.
    pub fn after(history_id: String, labels_due: i64, listed: Option<bool>, now: DateTime<Utc>) -> Self {
        let labels_due = match listed {
            None => labels_due,
            Some(true) => (now + LABELS_EVERY).timestamp(),
            Some(false) => (now + LABELS_RETRY).timestamp(),
        };
        Self { history_id, labels_due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_due_once_a_day_and_an_hour_after_a_failure() {
        let now = DateTime::UNIX_EPOCH + Duration::days(10);
        let due = |listed, later: Duration| Cursor::after("7".into(), 0, listed, now).are_labels_due(now + later);
        assert_eq!([due(Some(true), Duration::hours(23)), due(Some(true), Duration::hours(24))], [false, true]);
        assert_eq!([due(Some(false), Duration::minutes(59)), due(Some(false), Duration::hours(1))], [false, true]);
        assert!(due(None, Duration::zero()), "as it was");
    }

    #[test]
    fn a_cursor_of_an_earlier_version_is_a_history_id_whose_labels_are_due() {
        let cursor = Cursor::parse("9007199254741001");
        assert_eq!(cursor, Cursor { history_id: "9007199254741001".into(), labels_due: 0 });
        let text = serde_json::to_string(&cursor).expect("JSON");
        assert_eq!(Cursor::parse(&text), cursor);
    }
}
