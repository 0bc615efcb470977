//! One part of a message, from its headers: RFC 2045, 2183 and 2231, parsed by mail-parser.

use std::sync::LazyLock;

use mail_parser::{MessageParser, MimeHeaders as _};

use super::encoded_words;
use crate::charset;

/// Maximum length of a part's header, in bytes.
const MAX_HEADER: usize = 16 << 10;
const NO_TYPE: &str = "a Content-Type is not valid, read as text/plain";

static PARSER: LazyLock<MessageParser> = LazyLock::new(|| MessageParser::new().with_mime_headers());

/// One part.
pub struct Part<'a> {
    /// In lower case, such as `text/plain`.
    pub mime_type: String,
    pub charset: Option<String>,
    pub name: Option<String>,
    /// Whether its Content-Type has a name, which makes it an attachment even if it is not declared as one.
    pub is_named: bool,
    pub is_attachment: bool,
    /// Without angle brackets.
    pub content_id: Option<String>,
    /// Whether it is shown within the text.
    pub is_inline: bool,
    /// In lower case.
    pub encoding: String,
    pub body: &'a [u8],
    /// Indexes of its subparts.
    pub parts: Vec<usize>,
    /// The separator of its subparts.
    pub boundary: Option<Vec<u8>>,
}

/// A header's value as text: unfolded, in any charset.
pub fn text(value: &[u8]) -> String {
    let text = charset::decode(value, None).text;
    text.replace(['\r', '\n'], "").trim().to_owned()
}

impl Part<'_> {
    /// Parses the headers of a part; also returns a note on errors. `in_digest`: the default type is message/rfc822.
    pub fn of(headers: &[(&[u8], &[u8])], in_digest: bool) -> (Self, Option<&'static str>) {
        let mut block = String::new();
        for field in ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "Content-ID"] {
            let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.as_bytes()));
            if let Some((_, value)) = header {
                let value = value.get(..MAX_HEADER).unwrap_or(value);
                block.push_str(&format!("{field}: {}\r\n", encoded_words::unified(&text(value).replace('\0', " "))));
            }
        }
        block.push_str("\r\n");
        let read = PARSER.parse_headers(block.as_bytes());
        let root = read.as_ref().map(|message| message.root_part());
        let kind = root.and_then(|part| part.content_type());
        let disposition = root.and_then(|part| part.content_disposition());
        let content_id = root.and_then(|part| part.content_id()).map(str::to_owned);
        let encoding = root.and_then(|part| part.content_transfer_encoding()).unwrap_or_default();
        let attribute = |name: &str| kind.and_then(|kind| kind.attribute(name)).map(str::to_owned);
        let full = kind.and_then(|kind| {
            let is_valid = |word: &str| !word.trim().is_empty() && !word.contains('/');
            let subtype = kind.subtype().filter(|subtype| is_valid(subtype) && is_valid(kind.ctype()))?;
            Some(format!("{}/{subtype}", kind.ctype()).to_lowercase())
        });
        let note = (kind.is_some() && full.is_none()).then_some(NO_TYPE);
        let usual = if in_digest && kind.is_none() { "message/rfc822" } else { "text/plain" };
        let part = Self {
            mime_type: full.unwrap_or_else(|| usual.to_owned()),
            charset: attribute("charset"),
            name: root.and_then(|part| part.attachment_name()).map(encoded_words::decoded),
            is_named: attribute("name").is_some(),
            is_attachment: disposition.is_some_and(|disposition| disposition.is_attachment()),
            is_inline: disposition.map_or(content_id.is_some(), |disposition| disposition.is_inline()),
            content_id,
            encoding: encoding.trim().trim_matches(['"', '\'', ';']).to_ascii_lowercase(),
            body: &[],
            parts: Vec::new(),
            boundary: attribute("boundary").map(|boundary| boundary.trim_end().as_bytes().to_vec()).filter(|b| !b.is_empty()),
        };
        (part, note)
    }
}
