//! What a message says: headers, text and attachments, read by mail-parser. Whatever can be read is; what cannot leaves a note. Pure.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use mail_parser::{Address, HeaderName, Message, MessageParser, MimeHeaders as _, PartType};
use serde::{Deserialize, Serialize};

/// Headers that carry a recipient, beside To, Cc and Bcc.
const DELIVERED: [HeaderName<'static>; 2] = [HeaderName::DeliveredTo, HeaderName::Other(Cow::Borrowed("X-Original-To"))];
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
    let parser = MessageParser::new().with_minimal_headers().with_message_ids();
    DELIVERED.into_iter().fold(parser, |parser, name| parser.header_address(name))
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
        let values = message.header_values(name);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_decoded_and_recipients_found_in_all_five() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mail = of_headers(&[
            header("From", "=?ISO-8859-1?Q?J=F6rg_M=FCller?= <joerg@example.com>"),
            header("Subject", "=?UTF-8?B?w5xiZXI=?= =?UTF-8?Q?_alles?="),
            header("To", "\"Doe, Jane\" <jane@example.com>, Team: a@example.com, b@example.com;"),
            header("Cc", "ai+bob@example.com"),
            header("Bcc", "c@example.com"),
            header("Delivered-To", "d@example.com"),
            header("X-Original-To", "<e@example.com>"),
            header("Date", "Tue, 3 Nov 2026 10:00:00 +0100"),
            header("Message-ID", "<1@example.com>"),
        ]);
        assert_eq!(mail.from_name.as_deref(), Some("Jörg Müller"));
        assert_eq!(mail.subject.as_deref(), Some("Über alles"));
        assert_eq!(mail.to, ["jane@example.com", "a@example.com", "b@example.com"]);
        let others = ["ai+bob@example.com", "c@example.com", "d@example.com", "e@example.com"];
        assert_eq!(mail.recipients[3..], others);
        assert_eq!(mail.sent_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-03T09:00:00+00:00"));
        assert_eq!(mail.message_id.as_deref(), Some("1@example.com"));
    }

    #[test]
    fn a_header_cannot_bring_another_one_in() {
        let mail = of_headers(&[("Subject".into(), "x\r\nTo: ai+bob@example.com\r\n\r\nbody".into())]);
        assert!(mail.recipients.is_empty(), "{mail:?}");
    }

    #[test]
    fn nested_parts_give_text_attachments_and_a_kind() {
        let raw = "Subject: s\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n\
            --b\r\nContent-Type: text/html\r\n\r\n<p>Gruss</p>\r\n--b--\r\n\
            --a\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=UTF-8''%C3%BC.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--a--\r\n";
        let mail = of_message(raw.as_bytes());
        assert_eq!(mail.text.as_deref().map(str::trim), Some("Grüße"));
        assert_eq!(mail.attachments, [Attachment { name: Some("ü.pdf".into()), mime_type: "application/pdf".into(), size: 4 }]);
        assert_eq!((mail.kind, mail.note), (Kind::Email, None));
        let html = of_message(b"Content-Type: text/html\r\n\r\n<a href=\"https://docs.google.com/document/d/1\">Plan</a>");
        assert_eq!((html.text.as_deref().map(str::trim), html.kind), (Some("Plan"), Kind::DriveShare));
        let invitation = of_message(b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n");
        assert_eq!(invitation.kind, Kind::Invitation);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic_and_without_nul(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mail = of_message(&raw);
            prop_assert!(!mail.text.unwrap_or_default().contains('\0'));
            prop_assert!(!mail.subject.unwrap_or_default().contains('\0'));
        }

        #[test]
        fn broken_mime_is_read_as_far_as_it_goes(body in "(--a|\r\n|Content-Type: |multipart/mixed; boundary=a|base64|=|;|x){0,40}") {
            let mail = of_message(format!("Subject: kept\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n{body}").as_bytes());
            prop_assert_eq!(mail.subject.as_deref(), Some("kept"));
        }
    }
}
