//! Encoded words in headers, RFC 2047. Adjacent words in the same charset are joined before they are decoded, because senders split them
//! anywhere, even within a character.

use data_encoding::BASE64;

use super::transfer;
use crate::charset;

/// Maximum length of a charset's name.
const MAX_NAME: usize = 64;

/// A section of a header.
enum Piece<'a> {
    Plain(&'a str),
    /// Adjacent words in one charset, base64 or quoted-printable decoded.
    Words {
        charset: &'a str,
        bytes: Vec<u8>,
    },
}

/// Decodes a header.
pub fn decoded(value: &str) -> String {
    pieces(value).into_iter().fold(String::with_capacity(value.len()), |mut text, piece| {
        match piece {
            Piece::Plain(plain) => text.push_str(plain),
            Piece::Words { charset, bytes } => text.push_str(&read(charset, &bytes)),
        }
        text
    })
}

/// Merges each run of encoded words into one in UTF-8, for use before the structure of the header is parsed.
pub fn unified(value: &str) -> String {
    pieces(value).into_iter().fold(String::with_capacity(value.len()), |mut text, piece| {
        match piece {
            Piece::Plain(plain) => text.push_str(plain),
            Piece::Words { charset, bytes } => {
                text.push_str("=?utf-8?B?");
                text.push_str(&BASE64.encode(read(charset, &bytes).as_bytes()));
                text.push_str("?=");
            }
        }
        text
    })
}

fn read(charset: &str, bytes: &[u8]) -> String {
    charset::decode(bytes, Some(charset)).text.replace(['\r', '\n', '\0'], " ")
}

fn pieces(value: &str) -> Vec<Piece<'_>> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let (mut plain_from, mut at) = (0, 0);
    let last_end = value.rfind("?=").unwrap_or(0);
    while let Some(offset) = value.get(at..).and_then(|rest| rest.find("=?")) {
        let start = at + offset;
        // Found once: searching again for each start would make a header of many starts slow.
        if start >= last_end {
            break;
        }
        let Some((word, end)) = word(value, start) else {
            at = start + 2;
            continue;
        };
        let plain = &value[plain_from..start];
        match (pieces.last_mut(), word) {
            (Some(Piece::Words { charset, bytes }), Piece::Words { charset: next, bytes: more })
                if plain.trim().is_empty() && charset.eq_ignore_ascii_case(next) =>
            {
                bytes.extend(more);
            }
            (last, word) => {
                // Blanks between encoded words are not part of the text.
                if !plain.is_empty() && (!plain.trim().is_empty() || !matches!(last, Some(Piece::Words { .. }))) {
                    pieces.push(Piece::Plain(plain));
                }
                pieces.push(word);
            }
        }
        (plain_from, at) = (end, end);
    }
    if plain_from < value.len() {
        pieces.push(Piece::Plain(&value[plain_from..]));
    }
    pieces
}

/// Parses `=?charset?encoding?text?=` at `start`. Returns the word and its end.
fn word(value: &str, start: usize) -> Option<(Piece<'_>, usize)> {
    let rest = &value[start + 2..];
    let charset_end = rest.bytes().take(MAX_NAME).position(|byte| byte == b'?')?;
    let (charset, rest) = rest.split_at(charset_end);
    let mut letters = rest[1..].chars();
    let encoding = letters.next()?;
    let text = letters.as_str().strip_prefix('?')?;
    let is_base64 = encoding.eq_ignore_ascii_case(&'B');
    if !is_base64 && !encoding.eq_ignore_ascii_case(&'Q') {
        return None;
    }
    let text_end = text.find("?=")?;
    let encoded = &text[..text_end];
    let bytes = if is_base64 {
        transfer::decode(encoded.as_bytes(), "base64").bytes.into_owned()
    } else {
        transfer::quoted_printable(encoded.replace('_', " ").as_bytes())
    };
    let end = value.len() - text.len() + text_end + 2;
    Some((Piece::Words { charset, bytes }, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_decoded_and_joined_where_they_were_split() {
        for (value, text) in [
            ("plain =?x", "plain =?x"),
            ("=?UTF-8?Q?=C5?= =?UTF-8?Q?=A1alik?=", "šalik"),
            ("=?UTF-8?B?xQ==?=\t=?utf-8?B?oQ==?=", "š"),
            ("=?iso-8859-1?Q?J=F6rg?= =?utf-8?Q?_M=C3=BCller?=", "Jörg Müller"),
            ("a =?utf-8?q?b_c?= d", "a b c d"),
            ("=?utf-8*de?Q?=C3=BC?=", "ü"),
            ("=?ks_c_5601-1987?B?vsiz5w==?=", "안녕"),
            ("=?iso-2022-kr?B?GyQpQw4+SDNnDw==?=", "안녕"),
            ("=?us-ascii?Q?=C3=BC?=", "ü"),
            ("=?utf-8?X?a?= =?utf-8??a?=", "=?utf-8?X?a?= =?utf-8??a?="),
            ("Re: =?utf-8?Q??=x", "Re: x"),
            ("=?utf-8?Q?a?b?=", "a?b"),
            ("schon =?entziffert? Grüße", "schon =?entziffert? Grüße"),
        ] {
            assert_eq!(decoded(value), text, "{value}");
        }
        assert_eq!(unified("=?iso-8859-1?Q?J=F6rg?= <j@x>"), "=?utf-8?B?SsO2cmc=?= <j@x>");
    }

    #[test]
    fn unfinished_encoded_words_take_linear_time() {
        let value = "=?a?q?x".repeat(20_000);
        assert_eq!(decoded(&value), value);
        let value = "=?a?X?x".repeat(20_000) + "?=";
        assert_eq!(decoded(&value), value);
    }

    proptest! {
        #[test]
        fn any_header_is_read(value in "(=\\?|\\?=|\\?|utf-8|B|Q|=C3|=A4| |é|x){0,40}") {
            decoded(&value);
            prop_assert_eq!(decoded(&unified(&value)), decoded(&value));
        }

        #[test]
        fn text_is_decoded_however_it_is_split(text in "[a-zäšж ]{1,30}", at in 0usize..60) {
            let bytes = text.as_bytes();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let value = format!("=?utf-8?B?{}?= =?UTF-8?B?{}?=", BASE64.encode(one), BASE64.encode(two));
            prop_assert_eq!(decoded(&value), text);
        }
    }
}
