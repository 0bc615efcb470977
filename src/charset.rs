//! Bytes to text: the charset that a label names, also those that browsers do not know; without a label, or with a wrong one, what the bytes
//! look like. Knows neither mail nor files.

mod label;
mod seven_bit;

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

use label::{Charset, Label};

/// The detector decides by the beginning of a long text.
const MOST_DETECTED: usize = 1 << 18;

/// Text, and what was doubtful about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    pub text: String,
    /// Why the text may differ from what was written: a guess, or characters that are lost.
    pub note: Option<String>,
}

/// Decodes text. In this order: a byte order mark, UTF-8 where a label of single bytes (or none) meets it, the label, detection.
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
        Label::Unknown(name) => match bytes.is_ascii() {
            true => unlabelled(bytes, ""),
            false => {
                let decoded = unlabelled(bytes, "");
                let read_as = decoded.note.as_deref().map_or(", read as UTF-8", |_| ", read as what it looks like");
                Decoded { note: Some(format!("charset {name} unknown{read_as}")), ..decoded }
            }
        },
    }
}

/// Text in this encoding, errors and all.
fn by(encoding: &'static Encoding, bytes: &[u8]) -> Decoded {
    lossy(encoding.decode_without_bom_handling(bytes).0.into_owned(), encoding.name())
}

/// A note, if characters were replaced.
fn lossy(text: String, name: &str) -> Decoded {
    let lost = text.matches('\u{fffd}').count();
    let note = (lost > 0).then(|| format!("{lost} characters could not be read as {name}"));
    Decoded { text, note }
}

fn labelled(bytes: &[u8], encoding: &'static Encoding) -> Decoded {
    let wrong = || format!("not in the charset named ({})", encoding.name());
    // Several bytes that make up UTF-8 by chance are rare in charsets of single bytes; UTF-8 under their names is not.
    if encoding.is_single_byte() && !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok() {
        return Decoded { note: Some(format!("{}, read as UTF-8", wrong())), ..by(UTF_8, bytes) };
    }
    let (text, has_errors) = encoding.decode_without_bom_handling(bytes);
    if !has_errors || (encoding == UTF_8 && is_mostly_utf8(bytes)) {
        return lossy(text.into_owned(), encoding.name());
    }
    let guessed = unlabelled(bytes, &wrong());
    match guessed.text.contains('\u{fffd}') {
        // No better: then as its author says.
        true => lossy(text.into_owned(), encoding.name()),
        false => Decoded { note: guessed.note.or_else(|| Some(format!("{}, read as UTF-8", wrong()))), ..guessed },
    }
}

/// Text by its looks; `why` begins the note where that is a guess.
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
    let beginning = bytes.get(..MOST_DETECTED).unwrap_or(bytes);
    detector.feed(beginning, beginning.len() == bytes.len());
    detector.guess(None, Utf8Detection::Deny)
}

/// Whether bytes are UTF-8, or would be but for damage here and there.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut whole, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    broken == 0 || whole > 2 * broken
}

/// The charset that an HTML page names in its first kilobyte.
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
