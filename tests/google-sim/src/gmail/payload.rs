//! A message's text as the API shows it: headers, and the tree of its parts.

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

/// The snippet, and the payload where the format has one; `wanted` names the headers of the metadata, none: all; `decoded`: no encoded words.
pub fn of(text: &[u8], format: Format, wanted: &[&str], decoded: bool) -> (String, Option<Value>) {
    // Without a single header there is nothing to take apart.
    let Some(message) = MessageParser::default().parse(text) else {
        let payload = json!({ "partId": "", "mimeType": "text/plain", "filename": "", "headers": [], "body": { "size": 0 } });
        return (String::new(), matches!(format, Format::Metadata | Format::Full).then_some(payload));
    };
    let root = message.root_part();
    let payload = match format {
        Format::Minimal | Format::Raw => None,
        Format::Metadata => {
            let wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
            Some(json!({ "mimeType": mime_type(root), "headers": headers::of(&message, root, decoded, wanted) }))
        }
        Format::Full => Some(part(&message, root, "", decoded)),
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

fn part(message: &Message<'_>, part: &MessagePart<'_>, id: &str, decoded: bool) -> Value {
    let below = |number: usize| if id.is_empty() { number.to_string() } else { format!("{id}.{number}") };
    let filename = part.attachment_name().unwrap_or_default();
    let mut shown = json!({ "partId": id, "mimeType": mime_type(part), "filename": filename,
        "headers": headers::of(message, part, decoded, |_| true) });
    let parts: Vec<Value> = match &part.body {
        PartType::Multipart(places) => {
            let parts = places.iter().filter_map(|place| message.part(*place)).enumerate();
            parts.map(|(number, inner)| self::part(message, inner, &below(number), decoded)).collect()
        }
        PartType::Message(inner) => {
            inner.parts.first().map(|root| self::part(inner, root, &below(0), decoded)).into_iter().collect()
        }
        PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => Vec::new(),
    };
    let (data, is_text): (&[u8], bool) = match &part.body {
        // Whatever the message's own charset, Google gives text in UTF-8.
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
    kind.unwrap_or_else(|| "text/plain".into())
}
