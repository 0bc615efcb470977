//! Decodes content transfer encodings, RFC 2045, with tolerance for common errors.

use std::borrow::Cow;

use data_encoding::BASE64_NOPAD;

/// Decoded bytes, and a note on errors in their encoding.
pub struct Content<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub note: Option<&'static str>,
}

impl Content<'_> {
    /// Whether the bytes are those that were encoded, as far as this can be seen.
    pub fn is_exact(&self) -> bool {
        matches!(self.note, None | Some(FOLLOWED))
    }
}

const DAMAGED: &str = "a part's base64 is damaged";
const FOLLOWED: &str = "text after a part's base64 was left out";
const NO_BASE64: &str = "a part is declared as base64 but is not";
const UNKNOWN: &str = "the encoding of a part is unknown";

/// Decodes a body; `encoding` in lower case.
pub fn decode<'a>(body: &'a [u8], encoding: &str) -> Content<'a> {
    match encoding {
        "base64" => base64(body),
        "quoted-printable" => Content { bytes: quoted_printable(body).into(), note: None },
        "" | "7bit" | "8bit" | "binary" => Content { bytes: body.into(), note: None },
        _ => Content { bytes: body.into(), note: Some(UNKNOWN) },
    }
}

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Converts sextets to bytes.
#[derive(Default)]
struct Sextets {
    bits: u32,
    count: u32,
    bytes: Vec<u8>,
}

impl Sextets {
    fn push(&mut self, sextet: u32) {
        self.bits = self.bits << 6 | sextet;
        self.count += 1;
        if self.count == 4 {
            self.bytes.extend(&self.bits.to_be_bytes()[1..]);
            (self.bits, self.count) = (0, 0);
        }
    }

    /// Decodes a line that consists of complete groups; `false`: the line does not.
    fn take(&mut self, line: &[u8]) -> bool {
        if self.count != 0 || !line.len().is_multiple_of(4) {
            return false;
        }
        let before = self.bytes.len();
        self.bytes.resize(before + line.len() / 4 * 3, 0);
        let is_decoded = BASE64_NOPAD.decode_mut(line, &mut self.bytes[before..]).is_ok();
        if !is_decoded {
            self.bytes.truncate(before);
        }
        is_decoded
    }

    /// Ends a group; `false`: it has only one sextet, which is not enough for a byte.
    fn end(&mut self) -> bool {
        match self.count {
            2 => self.bytes.push((self.bits >> 4) as u8),
            3 => self.bytes.extend([(self.bits >> 10) as u8, (self.bits >> 2) as u8]),
            _ => {}
        }
        let is_valid = self.count != 1;
        (self.bits, self.count) = (0, 0);
        is_valid
    }
}

/// Decodes base64 up to its padding, or up to other text after a complete group, such as the footer of a mailing list or scanner. Padding may
/// be missing; other characters within it are skipped.
fn base64(body: &[u8]) -> Content<'_> {
    let mut sextets = Sextets { bytes: Vec::with_capacity(body.len() / 4 * 3), ..Sextets::default() };
    let (mut note, mut is_padded, mut after_blank) = (None, false, false);
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            after_blank |= !sextets.bytes.is_empty();
            continue;
        }
        // The usual case.
        if !is_padded && sextets.take(line) {
            after_blank = false;
            continue;
        }
        // Blanks within a line count as foreign characters.
        let foreign = line.iter().filter(|byte| value(**byte).is_none() && **byte != b'=').count();
        let begins = sextets.bytes.is_empty() && sextets.count == 0;
        if begins && foreign > line.len() / 8 {
            return Content { bytes: body.into(), note: Some(NO_BASE64) };
        }
        let is_other = foreign > 0 || line.len() % 4 != 0;
        if !begins && sextets.count == 0 && ((is_padded && after_blank) || (is_other && (is_padded || after_blank))) {
            note = Some(FOLLOWED);
            break;
        }
        after_blank = false;
        let mut goes_on = false;
        for (index, byte) in line.iter().enumerate() {
            // After padding, only more base64 may follow on the same line.
            if is_padded && index > 0 && *byte != b'=' && !goes_on {
                goes_on = is_base64(&line[index..]);
                if !goes_on {
                    return Content { bytes: sextets.bytes.into(), note: Some(FOLLOWED) };
                }
            }
            match value(*byte) {
                Some(sextet) => {
                    sextets.push(sextet);
                    is_padded = false;
                }
                None if *byte == b'=' => {
                    // Concatenated pieces that were encoded separately continue after it.
                    is_padded |= sextets.count != 0;
                    note = if sextets.end() { note } else { Some(DAMAGED) };
                }
                None if byte.is_ascii_whitespace() => {}
                None => note = Some(DAMAGED),
            }
        }
    }
    if sextets.count != 0 {
        note = note.or(Some(DAMAGED));
        sextets.end();
    }
    Content { bytes: sextets.bytes.into(), note }
}

fn is_base64(text: &[u8]) -> bool {
    text.len().is_multiple_of(4) && text.iter().all(|byte| value(*byte).is_some() || *byte == b'=')
}

/// Decodes quoted-printable; other text is kept.
pub fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'=', [high, low, after @ ..]) if let (Some(high), Some(low)) = (hex(*high), hex(*low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = after;
            }
            // A soft line break, with blanks that a gateway may have added before its end.
            (b'=', after) => {
                let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
                match after.get(blanks) {
                    Some(b'\n') => rest = &after[blanks + 1..],
                    None => rest = &[],
                    Some(_) => bytes.push(byte),
                }
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> (String, Option<&'static str>) {
        let content = decode(body.as_bytes(), "base64");
        (String::from_utf8_lossy(&content.bytes).into_owned(), content.note)
    }

    #[test]
    fn base64_is_decoded_up_to_the_damage() {
        let long = data_encoding::BASE64_MIME.encode(&[b'x'; 90]);
        for (body, text, note) in [
            ("SGVsbG8=\r\n", "Hello", None),
            ("SGVs\r\nbG8=", "Hello", None),
            ("SGVsbG8", "Hello", Some(DAMAGED)),
            ("SGVsbG8gdGhlcmUh\r\n\r\n____\r\nlist mailing list\r\n", "Hello there!", Some(FOLLOWED)),
            ("SGVsbG8=\r\n\r\n____\r\nRegards\r\n", "Hello", Some(FOLLOWED)),
            ("SGVsbG8gdGhlcmUh\r\n\r\nBest wishes, Joe\r\n", "Hello there!", Some(FOLLOWED)),
            ("SGVs bG8=", "Hello", None),
            ("SGVsbG8=\r\n-- \r\nlist", "Hello", Some(FOLLOWED)),
            // Encoded separately.
            ("SGVsbG8=\r\nIHRoZXJl\r\n", "Hello there", None),
            ("SGVs!bG8=", "Hello", Some(DAMAGED)),
            ("SGVsbG8==A", "Hello", Some(FOLLOWED)),
            ("SGVsbG8= ignored", "Hello", Some(FOLLOWED)),
            ("SGVsbG8=IHRoZXJl", "Hello there", None),
            ("Hello, world. This is text!\r\n", "Hello, world. This is text!\r\n", Some(NO_BASE64)),
            ("", "", None),
            (&long, &"x".repeat(90), None),
        ] {
            assert_eq!(read(body), (text.to_owned(), note), "{body}");
        }
    }

    #[test]
    fn quoted_printable_keeps_what_is_not_encoded() {
        for (body, text) in [
            ("Gr=C3=BC=c3=9fe", "Grüße"),
            ("a=\r\nb", "ab"),
            ("a= \nb=", "ab"),
            ("100 =% =G1=", "100 =% =G1"),
            ("=3D=\r\n=3D", "=="),
        ] {
            assert_eq!(String::from_utf8_lossy(&quoted_printable(body.as_bytes())), text, "{body}");
        }
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_are_inverse(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let content = data_encoding::BASE64_MIME.encode(&bytes);
            let decoded = decode(content.as_bytes(), "base64");
            prop_assert_eq!((&*decoded.bytes, decoded.note), (&*bytes, None));
        }

        #[test]
        fn decoded_content_is_never_longer(body in proptest::collection::vec(any::<u8>(), 0..200), encoding in "(base64|quoted-printable|x|7bit)") {
            prop_assert!(decode(&body, &encoding).bytes.len() <= body.len());
        }
    }
}
