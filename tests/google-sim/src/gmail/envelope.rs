//! The metadata that a mailbox needs of an added message: its date, its thread, its labels.

use mail_parser::{HeaderName, HeaderValue, MessageParser};

/// Read from a message's headers.
#[derive(Default)]
pub struct Envelope {
    /// Milliseconds since the epoch.
    pub date: Option<i64>,
    pub id: Option<String>,
    /// IDs of the messages that it answers, nearest first.
    pub answers: Vec<String>,
    /// The thread that Takeout names.
    pub thread: Option<u64>,
    /// The label names in Takeout, if any.
    pub labels: Option<Vec<String>>,
}

impl Envelope {
    pub fn of(text: &[u8]) -> Self {
        let parser = MessageParser::new().with_date_headers().with_message_ids();
        let parser = parser.header_text(HeaderName::Other("X-Gmail-Labels".into()));
        let Some(message) = parser.parse_headers(text) else { return Self::default() };
        let named = |name: &'static str| message.header(HeaderName::Other(name.into())).and_then(HeaderValue::as_text);
        let ids = |value: &HeaderValue<'_>| -> Vec<String> {
            value.as_text_list().unwrap_or_default().iter().rev().map(|id| id.clone().into_owned()).collect()
        };
        let date = message.date().filter(|date| date.is_valid()).and_then(|date| date.to_timestamp().checked_mul(1_000));
        Self {
            date,
            id: message.message_id().map(str::to_owned),
            answers: [ids(message.in_reply_to()), ids(message.references())].concat(),
            thread: named("X-GM-THRID").and_then(|thread| thread.trim().parse().ok()),
            labels: named("X-Gmail-Labels").map(names),
        }
    }
}

/// Takeout's label names, mapped to Gmail's IDs where they are Gmail's own.
fn names(list: &str) -> Vec<String> {
    let names = list.split(',').map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty());
    // These two are the absence of a label: UNREAD, INBOX.
    let names = names.filter(|name| !["Opened", "Archived"].contains(name));
    let id = |name: &str| match name {
        "Inbox" | "Unread" | "Starred" | "Important" | "Sent" | "Spam" | "Trash" => name.to_ascii_uppercase(),
        "Drafts" | "Draft" => "DRAFT".into(),
        name => match name.strip_prefix("Category ") {
            Some(category) => format!("CATEGORY_{}", category.to_ascii_uppercase()),
            None => name.into(),
        },
    };
    names.map(id).collect()
}
