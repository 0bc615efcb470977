//! The parts of a message and where they lie, RFC 2046: one pass over its lines. What is not closed, or announced under another name, is read
//! as far as it goes. Enclosed messages are not opened.

use super::part::Part;
use crate::services::gmail::headers::{HeaderBudget, MOST as MOST_HEADERS};

/// How deep parts may be nested, and how many there may be.
const DEEPEST: usize = 128;
const MOST_PARTS: usize = 1_000;
/// Boundaries that are not announced and are looked for.
const MOST_GUESSES: usize = 8;

const JUNK: &str = "the headers contain a line that is not a header";
const UNCLOSED: &str = "a multipart is not closed";
const GUESSED: &str = "a multipart uses a different boundary than it declares";
const UNDIVIDED: &str = "a multipart has no parts";
const MANY_HEADERS: &str = "headers of a part beyond the first 1000 were left out";
const TOO_MANY: &str = "not all parts were read: too many, or nested too deep";

/// A message, taken apart.
#[derive(Default)]
pub struct Parts<'a> {
    /// Of the message itself, in their order: name, and value as it stands there.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// The first is the message; a part comes before its own parts.
    pub all: Vec<Part<'a>>,
    /// What was wrong, each once.
    pub notes: Vec<&'static str>,
}

/// A multipart whose end has not come.
struct Open {
    place: usize,
    boundary: Option<Vec<u8>>,
    /// Where its content begins.
    from: usize,
    is_divided: bool,
}

/// Takes a message apart.
pub fn of(raw: &[u8]) -> Parts<'_> {
    let mut walk = Walk { raw, open: Vec::new(), leaf: None, parts: Parts::default(), guesses: 0 };
    let body = walk.part(0, None);
    walk.lines(body);
    while !walk.open.is_empty() {
        // Parts that are found under another name are read like others.
        if let Some(again) = walk.close(raw.len()) {
            walk.lines(again);
        }
    }
    walk.end_leaf(raw.len());
    walk.parts
}

struct Walk<'a> {
    raw: &'a [u8],
    open: Vec<Open>,
    /// The part whose body is being read, and where it began.
    leaf: Option<(usize, usize)>,
    parts: Parts<'a>,
    guesses: usize,
}

/// A line without its end, and where the next one begins.
fn line(raw: &[u8], at: usize) -> (&[u8], usize) {
    let rest = raw.get(at..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    let line = &rest[..end];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.strip_suffix(b"\r").unwrap_or(line), at + end)
}

/// What stands before a boundary: its line's break belongs to the boundary.
fn before(raw: &[u8], from: usize, to: usize) -> &[u8] {
    let body = raw.get(from..to).unwrap_or_default();
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}

/// A header of a part, by its place in the message.
struct Header<'a> {
    name: &'a [u8],
    from: usize,
    to: usize,
}

/// The name of the header that begins in this line.
fn name(line: &[u8]) -> Option<&[u8]> {
    let name = line[..memchr::memchr(b':', line)?].trim_ascii_end();
    (!name.is_empty() && name.iter().all(|byte| (33..127).contains(byte))).then_some(name)
}

fn after_colon(line: &[u8]) -> &[u8] {
    memchr::memchr(b':', line).map_or(&[][..], |colon| &line[colon + 1..])
}

impl<'a> Walk<'a> {
    fn note(&mut self, note: &'static str) {
        if !self.parts.notes.contains(&note) {
            self.parts.notes.push(note);
        }
    }

    /// Reads the lines from here to the end.
    fn lines(&mut self, mut at: usize) {
        while at < self.raw.len() {
            let (line, next) = line(self.raw, at);
            at = match self.ends(line) {
                Some((level, is_last)) => self.boundary(level, is_last, at, next),
                None => next,
            };
        }
    }

    /// Which open multipart this line divides or ends, the innermost first.
    fn ends(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?;
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let after = rest.strip_prefix(open.boundary.as_deref()?)?.trim_ascii_end();
            matches!(after, b"" | b"--").then_some((level, after == b"--"))
        })
    }

    /// Comes to a boundary; answers where to read on.
    fn boundary(&mut self, level: usize, is_last: bool, at: usize, next: usize) -> usize {
        while self.open.len() > level + 1 {
            if let Some(again) = self.close(at) {
                return again;
            }
        }
        self.end_leaf(at);
        let Some(open) = self.open.last_mut() else { return next };
        open.is_divided = true;
        if is_last {
            self.open.pop();
            return next;
        }
        if self.parts.all.len() >= MOST_PARTS {
            self.note(TOO_MANY);
            return self.raw.len();
        }
        let parent = open.place;
        self.part(next, Some(parent))
    }

    fn end_leaf(&mut self, at: usize) {
        if let Some((place, from)) = self.leaf.take()
            && let Some(part) = self.parts.all.get_mut(place)
        {
            part.body = before(self.raw, from, at);
        }
    }

    /// Ends the innermost multipart without its own word; answers where to read again, if its parts were found under another name.
    fn close(&mut self, at: usize) -> Option<usize> {
        self.end_leaf(at);
        let open = self.open.pop()?;
        if open.is_divided {
            self.note(UNCLOSED);
            return None;
        }
        let body = before(self.raw, open.from, at);
        let guess = if self.guesses < MOST_GUESSES { guess(body) } else { None };
        if let Some(boundary) = guess {
            self.guesses += 1;
            self.note(GUESSED);
            self.open.push(Open { boundary: Some(boundary.to_vec()), is_divided: false, ..open });
            return Some(open.from);
        }
        if !body.trim_ascii().is_empty() {
            self.note(UNDIVIDED);
        }
        if let Some(part) = self.parts.all.get_mut(open.place) {
            part.body = body;
            "text/plain".clone_into(&mut part.mime_type);
        }
        None
    }

    /// Reads the headers of a part; answers where its content begins.
    fn part(&mut self, at: usize, parent: Option<usize>) -> usize {
        let (headers, from) = self.headers(at);
        let value = |header: &Header<'a>| self.raw.get(header.from..header.to).unwrap_or_default();
        let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|header| (header.name, value(header))).collect();
        let place = self.parts.all.len();
        let in_digest =
            parent.and_then(|parent| self.parts.all.get(parent)).is_some_and(|part| part.mime_type == "multipart/digest");
        let (part, note) = Part::of(&headers, in_digest);
        if let Some(note) = note {
            self.note(note);
        }
        if let Some(parent) = parent.and_then(|parent| self.parts.all.get_mut(parent)) {
            parent.parts.push(place);
        }
        match part.mime_type.starts_with("multipart/") {
            true if self.open.len() < DEEPEST => {
                self.open.push(Open { place, boundary: part.boundary.clone(), from, is_divided: false });
            }
            is_multipart => {
                if is_multipart {
                    self.note(TOO_MANY);
                }
                self.leaf = Some((place, from));
            }
        }
        self.parts.all.push(part);
        if parent.is_none() {
            let mut room = HeaderBudget::default();
            self.parts.headers = headers.into_iter().filter(|(name, value)| room.take(name, value)).collect();
        }
        from
    }

    /// The headers of a part, as many as are kept, and where what follows them begins.
    fn headers(&mut self, start: usize) -> (Vec<Header<'a>>, usize) {
        let raw = self.raw;
        let mut headers: Vec<Header<'a>> = Vec::new();
        let (mut at, mut is_full) = (start, false);
        while at < raw.len() {
            let (text, next) = line(raw, at);
            if text.is_empty() {
                return (headers, next);
            }
            if self.ends(text).is_some() {
                return (headers, at);
            }
            if text.starts_with(b" ") || text.starts_with(b"\t") {
                if let Some(folded) = headers.last_mut().filter(|_| !is_full) {
                    folded.to = at + text.len();
                }
            } else if name(text).is_some() && headers.len() == MOST_HEADERS {
                is_full = true;
                self.note(MANY_HEADERS);
            } else if let Some(name) = name(text) {
                headers.push(Header { name, from: at + text.len() - after_colon(text).len(), to: at + text.len() });
            } else if !(at == start && text.starts_with(b"From ")) {
                // The separator of an mbox is no header and no fault. Junk is left out, unless the body begins with it.
                self.note(JUNK);
                if name(line(raw, next).0).is_none() {
                    return (headers, at);
                }
            }
            at = next;
        }
        (headers, raw.len())
    }
}

/// A boundary by its looks: a line of dashes and a name, and a header of a part below it.
fn guess(body: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while at < body.len() {
        let (text, next) = line(body, at);
        let is_part = || self::name(line(body, next).0).is_some_and(|name| name.to_ascii_lowercase().starts_with(b"content-"));
        if let Some(name) = text.strip_prefix(b"--").map(<[u8]>::trim_ascii_end)
            && (1..=70).contains(&name.len())
            && is_part()
        {
            return Some(name);
        }
        at = next;
    }
    None
}

#[cfg(test)]
mod tests;
