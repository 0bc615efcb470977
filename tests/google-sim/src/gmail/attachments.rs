//! Attachments under `/admin/mail`: a collection of messages with attachments of many kinds, and what is attached to the messages of mailboxes.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Json, Query, State};
use data_encoding::{BASE64_MIME, HEXLOWER};
use mail_parser::{MessageParser, MessagePart, MimeHeaders as _, PartType};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::deliver;
use super::envelope::Envelope;
use super::labels::{INBOX, UNREAD};
use super::words;
use crate::admin::{Answer, Params, Shared, user};
use crate::state::lock;

/// What to deliver: POST it to `/admin/mail/attachments`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    user: String,
    /// Absent: the user.
    to: Option<String>,
    /// Size in bytes of the large attachment.
    #[serde(default = "large")]
    large: usize,
}

fn large() -> usize {
    100_000
}

/// An attachment as it is sent.
struct Attached {
    /// Its Content-Type.
    kind: &'static str,
    /// More headers.
    headers: String,
    name: Option<&'static str>,
    bytes: Vec<u8>,
    encoding: Encoding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Base64,
    QuotedPrintable,
    SevenBit,
    /// Base64 with characters that do not belong there.
    Damaged,
}

impl Attached {
    fn new(kind: &'static str, name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        let headers = format!("Content-Disposition: attachment; filename*=UTF-8''{}\r\n", percent(name));
        Self { kind, headers, name: Some(name), bytes: bytes.into(), encoding: Encoding::Base64 }
    }

    fn encoded(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    fn part(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let (encoding, content) = match self.encoding {
            Encoding::Base64 => ("base64", BASE64_MIME.encode(&self.bytes)),
            Encoding::Damaged => ("base64", format!("AAAA*{}", BASE64_MIME.encode(&self.bytes))),
            // Without the end of its last line, which the boundary brings.
            Encoding::QuotedPrintable => ("quoted-printable", words::quoted_printable(&text).trim_end().to_owned()),
            Encoding::SevenBit => ("7bit", text.into_owned()),
        };
        format!("Content-Type: {}\r\n{}Content-Transfer-Encoding: {encoding}\r\n\r\n{content}", self.kind, self.headers)
    }

    /// What was sent; no hash if it cannot be read.
    fn shown(&self) -> Value {
        let is_readable = self.encoding != Encoding::Damaged;
        json!({ "name": self.name, "mime_type": self.kind, "size": self.bytes.len(), "sha256": is_readable.then(|| sha256(&self.bytes)) })
    }
}

fn percent(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        let _ = if byte.is_ascii_alphanumeric() { write!(text, "{}", char::from(byte)) } else { write!(text, "%{byte:02X}") };
    }
    text
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Bytes that look random and are the same for the same number.
fn noise(number: u64, size: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

/// Each message by its subject, with its attachments.
fn collection(large: usize) -> Vec<(&'static str, Vec<Attached>)> {
    let offer = || [&b"%PDF-1.7\r\n"[..], &noise(1, 20_000)].concat();
    let inline = Attached {
        headers: "Content-ID: <logo@sim>\r\nContent-Disposition: inline; filename=\"logo.png\"\r\n".into(),
        ..Attached::new("image/png", "logo.png", noise(2, 5_000))
    };
    let unnamed = Attached { headers: String::new(), name: None, ..Attached::new("application/octet-stream", "", noise(3, 10)) };
    let forwarded = "From: old@partner.example\r\nSubject: forwarded\r\n\r\nOld text";
    let enclosed = Attached { headers: String::new(), name: None, ..Attached::new("message/rfc822", "", forwarded) }
        .encoded(Encoding::SevenBit);
    let of_text = |name: &'static str, text: &str| Attached::new("text/plain", name, text);
    let calendar = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR";
    vec![
        (
            "kinds",
            vec![
                Attached::new("application/pdf", "offer.pdf", offer()),
                Attached::new("image/jpeg", "図表.jpg", noise(4, 3_000)),
                Attached::new("application/zip", "logs.zip", noise(5, 2_000)),
                of_text("grüße.txt", "Grüße\r\nund mehr").encoded(Encoding::QuotedPrintable),
                Attached::new("text/calendar", "invite.ics", calendar).encoded(Encoding::SevenBit),
                enclosed,
                unnamed,
            ],
        ),
        ("equal", vec![Attached::new("application/pdf", "Offer (1).PDF", offer())]),
        ("equal again", vec![Attached::new("application/octet-stream", "copy.bin", offer()), inline]),
        ("large", vec![Attached::new("application/pdf", "large.pdf", noise(6, large))]),
        ("empty", vec![Attached::new("text/plain", "empty.txt", "")]),
        ("damaged", vec![Attached::new("application/pdf", "damaged.pdf", noise(7, 300)).encoded(Encoding::Damaged)]),
        ("same name", vec![of_text("report.txt", "one"), of_text("report.txt", "two")]),
        (
            "paths",
            vec![
                of_text("../../../etc/passwd", "a"),
                of_text("/etc/cron.d/job", "b"),
                of_text("..\\..\\boot.ini", "c"),
                of_text("a\r\nb.txt", "d"),
            ],
        ),
    ]
}

/// Delivers the collection. Answers its messages: id, subject and attachments, each with name, mime_type, size and sha256.
pub async fn put(State(world): Shared, Json(order): Json<Order>) -> Answer {
    let user = user(&world, &order.user)?;
    let to = order.to.as_ref().unwrap_or(&user.email);
    let mut messages = Vec::new();
    for (subject, attachments) in collection(order.large) {
        let parts: Vec<String> = attachments.iter().map(Attached::part).collect();
        let text = format!(
            "From: Bob <bob@partner.example>\r\nTo: {to}\r\nSubject: {subject}\r\nContent-Type: multipart/mixed; boundary=sim\r\n\r\n\
             --sim\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>See <b>{subject}</b></p>\r\n--sim\r\n{}\r\n--sim--\r\n",
            parts.join("\r\n--sim\r\n")
        );
        let text = text.into_bytes();
        let envelope = Envelope::of(&text);
        let id = deliver(&mut lock(&user.mailbox), text, &envelope, world.now().timestamp_millis(), [INBOX, UNREAD].into());
        let attachments: Vec<Value> = attachments.iter().map(Attached::shown).collect();
        messages.push(json!({ "id": format!("{id:016x}"), "subject": subject, "attachments": attachments }));
    }
    Ok(Json(json!(messages)))
}

/// Attachments that have a file name, are no text and can be decoded, of all messages, as JSON lines: user, id of the message, size, sha256.
pub async fn state(State(world): Shared, Query(params): Params) -> String {
    let mut lines = String::new();
    for user in world.all_users() {
        if params.get("user").is_some_and(|given| *given != user.email) {
            continue;
        }
        let messages: Vec<(u64, Arc<[u8]>)> = lock(&user.mailbox).all().map(|(id, message)| (id, message.bytes())).collect();
        for (id, text) in messages {
            let Some(message) = MessageParser::default().parse(&text[..]) else { continue };
            let is_shown = |part: &&MessagePart<'_>| part.attachment_name().is_some() && !part.is_encoding_problem;
            for part in message.parts.iter().filter(is_shown) {
                let (PartType::Binary(bytes) | PartType::InlineBinary(bytes)) = &part.body else { continue };
                let line =
                    json!({ "user": user.email, "id": format!("{id:016x}"), "size": bytes.len(), "sha256": sha256(bytes) });
                let _ = writeln!(lines, "{line}");
            }
        }
    }
    lines
}
