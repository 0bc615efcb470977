//! Splits a message into its parts, RFC 2046, in one pass over its lines. Parts that are not closed, or use an undeclared boundary, are parsed
//! leniently. Enclosed messages are not opened.

use super::part::Part;
use crate::services::gmail::headers::{HeaderBudget, MAX_HEADERS};

/// Maximum nesting depth of parts, and maximum number of parts.
const MAX_DEPTH: usize = 128;
const MAX_PARTS: usize = 1_000;
/// Maximum number of undeclared boundaries that are guessed.
const MAX_GUESSES: usize = 8;

const JUNK: &str = "the headers contain a line that is not a header";
const UNCLOSED: &str = "a multipart is not closed";
const GUESSED: &str = "a multipart uses a different boundary than it declares";
const UNDIVIDED: &str = "a multipart has no parts";
const MANY_HEADERS: &str = "headers of a part beyond the first 1000 were left out";
const TOO_MANY: &str = "not all parts were read: too many, or nested too deep";

/// A message split into its parts.
#[derive(Default)]
pub struct Parts<'a> {
    /// Headers of the message itself, in their order: name and raw value.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// The first is the message; a part precedes its subparts.
    pub all: Vec<Part<'a>>,
    /// Distinct notes on errors.
    pub notes: Vec<&'static str>,
}

/// A multipart that has not been closed yet.
struct Open {
    index: usize,
    boundary: Option<Vec<u8>>,
    /// Start of its content.
    from: usize,
    is_divided: bool,
}

/// Splits a message into its parts.
pub fn of(raw: &[u8]) -> Parts<'_> {
    let mut walk = Walk { raw, open: Vec::new(), leaf: None, parts: Parts::default(), guesses: 0 };
    let body = walk.part(0, None);
    walk.lines(body);
    while !walk.open.is_empty() {
        // The parts of a guessed boundary are parsed in a second pass.
        if let Some(restart) = walk.close(raw.len()) {
            walk.lines(restart);
        }
    }
    walk.end_leaf(raw.len());
    walk.parts
}

struct Walk<'a> {
    raw: &'a [u8],
    open: Vec<Open>,
    /// The part whose body is being read, and the start of the body.
    leaf: Option<(usize, usize)>,
    parts: Parts<'a>,
    guesses: usize,
}

/// The line at `at` without its line break, and the start of the next one.
fn line(raw: &[u8], at: usize) -> (&[u8], usize) {
    let rest = raw.get(at..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    let line = &rest[..end];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.strip_suffix(b"\r").unwrap_or(line), at + end)
}

/// The content before a boundary. The line break before a boundary belongs to the boundary.
fn before(raw: &[u8], from: usize, to: usize) -> &[u8] {
    let body = raw.get(from..to).unwrap_or_default();
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}

/// A header of a part, by its position in the message.
struct Header<'a> {
    name: &'a [u8],
    from: usize,
    to: usize,
}

/// The name of the header that starts in this line.
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

    /// Parses the lines from `at` to the end.
    fn lines(&mut self, mut at: usize) {
        while at < self.raw.len() {
            let (line, next) = line(self.raw, at);
            at = match self.ends(line) {
                Some((level, is_last)) => self.boundary(level, is_last, at, next),
                None => next,
            };
        }
    }

    /// The innermost open multipart whose boundary this line is, and whether the line closes it.
    fn ends(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?;
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let after = rest.strip_prefix(open.boundary.as_deref()?)?.trim_ascii_end();
            matches!(after, b"" | b"--").then_some((level, after == b"--"))
        })
    }

    /// Handles a boundary. Returns where to continue.
    fn boundary(&mut self, level: usize, is_last: bool, at: usize, next: usize) -> usize {
        while self.open.len() > level + 1 {
            if let Some(restart) = self.close(at) {
                return restart;
            }
        }
        self.end_leaf(at);
        let Some(open) = self.open.last_mut() else { return next };
        open.is_divided = true;
        if is_last {
            self.open.pop();
            return next;
        }
        if self.parts.all.len() >= MAX_PARTS {
            self.note(TOO_MANY);
            return self.raw.len();
        }
        let parent = open.index;
        self.part(next, Some(parent))
    }

    fn end_leaf(&mut self, at: usize) {
        if let Some((index, from)) = self.leaf.take()
            && let Some(part) = self.parts.all.get_mut(index)
        {
            part.body = before(self.raw, from, at);
        }
    }

    /// Ends the innermost multipart without its closing boundary. Returns where to restart if a boundary was guessed.
    fn close(&mut self, at: usize) -> Option<usize> {
        self.end_leaf(at);
        let open = self.open.pop()?;
        if open.is_divided {
            self.note(UNCLOSED);
            return None;
        }
        let body = before(self.raw, open.from, at);
        let guess = if self.guesses < MAX_GUESSES { guess(body) } else { None };
        if let Some(boundary) = guess {
            self.guesses += 1;
            self.note(GUESSED);
            self.open.push(Open { boundary: Some(boundary.to_vec()), is_divided: false, ..open });
            return Some(open.from);
        }
        if !body.trim_ascii().is_empty() {
            self.note(UNDIVIDED);
        }
        if let Some(part) = self.parts.all.get_mut(open.index) {
            part.body = body;
            "text/plain".clone_into(&mut part.mime_type);
        }
        None
    }

    /// Parses the headers of a part. Returns the start of its content.
    fn part(&mut self, at: usize, parent: Option<usize>) -> usize {
        let (headers, from) = self.headers(at);
        let value = |header: &Header<'a>| self.raw.get(header.from..header.to).unwrap_or_default();
        let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|header| (header.name, value(header))).collect();
        let index = self.parts.all.len();
        let in_digest =
            parent.and_then(|parent| self.parts.all.get(parent)).is_some_and(|part| part.mime_type == "multipart/digest");
        let (part, note) = Part::of(&headers, in_digest);
        if let Some(note) = note {
            self.note(note);
        }
        if let Some(parent) = parent.and_then(|parent| self.parts.all.get_mut(parent)) {
            parent.parts.push(index);
        }
        let is_multipart = part.mime_type.starts_with("multipart/");
        if is_multipart && self.open.len() < MAX_DEPTH {
            self.open.push(Open { index, boundary: part.boundary.clone(), from, is_divided: false });
        } else {
            if is_multipart {
                self.note(TOO_MANY);
            }
            self.leaf = Some((index, from));
        }
        self.parts.all.push(part);
        if parent.is_none() {
            let mut budget = HeaderBudget::default();
            self.parts.headers = headers.into_iter().filter(|(name, value)| budget.take(name, value)).collect();
        }
        from
    }

    /// The headers of a part, up to the maximum, and the start of its content.
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
            } else if name(text).is_some() && headers.len() == MAX_HEADERS {
                is_full = true;
                self.note(MANY_HEADERS);
            } else if let Some(name) = name(text) {
                headers.push(Header { name, from: at + text.len() - after_colon(text).len(), to: at + text.len() });
            } else if !(at == start && text.starts_with(b"From ")) {
                // The `From ` line of an mbox is not an error. Other junk is skipped, unless the body starts with it.
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

/// Guesses a boundary: a line of two dashes and a name, followed by a `Content-` header.
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
