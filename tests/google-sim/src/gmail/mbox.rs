//! Reads mbox files message by message. Independent of mailboxes.

use std::io::BufRead;

use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDateTime};

/// The messages of a file, from a separator on.
pub struct Mbox<R> {
    reader: R,
    /// Position of the reader.
    offset: u64,
    /// The separator that ended the previous message.
    separator: Option<Vec<u8>>,
    /// A line that was peeked at.
    ahead: Option<Vec<u8>>,
}

pub struct Entry {
    pub text: Vec<u8>,
    /// The time of the separator, milliseconds since the epoch.
    pub date: Option<i64>,
    /// Where the next message begins.
    pub end: u64,
}

impl<R: BufRead> Mbox<R> {
    /// Continues at the reader's position, which is this offset of the file.
    pub fn new(reader: R, offset: u64) -> Self {
        Self { reader, offset, separator: None, ahead: None }
    }

    fn read(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line).context("reading an mbox")?;
        Ok((read > 0).then_some(line))
    }

    /// The next line. The offset is then after it.
    fn line(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let line = match self.ahead.take() {
            Some(line) => Some(line),
            None => self.read()?,
        };
        self.offset += line.as_ref().map_or(0, Vec::len) as u64;
        Ok(line)
    }

    /// Whether this line after an empty one begins a message: by its date, or without one by a following header. Otherwise it is a text
    /// line that was not quoted.
    fn separates(&mut self, line: &[u8]) -> anyhow::Result<bool> {
        if !line.starts_with(b"From ") || date(line).is_some() {
            return Ok(line.starts_with(b"From "));
        }
        if self.ahead.is_none() {
            self.ahead = self.read()?;
        }
        Ok(self.ahead.as_deref().is_some_and(is_header))
    }

    pub fn next_entry(&mut self) -> anyhow::Result<Option<Entry>> {
        let separator = match self.separator.take() {
            Some(line) => line,
            None => loop {
                match self.line()? {
                    None => return Ok(None),
                    Some(line) if line.starts_with(b"From ") => break line,
                    Some(line) if is_blank(&line) => {}
                    Some(_) => bail!("no mbox: a line before the first separator, at byte {}", self.offset),
                }
            },
        };
        let mut text = Vec::new();
        let mut blank: Option<Vec<u8>> = None;
        let mut end = self.offset;
        while let Some(line) = self.line()? {
            if blank.is_some() && self.separates(&line)? {
                self.separator = Some(line);
                return Ok(Some(Entry { text, date: date(&separator), end }));
            }
            end = self.offset;
            // The last empty line belongs to the file, not to the message.
            text.extend(blank.take().unwrap_or_default());
            if is_blank(&line) {
                blank = Some(line);
            } else {
                text.extend_from_slice(unquoted(&line));
            }
        }
        Ok(Some(Entry { text, date: date(&separator), end }))
    }
}

/// A name without blanks, followed by a colon.
fn is_header(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| *byte == b':').map_or(&line[..0], |at| &line[..at]);
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// A line without the quoting `>` before its "From ".
fn unquoted(line: &[u8]) -> &[u8] {
    let rest = line.iter().position(|byte| *byte != b'>').map_or(&line[..0], |at| &line[at..]);
    if rest.len() < line.len() && rest.starts_with(b"From ") { &line[1..] } else { line }
}

/// The time of a separator: after the sender, in C's format, with or without a zone; `None`: not a separator.
fn date(line: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(line.strip_prefix(b"From ")?).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let day = |word: &&str| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(word);
    let at = words.iter().rposition(day)?;
    let zone = |word: &&str| !word.starts_with(|c: char| c.is_ascii_alphabetic());
    // From the month on; unlisted zone names count as UTC.
    let rest: Vec<&str> = words
        .get(at + 1..)?
        .iter()
        .enumerate()
        .filter(|(index, word)| *index == 0 || zone(word))
        .map(|(_, word)| *word)
        .collect();
    let rest = rest.join(" ");
    let zoned = ["%b %d %H:%M:%S %z %Y", "%b %d %H:%M:%S %Y %z"];
    let plain = ["%b %d %H:%M:%S %Y", "%b %d %H:%M %Y"];
    let zoned = zoned.iter().find_map(|format| Some(DateTime::parse_from_str(&rest, format).ok()?.timestamp_millis()));
    zoned.or_else(|| {
        plain.iter().find_map(|format| Some(NaiveDateTime::parse_from_str(&rest, format).ok()?.and_utc().timestamp_millis()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<(String, Option<i64>, u64)> {
        let mut mbox = Mbox::new(file.as_bytes(), 0);
        let mut texts = Vec::new();
        while let Some(entry) = mbox.next_entry().expect("an mbox") {
            texts.push((String::from_utf8(entry.text).expect("UTF-8"), entry.date, entry.end));
        }
        texts
    }

    #[test]
    fn separators_end_messages_and_quotes_are_taken_off() {
        let first =
            "From a@b Mon Mar  2 10:00:00 2026\nSubject: a\n\n>From quoted\n>>From twice\n\nFrom next week on\n> From\n\n";
        let file = format!("{first}From 12@xxx Mon Mar 02 10:00:00 +0100 2026\r\nSubject: b\r\n\r\nb");
        assert_eq!(
            texts(&file),
            [
                (
                    "Subject: a\n\nFrom quoted\n>From twice\n\nFrom next week on\n> From\n".to_owned(),
                    Some(1_772_445_600_000),
                    first.len() as u64
                ),
                ("Subject: b\r\n\r\nb".to_owned(), Some(1_772_442_000_000), file.len() as u64),
            ]
        );
        let undated = "From a@b\nSubject: a\n\na\n\nFrom -\nX-Mozilla-Status: 0001\nSubject: b\n\nFrom here: no header\n";
        assert_eq!(
            texts(undated),
            [
                ("Subject: a\n\na\n".to_owned(), None, 24),
                ("X-Mozilla-Status: 0001\nSubject: b\n\nFrom here: no header\n".to_owned(), None, undated.len() as u64),
            ]
        );
        assert!(Mbox::new(&b"Subject: no mbox\n"[..], 0).next_entry().is_err());
    }
}
