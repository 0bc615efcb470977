//! Parses messages leniently: headers, text and attachments. Whatever cannot be parsed is noted. Pure.

mod addresses;
mod body;
mod date;
mod encoded_words;
mod html;
mod part;
mod parts;
mod transfer;

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use mail_parser::MessageParser;
use serde::{Deserialize, Serialize};

use crate::nul;

/// The note for a message with too many addresses.
const MANY_ADDRESSES: &str = "addresses beyond the first 2000 of a list were left out";

/// A parsed message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mail {
    pub from_name: Option<String>,
    pub from_address: Option<String>,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    /// All addresses that it was sent or delivered to, in the order of the headers.
    pub recipients: Vec<String>,
    pub subject: Option<String>,
    /// From the Date header.
    pub sent_at: Option<DateTime<Utc>>,
    pub message_id: Option<String>,
    /// Its text; HTML is converted to text.
    pub text: Option<String>,
    pub attachments: Vec<Attachment>,
    pub kind: Kind,
    /// What could not be parsed.
    pub note: Option<String>,
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub name: Option<String>,
    pub mime_type: String,
    /// Decoded size in bytes.
    pub size: usize,
}

/// The kind of a message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Email,
    /// It links to a file on Google Drive.
    DriveShare,
    /// It has a text/calendar part or an attached `.ics` file.
    Invitation,
}

impl Kind {
    /// The kind with this name; `None`: a kind of another version.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Email, Self::DriveShare, Self::Invitation].into_iter().find(|kind| kind.name() == name)
    }

    /// `documents.kind`
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::DriveShare => "drive_share",
            Self::Invitation => "invitation",
        }
    }
}

/// Parses a message from its headers only, as returned by `format=metadata`: with encoded or decoded words.
pub fn of_headers(headers: &[(String, String)]) -> Mail {
    let all = |name: &'static str| {
        headers.iter().filter(move |(own, _)| own.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let mut is_cut = false;
    let mut list = |name: &'static str| -> Vec<String> {
        let read = all(name).flat_map(addresses::read).take(addresses::MAX_ENTRIES + 1);
        let mut list: Vec<String> = read.filter_map(|entry| entry.address).map(|address| nul::cleaned(&address)).collect();
        is_cut |= list.len() > addresses::MAX_ENTRIES;
        list.truncate(addresses::MAX_ENTRIES);
        list
    };
    let from: Vec<_> = all("From").flat_map(addresses::read).take(addresses::MAX_ENTRIES).collect();
    let (from_name, from_address) = addresses::sender(from);
    let (to, cc) = (list("To"), list("Cc"));
    let others: Vec<String> = ["Bcc", "Delivered-To", "X-Original-To"].into_iter().flat_map(list).collect();
    Mail {
        note: is_cut.then(|| MANY_ADDRESSES.to_owned()),
        from_name: from_name.as_deref().map(nul::cleaned),
        from_address: from_address.as_deref().map(nul::cleaned),
        recipients: to.iter().chain(&cc).cloned().chain(others).collect(),
        subject: all("Subject").next().map(|subject| nul::cleaned(encoded_words::decoded(&one_line(subject)).trim())),
        sent_at: all("Date").next().and_then(date::parse),
        message_id: all("Message-ID").next().and_then(message_id),
        to,
        cc,
        ..Mail::default()
    }
}

/// What only the raw message contains.
#[derive(Debug)]
pub struct Content {
    pub text: Option<String>,
    pub attachments: Vec<Attachment>,
    pub kind: Kind,
    /// What could not be parsed. Notes on headers are made when Gmail's headers are parsed.
    pub note: Option<String>,
    /// Headers that are not UTF-8, which JSON cannot represent: name and value, decoded in the detected charset.
    pub eight_bit_headers: Vec<(String, String)>,
}

/// Parses a raw message, RFC 5322, leniently; of its headers only those that Gmail's JSON cannot represent.
pub fn content(raw: &[u8]) -> Content {
    let parts = parts::of(raw);
    let eight_bit_headers = headers(&parts, |value| std::str::from_utf8(value).is_err());
    content_of(&parts, eight_bit_headers)
}

/// Parses a raw message with all its headers.
pub fn of_message(raw: &[u8]) -> Mail {
    let parts = parts::of(raw);
    let Content { text, attachments, kind, note, .. } = content_of(&parts, Vec::new());
    Mail { text, attachments, kind, note, ..of_headers(&headers(&parts, |_| true)) }
}

fn content_of(parts: &parts::Parts<'_>, eight_bit_headers: Vec<(String, String)>) -> Content {
    let body = body::read(parts);
    Content {
        text: body.text,
        attachments: body.attachments,
        kind: body.kind,
        note: (!body.notes.is_empty()).then(|| body.notes.join("; ")),
        eight_bit_headers,
    }
}

fn headers(parts: &parts::Parts<'_>, is_kept: impl Fn(&[u8]) -> bool) -> Vec<(String, String)> {
    let kept = parts.headers.iter().filter(|(_, value)| is_kept(value));
    kept.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), part::text(value))).collect()
}

/// Converts HTML-escaped text to plain text.
pub fn plain(escaped: &str) -> String {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic() && byte != b'<' && byte != b'&';
    // The usual case.
    if escaped.bytes().all(is_plain) && !escaped.contains("  ") && escaped.trim() == escaped {
        return escaped.to_owned();
    }
    nul::cleaned(&html::text(escaped))
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\t', '\0'], " ")
}

static ID_PARSER: LazyLock<MessageParser> = LazyLock::new(|| MessageParser::new().with_message_ids());

fn message_id(value: &str) -> Option<String> {
    let block = format!("Message-ID: {}\r\n\r\n", one_line(value));
    let message = ID_PARSER.parse_headers(block.as_bytes())?;
    message.message_id().map(nul::cleaned)
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

    #[test]
    fn blank_plain_text_yields_to_html_and_sibling_texts_are_joined() {
        let alternative = |plain: &str, kind: &str| {
            let raw = format!(
                "Content-Type: multipart/{kind}; boundary=a\n\n--a\nContent-Type: text/plain\n\n{plain}\n--a\nContent-Type: text/html\n\n<p>page</p>\n--a--"
            );
            of_message(raw.as_bytes())
        };
        for (plain, kind, text) in [
            ("plain", "alternative", "plain"),
            (" \u{a0}\u{200b}\r\n", "alternative", "page"),
            ("plain", "mixed", "plain\npage"),
            (" ", "mixed", "page"),
            ("plain", "related", "plain"),
        ] {
            let mail = alternative(plain, kind);
            assert_eq!(mail.text.as_deref(), Some(text), "{plain:?} in {kind}");
            assert_eq!(mail.attachments.len(), usize::from(kind == "related"), "{kind}");
        }
        let related = "Content-Type: multipart/related; boundary=a\n\n--a\nContent-Type: image/png\n\nx\n--a\nContent-Type: text/html\n\n<p>page</p>\n--a--";
        assert_eq!(of_message(related.as_bytes()).text.as_deref(), Some("page"));
    }

    #[test]
    fn text_and_attachments_of_broken_mail_are_bounded_and_noted() {
        let long = of_message(format!("A: b\n\n{}", "ü".repeat(1 << 20)).as_bytes());
        assert_eq!(long.text.map(|text| text.len()), Some(1 << 20));
        assert_eq!(long.note.as_deref(), Some("the text was cut at 1 MiB"));
        let many = format!("Content-Type: multipart/mixed; boundary=a\n\n{}", "--a\nContent-Type: x/y\n\n".repeat(5_000));
        let many = of_message(many.as_bytes());
        assert!(many.attachments.len() < 1_000 && many.note.is_some_and(|note| note.contains("not all parts were read")));
        let long = "n".repeat(9_000);
        let named = of_message(format!("Content-Type: x/y; name={long}\n\nz").as_bytes());
        assert_eq!(named.attachments.first().and_then(|one| one.name.as_ref()).map(String::len), Some(1_000));
        // Enclosed messages are not opened, however deep they are.
        let nested = of_message("Content-Type: message/rfc822\n\n".repeat(50_000).as_bytes());
        assert_eq!((nested.attachments.len(), nested.text), (1, None));
    }

    #[test]
    fn headers_of_parts_and_addresses_are_bounded_and_noted() {
        let raw = format!(
            "Content-Type: multipart/mixed; boundary=a\n\n--a\nX: y\n{} folded\nContent-Type: text/html\n\nz",
            "a:\n".repeat(5_000)
        );
        let many = of_message(raw.as_bytes());
        // Its Content-Type is beyond the headers that are kept.
        assert_eq!((many.text.as_deref(), many.attachments.len()), (Some("z"), 0));
        assert!(many.note.is_some_and(|note| note.contains("beyond the first 1000")));
        let list: Vec<String> = (0..5_000).map(|nth| format!("a{nth}@x.org")).collect();
        let mail = of_headers(&[("To".into(), list.join(",")), ("Cc".into(), list[..2_000].join(","))]);
        assert_eq!((mail.to.len(), mail.cc.len(), &mail.to[1_999]), (2_000, 2_000, &list[1_999]));
        assert!(mail.note.is_some_and(|note| note.contains("2000")));
        assert_eq!(of_headers(&[("Cc".into(), list[..2_000].join(","))]).note, None);
    }

    proptest! {
        #[test]
        fn any_input_parses_without_panic_or_nul(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mail = of_message(&raw);
            prop_assert!(!mail.text.unwrap_or_default().contains('\0'));
            prop_assert!(!mail.subject.unwrap_or_default().contains('\0'));
        }

        #[test]
        fn broken_mime_is_read_up_to_the_damage(body in "(--a|\r\n|Content-Type: |multipart/mixed; boundary=a|base64|=|;|x){0,40}") {
            let mail = of_message(format!("Subject: kept\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n{body}").as_bytes());
            prop_assert_eq!(mail.subject.as_deref(), Some("kept"));
        }
    }
}
