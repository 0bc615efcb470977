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

use super::attachments::{File, Kept};
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

/// The description of an attachment.
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
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// In the order of the attachments; empty if none are to be stored.
    pub files: Vec<File>,
    pub kind: Kind,
    /// What could not be parsed. Notes on headers are made when Gmail's headers are parsed.
    pub note: Option<String>,
    /// Headers that are not UTF-8, which JSON cannot represent: name and value, decoded in the detected charset.
    pub eight_bit_headers: Vec<(String, String)>,
}

/// Parses a raw message, RFC 5322, leniently; of its headers only those that Gmail's JSON cannot represent.
pub fn content(raw: &[u8], kept: Kept<'_>) -> Content {
    let parts = parts::of(raw);
    let eight_bit_headers = headers(&parts, |value| std::str::from_utf8(value).is_err());
    content_of(&parts, Some(kept), eight_bit_headers)
}

/// Parses a raw message with all its headers.
pub fn of_message(raw: &[u8]) -> Mail {
    let parts = parts::of(raw);
    let Content { text, attachments, kind, note, .. } = content_of(&parts, None, Vec::new());
    Mail { text, attachments, kind, note, ..of_headers(&headers(&parts, |_| true)) }
}

fn content_of(parts: &parts::Parts<'_>, kept: Option<Kept<'_>>, eight_bit_headers: Vec<(String, String)>) -> Content {
    let body = body::read(parts, kept);
    Content {
        text: body.text,
        html: body.html,
        attachments: body.attachments,
        files: body.files,
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
mod tests;
