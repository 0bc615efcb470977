//! Takes the payloads of `data:` URLs out of text while it is being received. Google's exports of Docs hold each picture as one, and web
//! pages do: megabytes in which there is nothing to read. Pure.

/// Media type and parameters of a `data:` URL are no longer than this.
const LONGEST_HEADER: usize = 200;
const SCHEME: &[u8] = b"data:";

/// Text without the `data:` URLs in it, up to a size.
pub struct Readable {
    state: State,
    /// What may become the start of a `data:` URL.
    held: Vec<u8>,
    /// The byte before `held`.
    before: u8,
    kept: Vec<u8>,
    most: usize,
    /// There was more text than `most`.
    cut: bool,
    /// `data:` URLs left out.
    left_out: usize,
}

enum State {
    Text,
    /// In `held` is what looks like the start of a `data:` URL so far.
    Header,
    /// Within a payload that ends at this byte, or where something comes that no payload holds.
    Payload {
        end: Option<u8>,
        base64: bool,
    },
}

/// What is left of a text.
pub struct Rest {
    pub bytes: Vec<u8>,
    pub cut: bool,
    pub left_out: usize,
}

impl Readable {
    /// Keeps at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { state: State::Text, held: Vec::new(), before: b'\n', kept: Vec::new(), most, cut: false, left_out: 0 }
    }

    /// Takes the next part, wherever it was divided. False: no more of it will be kept.
    pub fn push(&mut self, part: &[u8]) -> bool {
        part.iter().for_each(|byte| self.step(*byte));
        !self.cut
    }

    /// Takes no more, although there is more. False, as `push` would say.
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
        // It is none; one may begin within it.
        let held = std::mem::take(&mut self.held);
        self.state = State::Text;
        if let [first, rest @ ..] = held.as_slice() {
            self.keep(*first);
            rest.iter().for_each(|byte| self.step(*byte));
        }
    }

    fn keep(&mut self, byte: u8) {
        self.before = byte;
        match self.kept.len() < self.most {
            true => self.kept.push(byte),
            false => self.cut = true,
        }
    }
}

/// What ends a URL that follows this byte.
fn closing(before: u8) -> Option<u8> {
    match before {
        b'"' | b'\'' | b'`' => Some(before),
        b'<' => Some(b'>'),
        b'(' => Some(b')'),
        _ => None,
    }
}

/// Of what is between scheme and comma: whether it names a media type, and whether base64 follows.
fn read(header: &[u8]) -> (bool, bool) {
    let header = header.strip_suffix(b",").unwrap_or(header);
    let media = header.split(|byte| *byte == b';').next().is_some_and(|media| media.contains(&b'/'));
    let base64 = header.len() >= 7 && header[header.len() - 7..].eq_ignore_ascii_case(b";base64");
    (media, base64)
}

/// Whether a payload goes on with this byte. In quotes or brackets base64 may be broken into lines.
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
    fn pictures_go_and_the_words_around_them_stay() {
        for (text, left) in [
            ("a ![x](data:image/png;base64,iVBOR+/=) b", "a ![x]() b"),
            ("![][image1]\n\n[image1]: <data:image/png;base64,AAAA>\n", "![][image1]\n\n[image1]: <>\n"),
            ("<img src=\"data:image/gif;base64,R0lG\n  ODlh\" alt='x'>", "<img src=\"\" alt='x'>"),
            ("<img src='DATA:image/svg+xml;utf8,<svg a=\"b\">' alt='x'>", "<img src='' alt='x'>"),
            ("url(data:font/woff2;charset=utf-8;base64,d09G) b", "url() b"),
            ("see data:image/png;base64,AAAA and more", "see  and more"),
            ("\"data:;base64,AAAA\"", "\"\""),
            ("data:data:image/png;base64,AA x", "data: x"),
        ] {
            assert_eq!(readable(text), left, "{text}");
        }
    }

    #[test]
    fn words_that_are_no_such_url_stay() {
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
    fn the_text_is_bounded_and_the_pictures_do_not_count() {
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
        fn it_does_not_matter_how_a_text_is_divided(
            text in "(data:|image/png|;base64|,|AAAA|\"|<|>|\\(|\\)| |\n|d|ü){0,40}", size in 1usize..9
        ) {
            let mut filter = Readable::new(1 << 20);
            text.as_bytes().chunks(size).for_each(|part| { filter.push(part); });
            prop_assert_eq!(String::from_utf8(filter.finish().bytes).expect("text"), readable(&text));
        }
    }
}
