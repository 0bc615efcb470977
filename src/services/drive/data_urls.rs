//! Removes the payloads of `data:` URLs from text while it is being received. Google's exports of Docs and many web pages embed each picture
//! as one: megabytes without any text. Pure.

/// Maximum length of the scheme, media type and parameters of a `data:` URL.
const LONGEST_HEADER: usize = 200;
const SCHEME: &[u8] = b"data:";

/// Collects text without `data:` payloads, up to a maximum size.
pub struct Readable {
    state: State,
    /// Bytes that may be the start of a `data:` URL.
    held: Vec<u8>,
    /// The byte before `held`.
    before: u8,
    kept: Vec<u8>,
    max: usize,
    /// There was more text than `max`.
    cut: bool,
    /// Number of payloads removed.
    left_out: usize,
}

enum State {
    Text,
    /// `held` looks like the start of a `data:` URL so far.
    Header,
    /// Within a payload, which ends at `end` or at a byte that is invalid in a payload.
    Payload {
        end: Option<u8>,
        base64: bool,
    },
}

/// The text that was kept.
pub struct Rest {
    pub bytes: Vec<u8>,
    pub cut: bool,
    pub left_out: usize,
}

impl Readable {
    /// Creates a collector that keeps at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { state: State::Text, held: Vec::new(), before: b'\n', kept: Vec::new(), max, cut: false, left_out: 0 }
    }

    /// Takes the next part, which may be split at any byte. Returns false once no more bytes will be kept.
    pub fn push(&mut self, part: &[u8]) -> bool {
        part.iter().for_each(|byte| self.step(*byte));
        !self.cut
    }

    /// Marks the text as cut. Returns false, like `push`.
    pub fn end(&mut self) -> bool {
        self.cut = true;
        false
    }

    pub fn finish(mut self) -> Rest {
        let held = std::mem::take(&mut self.held);
        held.into_iter().for_each(|byte| self.keep(byte));
        Rest { bytes: self.kept, cut: self.cut, left_out: self.left_out }
    }

    fn step(&mut self, byte: u8) {
        match self.state {
            State::Text if byte.eq_ignore_ascii_case(&b'd') && !self.before.is_ascii_alphanumeric() => {
                self.held.push(byte);
                self.state = State::Header;
            }
            State::Text => self.keep(byte),
            State::Header => self.header(byte),
            State::Payload { end, base64 } => {
                if !goes_on(byte, end, base64) {
                    self.state = State::Text;
                    self.step(byte);
                }
            }
        }
    }

    fn header(&mut self, byte: u8) {
        self.held.push(byte);
        let fits = match SCHEME.get(self.held.len() - 1) {
            Some(expected) => byte.eq_ignore_ascii_case(expected),
            None => byte.is_ascii_alphanumeric() || b"/+.;=_-,".contains(&byte),
        };
        if fits && byte != b',' && self.held.len() <= LONGEST_HEADER {
            return;
        }
        let end = closing(self.before);
        let (media, base64) = read(self.held.get(SCHEME.len()..).unwrap_or_default());
        if fits && byte == b',' && (base64 || (media && end.is_some())) {
            self.held.clear();
            self.before = byte;
            self.left_out += 1;
            self.state = State::Payload { end, base64 };
            return;
        }
        // Not a `data:` URL, but one may begin within it.
        let held = std::mem::take(&mut self.held);
        self.state = State::Text;
        if let [first, rest @ ..] = held.as_slice() {
            self.keep(*first);
            rest.iter().for_each(|byte| self.step(*byte));
        }
    }

    fn keep(&mut self, byte: u8) {
        self.before = byte;
        if self.kept.len() < self.max {
            self.kept.push(byte);
        } else {
            self.cut = true;
        }
    }
}

/// The byte that ends a URL that follows this byte.
fn closing(before: u8) -> Option<u8> {
    match before {
        b'"' | b'\'' | b'`' => Some(before),
        b'<' => Some(b'>'),
        b'(' => Some(b')'),
        _ => None,
    }
}

/// Whether the part between scheme and comma names a media type, and whether base64 follows.
fn read(header: &[u8]) -> (bool, bool) {
    let header = header.strip_suffix(b",").unwrap_or(header);
    let media = header.split(|byte| *byte == b';').next().is_some_and(|media| media.contains(&b'/'));
    let base64 = header.len() >= 7 && header[header.len() - 7..].eq_ignore_ascii_case(b";base64");
    (media, base64)
}

/// Whether a payload continues with this byte. In quotes or brackets, base64 may be split into lines.
fn goes_on(byte: u8, end: Option<u8>, base64: bool) -> bool {
    match (end, base64) {
        (Some(end), _) if byte == end => false,
        (end, true) => byte.is_ascii_alphanumeric() || b"+/=_-%".contains(&byte) || (end.is_some() && byte.is_ascii_whitespace()),
        (Some(_), false) => byte != b'\n',
        (None, false) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readable(text: &str) -> String {
        let mut filter = Readable::new(1 << 20);
        filter.push(text.as_bytes());
        String::from_utf8(filter.finish().bytes).expect("text")
    }

    #[test]
    fn data_urls_of_images_are_dropped_and_surrounding_text_stays() {
        for (text, kept) in [
            ("a ![x](data:image/png;base64,iVBOR+/=) b", "a ![x]() b"),
            ("![][image1]\n\n[image1]: <data:image/png;base64,AAAA>\n", "![][image1]\n\n[image1]: <>\n"),
            ("<img src=\"data:image/gif;base64,R0lG\n  ODlh\" alt='x'>", "<img src=\"\" alt='x'>"),
            ("<img src='DATA:image/svg+xml;utf8,<svg a=\"b\">' alt='x'>", "<img src='' alt='x'>"),
            ("url(data:font/woff2;charset=utf-8;base64,d09G) b", "url() b"),
            ("see data:image/png;base64,AAAA and more", "see  and more"),
            ("\"data:;base64,AAAA\"", "\"\""),
            ("data:data:image/png;base64,AA x", "data: x"),
        ] {
            assert_eq!(readable(text), kept, "{text}");
        }
    }

    #[test]
    fn text_that_only_resembles_a_data_url_stays() {
        for text in [
            "the data: image, text",
            "metadata:image/png;base64,AAAA",
            "{\"data:foo\":1,\"data\":\"a,b\"}",
            "data:image/png, which is prose",
            "(data:foo,bar)",
            "data:",
            "data:image/png;base64",
        ] {
            assert_eq!(readable(text), text);
        }
    }

    #[test]
    fn the_limit_on_text_does_not_count_images() {
        let mut filter = Readable::new(4);
        assert!(filter.push(b"ab(data:image/png;base64,"));
        assert!(filter.push(&[b'A'; 1000]));
        assert!(filter.push(b")"));
        assert!(!filter.push(b"cd"));
        let rest = filter.finish();
        assert_eq!((rest.bytes.as_slice(), rest.cut, rest.left_out), (b"ab()".as_slice(), true, 1));
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_chunk_boundaries(
            text in "(data:|image/png|;base64|,|AAAA|\"|<|>|\\(|\\)| |\n|d|ü){0,40}", size in 1usize..9
        ) {
            let mut filter = Readable::new(1 << 20);
            text.as_bytes().chunks(size).for_each(|part| { filter.push(part); });
            prop_assert_eq!(String::from_utf8(filter.finish().bytes).expect("text"), readable(&text));
        }
    }
}
