//! What a message says: headers, text and attachments, read by mail-parser. Whatever can be read is; what cannot leaves a note. Pure.

use chrono::{DateTime, Utc};
use mail_parser::{Address, HeaderName, Message, MessageParser, MimeHeaders as _, PartType};
use serde::{Deserialize, Serialize};

/// Headers that carry a recipient, beside To, Cc and Bcc.
const DELIVERED: [&str; 2] = ["Delivered-To", "X-Original-To"];
/// Most text of a message that is kept, in bytes.
const MOST_TEXT: usize = 1 << 20;
/// Where files of Google Drive are linked.
const DRIVE_LINKS: [&str; 2] = ["https://drive.google.com/", "https://docs.google.com/"];

/// A message, read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mail {
    pub from_name: Option<String>,
    pub from_address: Option<String>,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    /// Everybody it was sent or delivered to, in the order of the headers.
    pub recipients: Vec<String>,
    pub subject: Option<String>,
    /// By its Date header.
    pub sent_at: Option<DateTime<Utc>>,
    pub message_id: Option<String>,
    /// Its text, HTML turned into text.
    pub text: Option<String>,
    pub attachments: Vec<Attachment>,
    pub kind: Kind,
    /// What could not be read.
    pub note: Option<String>,
}

/// What is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub name: Option<String>,
    pub mime_type: String,
    /// Bytes, decoded.
    pub size: usize,
}

/// What sort of message it is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Email,
    /// It links to a file on Google Drive.
    DriveShare,
    /// It has a text/calendar part, or an `.ics` file attached.
    Invitation,
}

impl Kind {
    /// `documents.kind`
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::DriveShare => "drive_share",
            Self::Invitation => "invitation",
        }
    }
}

fn parser() -> MessageParser {
    DELIVERED.into_iter().fold(MessageParser::default(), |parser, name| parser.header_address(HeaderName::Other(name.into())))
}

/// Reads a message from its headers alone, as `format=metadata` gives them.
pub fn of_headers(headers: &[(String, String)]) -> Mail {
    let mut block = String::new();
    for (name, value) in headers {
        // A line break would begin a header of its own.
        block.push_str(&format!("{}: {}\r\n", one_line(name), one_line(value)));
    }
    block.push_str("\r\n");
    match MessageParser::parse_headers(&parser(), block.as_bytes()) {
        Some(message) => envelope(&message),
        None => Mail { note: Some("no header could be read".into()), ..Mail::default() },
    }
}

/// Reads a whole message, RFC 5322.
pub fn of_message(raw: &[u8]) -> Mail {
    let Some(message) = parser().parse(raw) else {
        return Mail { note: Some("the message could not be read".into()), ..Mail::default() };
    };
    let mut mail = envelope(&message);
    let mut notes = Vec::new();
    mail.text = text(&message, &mut notes);
    mail.attachments = message.attachments().map(attachment).collect();
    if message.parts.iter().any(|part| part.is_encoding_problem) {
        notes.push("a part could not be decoded whole");
    }
    mail.kind = kind(&message, &mail);
    mail.note = (!notes.is_empty()).then(|| notes.join("; "));
    mail
}

/// Text that is escaped as HTML, as it reads.
pub fn plain(escaped: &str) -> String {
    clean(mail_parser::decoders::html::html_to_text(escaped).trim())
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

fn envelope(message: &Message<'_>) -> Mail {
    let list = |addresses: &mut dyn Iterator<Item = &Address<'_>>| -> Vec<String> {
        addresses.flat_map(Address::iter).filter_map(|entry| entry.address.as_deref()).map(clean).collect()
    };
    let from = message.from().and_then(Address::first);
    let (to, cc, bcc) = (list(&mut message.all_to()), list(&mut message.all_cc()), list(&mut message.all_bcc()));
    let delivered = DELIVERED.into_iter().flat_map(|name| {
        let values = message.header_values(HeaderName::Other(name.into()));
        list(&mut values.filter_map(|value| value.as_address()))
    });
    let recipients = to.iter().chain(&cc).chain(&bcc).cloned().chain(delivered).collect();
    Mail {
        from_name: from.and_then(|from| from.name.as_deref()).map(clean),
        from_address: from.and_then(|from| from.address.as_deref()).map(clean),
        recipients,
        subject: message.subject().map(clean),
        sent_at: message.date().and_then(|date| DateTime::from_timestamp(date.to_timestamp(), 0)),
        message_id: message.message_id().map(clean),
        to,
        cc,
        ..Mail::default()
    }
}

/// NUL is the one character that the database cannot hold.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn text(message: &Message<'_>, notes: &mut Vec<&'static str>) -> Option<String> {
    let parts: Vec<_> = (0..message.text_body_count()).filter_map(|place| message.body_text(place)).collect();
    if parts.is_empty() {
        return None;
    }
    let mut text = clean(&parts.join("\n"));
    if text.len() > MOST_TEXT {
        let end = (0..=MOST_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        notes.push("the text was cut at 1 MiB");
    }
    Some(text)
}

fn attachment(part: &mail_parser::MessagePart<'_>) -> Attachment {
    Attachment { name: part.attachment_name().map(clean), mime_type: mime_type(part), size: part.len() }
}

fn mime_type(part: &mail_parser::MessagePart<'_>) -> String {
    match (part.content_type(), &part.body) {
        (Some(kind), _) => match kind.subtype() {
            Some(subtype) => clean(&format!("{}/{subtype}", kind.ctype())).to_lowercase(),
            None => clean(kind.ctype()).to_lowercase(),
        },
        (None, PartType::Message(_)) => "message/rfc822".into(),
        (None, PartType::Text(_)) => "text/plain".into(),
        (None, _) => "application/octet-stream".into(),
    }
}

fn kind(message: &Message<'_>, mail: &Mail) -> Kind {
    let is_calendar = |part: &mail_parser::MessagePart<'_>| {
        mime_type(part) == "text/calendar" || part.attachment_name().is_some_and(|name| name.to_lowercase().ends_with(".ics"))
    };
    if message.parts.iter().any(is_calendar) {
        return Kind::Invitation;
    }
    // In HTML the link may stand behind a word.
    let html = message.parts.iter().filter_map(|part| match &part.body {
        PartType::Html(html) => Some(&**html),
        _ => None,
    });
    let links = |text: &str| DRIVE_LINKS.iter().any(|link| text.contains(link));
    match mail.text.as_deref().into_iter().chain(html).any(links) {
        true => Kind::DriveShare,
        false => Kind::Email,
    }
}
