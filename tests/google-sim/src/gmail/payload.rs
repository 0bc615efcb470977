//! A message's text as the API shows it: headers, and the tree of its parts.

use std::borrow::Cow;

use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use serde_json::{Value, json};

use super::headers;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Minimal,
    Metadata,
    Full,
    Raw,
}

/// Maximum depth of shown parts.
const DEEPEST: usize = 20;
/// Enclosed messages are opened only in a message of at most this many bytes in which their media types occur at most this often: the
/// parser uses a stack level for each.
const SMALL: usize = 8 << 10;
const FEW: usize = 20;
/// Media types of an enclosed message, and a word of the same length that has no meaning.
const ENCLOSING: [(&[u8], &[u8]); 3] = [(b"rfc822", b"rfc-82"), (b"global", b"g-obal"), (b"digest", b"d-gest")];

/// The text for the parser: enclosed messages are opened, or masked as ordinary parts. Offsets stay the same.
fn parsed(text: &[u8]) -> Cow<'_, [u8]> {
    let word = |at: usize| {
        let rest = &text[at..];
        // Fast path: in a long message hardly any byte starts one of them, and hardly any word follows a slash.
        if !matches!(rest[0], b'r' | b'R' | b'g' | b'G' | b'd' | b'D') {
            return None;
        }
        let found =
            ENCLOSING.into_iter().find(|(word, _)| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
        found.filter(|_| matches!(text[..at].trim_ascii_end().last(), Some(b'/' | b')')))
    };
    let found: Vec<_> = (0..text.len()).filter_map(|at| word(at).map(|(_, other)| (at, other))).collect();
    if found.is_empty() || (text.len() <= SMALL && found.len() <= FEW) {
        return text.into();
    }
    let mut closed = text.to_vec();
    for (at, other) in found {
        closed[at..at + other.len()].copy_from_slice(other);
    }
    closed.into()
}

/// The snippet, and the payload if the format has one; `selected` selects the headers of the metadata (empty: all); `decoded`: decode encoded
/// words.
pub fn of(text: &[u8], format: Format, selected: &[&str], decoded: bool) -> (String, Option<Value>) {
    // Without any header there is nothing to parse.
    let parsed = parsed(text);
    let Some(mut message) = MessageParser::default().parse(&parsed) else {
        let payload = json!({ "partId": "", "mimeType": "text/plain", "filename": "", "headers": [], "body": { "size": 0 } });
        return (String::new(), matches!(format, Format::Metadata | Format::Full).then_some(payload));
    };
    // Headers are shown as they are in the text.
    message.raw_message = text.into();
    let root = message.root_part();
    let payload = match format {
        Format::Minimal | Format::Raw => None,
        Format::Metadata => {
            let selected =
                |name: &str| selected.is_empty() || selected.iter().any(|selected| selected.eq_ignore_ascii_case(name));
            Some(json!({ "mimeType": mime_type(root), "headers": headers::of(&message, root, decoded, selected) }))
        }
        Format::Full => Some(part(&message, root, "", 0, decoded)),
    };
    (snippet(&message), payload)
}

/// The beginning of the text, escaped as HTML.
fn snippet(message: &Message<'_>) -> String {
    let preview = message.body_preview(200).unwrap_or_default();
    let words: Vec<&str> = preview.split_whitespace().collect();
    let line = words.join(" ");
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn part(message: &Message<'_>, part: &MessagePart<'_>, id: &str, depth: usize, decoded: bool) -> Value {
    let below = |number: usize| if id.is_empty() { number.to_string() } else { format!("{id}.{number}") };
    let filename = part.attachment_name().unwrap_or_default();
    let mut shown = json!({ "partId": id, "mimeType": mime_type(part), "filename": filename,
        "headers": headers::of(message, part, decoded, |_| true) });
    let parts: Vec<Value> = match &part.body {
        _ if depth == DEEPEST => Vec::new(),
        PartType::Multipart(places) => {
            let parts = places.iter().filter_map(|place| message.part(*place)).enumerate();
            parts.map(|(number, inner)| self::part(message, inner, &below(number), depth + 1, decoded)).collect()
        }
        PartType::Message(inner) => {
            inner.parts.first().map(|root| self::part(inner, root, &below(0), depth + 1, decoded)).into_iter().collect()
        }
        PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => Vec::new(),
    };
    let (data, is_text): (&[u8], bool) = match &part.body {
        // Google returns text in UTF-8, whatever the message's charset.
        PartType::Text(text) | PartType::Html(text) => (text.as_bytes(), true),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => (bytes, false),
        PartType::Message(_) | PartType::Multipart(_) => (&[], true),
    };
    shown["body"] = match (filename.is_empty() && is_text, data.is_empty()) {
        (true, true) => json!({ "size": 0 }),
        (true, false) => json!({ "size": data.len(), "data": BASE64URL.encode(data) }),
        (false, _) => {
            let handle = BASE64URL_NOPAD.encode(format!("sim-attachment-{id}-{}", part.offset_header).as_bytes());
            json!({ "attachmentId": handle, "size": data.len() })
        }
    };
    if !parts.is_empty() {
        shown["parts"] = Value::Array(parts);
    }
    shown
}

fn mime_type(part: &MessagePart<'_>) -> String {
    let kind = part.content_type();
    let kind = kind.map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("plain")).to_ascii_lowercase());
    let kind = kind.unwrap_or_else(|| "text/plain".into());
    ENCLOSING
        .into_iter()
        .fold(kind, |kind, (word, other)| kind.replace(&*String::from_utf8_lossy(other), &String::from_utf8_lossy(word)))
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    #[test]
    fn a_message_in_messages_however_deep_is_shown_and_takes_no_stack() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
        let hidden = BASE64.encode(nested.as_bytes());
        let encoded = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{hidden}");
        let multiparts: String =
            (0..20_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
        let digests = "Content-Type: multipart/digest; boundary=a\n\n--a\n".repeat(50_000);
        for text in [nested, encoded, multiparts, digests] {
            for format in [Format::Minimal, Format::Metadata, Format::Full] {
                let (_, payload) = of(text.as_bytes(), format, &[], false);
                let name = payload.map(|payload| payload["headers"][0]["name"].clone());
                assert_eq!(name, (format != Format::Minimal).then(|| "Content-Type".into()));
            }
        }
        let small = "Content-Type: Message/RFC822\n\nSubject: inner\n\nx";
        let (_, payload) = of(small.as_bytes(), Format::Full, &[], false);
        assert_eq!(payload.expect("a payload")["parts"][0]["headers"][0]["value"], "inner");
        let (_, payload) = of(small.as_bytes(), Format::Metadata, &[], false);
        let payload = payload.expect("a payload");
        assert_eq!((&payload["mimeType"], &payload["headers"][0]["value"]), (&json!("message/rfc822"), &json!("Message/RFC822")));
    }
}
