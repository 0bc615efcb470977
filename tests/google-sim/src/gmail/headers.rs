//! Headers as the API shows them. Which form Gmail uses is unknown: unchanged from the file, or with encoded words decoded.

use data_encoding::BASE64;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Header, Message, MessagePart};
use serde_json::{Value, json};

/// Headers in the order of the file, values unfolded.
pub fn of(message: &Message<'_>, part: &MessagePart<'_>, decoded: bool, is_selected: impl Fn(&str) -> bool) -> Vec<Value> {
    let raw = &message.raw_message;
    let slice = |from: u32, to: u32| raw.get(from as usize..to as usize).unwrap_or_default();
    let shown = |header: &Header<'_>| {
        // The parser's name for it may differ in case from the file's.
        let field = String::from_utf8_lossy(slice(header.offset_field, header.offset_start));
        let name = field.trim_end().trim_end_matches(':').trim().to_owned();
        let value = slice(header.offset_start, header.offset_end);
        let value = if decoded { self::decoded(&unfolded(&eight_bit(value))) } else { unfolded(&String::from_utf8_lossy(value)) };
        is_selected(&name).then(|| json!({ "name": name, "value": value }))
    };
    part.headers.iter().filter_map(shown).collect()
}

fn unfolded(value: &str) -> String {
    value.replace("\r\n", "\n").replace('\n', "").trim().to_owned()
}

/// Bytes that are not UTF-8 are most likely Latin-1.
fn eight_bit(value: &[u8]) -> String {
    let western = |value: &[u8]| charset_decoder(b"iso-8859-1").map(|decode| decode(value)).unwrap_or_default();
    std::str::from_utf8(value).map_or_else(|_| western(value), str::to_owned)
}

/// A value with its encoded words decoded; their text is not quoted again.
fn decoded(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    // Charset and bytes of the words so far: a character may be split between two words.
    let mut open: Option<(&str, Vec<u8>)> = None;
    while let Some((before, word, after)) = word(rest) {
        match open.take() {
            Some((charset, bytes)) if before.trim().is_empty() && charset.eq_ignore_ascii_case(word.0) => {
                open = Some((charset, [bytes, word.1].concat()));
            }
            words => {
                let is_between = words.is_some() && before.trim().is_empty();
                out.push_str(&words.map(text).unwrap_or_default());
                out.push_str(if is_between { "" } else { before });
                open = Some(word);
            }
        }
        rest = after;
    }
    out.push_str(&open.map(text).unwrap_or_default());
    out + rest
}

fn text((charset, bytes): (&str, Vec<u8>)) -> String {
    charset_decoder(charset.as_bytes()).map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), |decode| decode(&bytes))
}

/// An encoded word: its charset and its bytes.
type Word<'a> = (&'a str, Vec<u8>);

/// The text before the first encoded word, the word, and the text after it.
fn word(value: &str) -> Option<(&str, Word<'_>, &str)> {
    let (before, word) = value.split_once("=?")?;
    let mut fields = word.splitn(3, '?');
    let (charset, encoding, text) = (fields.next()?, fields.next()?, fields.next()?);
    let (text, after) = text.split_once("?=")?;
    let bytes = match encoding {
        "B" | "b" => BASE64.decode(text.as_bytes()).ok()?,
        "Q" | "q" => quoted_printable_decode(text.replace('_', " ").as_bytes())?,
        _ => return None,
    };
    Some((before, (charset, bytes), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_decoded_and_joined() {
        for (value, text) in [
            ("=?UTF-8?Q?=C5?= =?utf-8?Q?=A1alik?= <a@x>", "šalik <a@x>"),
            ("a =?iso-8859-1?B?/A==?= =?utf-8?Q?=C3=BC?=", "a üü"),
            ("no =?word", "no =?word"),
        ] {
            assert_eq!(decoded(value), text);
        }
        assert_eq!(eight_bit(b"Gr\xfc\xdfe"), "Grüße");
    }
}
