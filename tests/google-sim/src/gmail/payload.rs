//! A message's text as the API shows it: headers as they stand in the file, and the tree of its parts.

use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use mail_parser::{Header, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Minimal,
    Metadata,
    Full,
    Raw,
}

/// The snippet, and the payload where the format has one; `wanted` names the headers of the metadata, none: all.
pub fn of(text: &[u8], format: Format, wanted: &[&str]) -> (String, Option<Value>) {
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
            Some(json!({ "mimeType": mime_type(root), "headers": headers(&message, root, wanted) }))
        }
        Format::Full => Some(part(&message, root, "")),
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

fn part(message: &Message<'_>, part: &MessagePart<'_>, id: &str) -> Value {
    let below = |number: usize| if id.is_empty() { number.to_string() } else { format!("{id}.{number}") };
    let filename = part.attachment_name().unwrap_or_default();
    let mut shown = json!({ "partId": id, "mimeType": mime_type(part), "filename": filename,
        "headers": headers(message, part, |_| true) });
    let parts: Vec<Value> = match &part.body {
        PartType::Multipart(places) => {
            let parts = places.iter().filter_map(|place| message.part(*place)).enumerate();
            parts.map(|(number, inner)| self::part(message, inner, &below(number))).collect()
        }
        PartType::Message(inner) => inner.parts.first().map(|root| self::part(inner, root, &below(0))).into_iter().collect(),
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

/// Headers in the order of the file: values unfolded, encoded words left as they are.
fn headers(message: &Message<'_>, part: &MessagePart<'_>, wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let raw = &message.raw_message;
    let slice = |from: u32, to: u32| String::from_utf8_lossy(raw.get(from as usize..to as usize).unwrap_or_default());
    let shown = |header: &Header<'_>| {
        // The parser's own name for it may differ in case from the file's.
        let field = slice(header.offset_field, header.offset_start);
        let name = field.trim_end().trim_end_matches(':').trim().to_owned();
        wanted(&name).then(|| json!({ "name": name, "value": unfolded(&slice(header.offset_start, header.offset_end)) }))
    };
    part.headers.iter().filter_map(shown).collect()
}

fn unfolded(value: &str) -> String {
    value.replace("\r\n", "\n").replace('\n', "").trim().to_owned()
}
