//! Decodes text in the charset that a label names, including charsets that browsers do not support; without a label, or with a wrong one, in a
//! detected charset. Independent of mail and files.

mod label;
mod seven_bit;

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

use label::{Charset, Label};

/// Maximum number of bytes of a text that are given to the detector.
const MAX_DETECTED: usize = 1 << 18;

/// Decoded text, and a note if it is doubtful.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    pub text: String,
    /// Why the text may differ from the original: a guessed charset, or lost characters.
    pub note: Option<String>,
}

/// Decodes text. Order of precedence: a byte order mark; UTF-8, if the bytes are valid and the label is missing or a single-byte charset; the
/// label; detection.
pub fn decode(bytes: &[u8], label: Option<&str>) -> Decoded {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return by(encoding, bytes.get(mark..).unwrap_or_default());
    }
    match label.map_or(Label::Silent, label::read) {
        Label::Named(Charset::Browsers(encoding)) => labelled(bytes, encoding),
        Label::Named(Charset::Dos(table)) => lossy(table.decode_string_lossy(bytes), "its charset"),
        Label::Named(Charset::SevenBit(kind)) => by(kind.encoding(), &seven_bit::widened(bytes, kind)),
        Label::Named(Charset::Utf7(utf7)) => lossy(utf7.decode_without_bom_handling(bytes).0.into_owned(), "UTF-7"),
        Label::Silent => unlabelled(bytes, "no charset named"),
        Label::Unknown(name) => {
            if bytes.is_ascii() {
                unlabelled(bytes, "")
            } else {
                let decoded = unlabelled(bytes, "");
                let read_as = decoded.note.as_deref().map_or(", read as UTF-8", |_| ", read in a detected charset");
                Decoded { note: Some(format!("charset {name} unknown{read_as}")), ..decoded }
            }
        }
    }
}

/// Decodes text in this encoding; errors become U+FFFD.
fn by(encoding: &'static Encoding, bytes: &[u8]) -> Decoded {
    lossy(encoding.decode_without_bom_handling(bytes).0.into_owned(), encoding.name())
}

/// Adds a note if characters were replaced.
fn lossy(text: String, name: &str) -> Decoded {
    let lost = text.matches('\u{fffd}').count();
    let note = (lost > 0).then(|| format!("{lost} characters could not be read as {name}"));
    Decoded { text, note }
}

fn labelled(bytes: &[u8], encoding: &'static Encoding) -> Decoded {
    let wrong = || format!("not in the charset named ({})", encoding.name());
    // Single-byte text is rarely valid UTF-8 by chance, but UTF-8 is often labelled as a single-byte charset.
    if encoding.is_single_byte() && !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok() {
        return Decoded { note: Some(format!("{}, read as UTF-8", wrong())), ..by(UTF_8, bytes) };
    }
    let (text, has_errors) = encoding.decode_without_bom_handling(bytes);
    if !has_errors || (encoding == UTF_8 && is_mostly_utf8(bytes)) {
        return lossy(text.into_owned(), encoding.name());
    }
    let guessed = unlabelled(bytes, &wrong());
    if guessed.text.contains('\u{fffd}') {
        // Detection is no better, so follow the label.
        lossy(text.into_owned(), encoding.name())
    } else {
        Decoded { note: guessed.note.or_else(|| Some(format!("{}, read as UTF-8", wrong()))), ..guessed }
    }
}

/// Decodes text by detection. `why`: start of the note if the charset is a guess.
fn unlabelled(bytes: &[u8], why: &str) -> Decoded {
    if bytes.is_ascii() {
        return match seven_bit::announced(bytes) {
            Some(encoding) => by(encoding.encoding(), &seven_bit::widened(bytes, encoding)),
            None => by(detected(bytes), bytes),
        };
    }
    if is_mostly_utf8(bytes) {
        return by(UTF_8, bytes);
    }
    let encoding = detected(bytes);
    let text = encoding.decode_without_bom_handling(bytes).0.into_owned();
    Decoded { text, note: Some(format!("{why}, read as {}", encoding.name())) }
}

fn detected(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    let start = bytes.get(..MAX_DETECTED).unwrap_or(bytes);
    detector.feed(start, start.len() == bytes.len());
    detector.guess(None, Utf8Detection::Deny)
}

/// Whether bytes are UTF-8, possibly with a few errors.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut valid, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    broken == 0 || valid > 2 * broken
}

/// The charset that an HTML page declares in its first kilobyte.
pub fn of_html(page: &[u8]) -> Option<Cow<'_, str>> {
    let head = page.get(..1024).unwrap_or(page);
    let at = head.windows(8).position(|word| word.eq_ignore_ascii_case(b"charset="))?;
    let rest = head.get(at + 8..)?;
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    let end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))).unwrap_or(rest.len());
    (end > 0).then(|| String::from_utf8_lossy(&rest[..end]))
}

#[cfg(test)]
mod tests;
