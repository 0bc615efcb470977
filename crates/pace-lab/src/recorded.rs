//! Traces from a file: a line `stream<TAB>second` for each change, comments after `#`.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Trace, start};

/// Limits of a file: a mistaken one ends with an error instead of without memory.
pub const MAX_BYTES: u64 = 256 << 20;
pub const MAX_STREAMS: usize = 1_000_000;
const MAX_NAME: usize = 256;
/// Replays last at most 366 days.
const MAX_SECOND: u32 = 366 * 86_400;

/// The changes of a file.
#[derive(Debug)]
pub struct Recorded {
    /// The streams of the file, in the order in which they first appear, each with its changes in order; streams without changes are not among them.
    streams: Vec<Vec<DateTime<Utc>>>,
    /// The number of streams in all, if a comment has it: `2,000 streams`.
    pub all: Option<usize>,
    /// The number of days, if a comment has it: `28 days`; otherwise, as many as hold the last change.
    pub days: u32,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; `None`: the file as a whole.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Recorded {
    /// Reads the text of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut names: HashMap<&str, usize> = HashMap::new();
        let (mut streams, mut all, mut days, mut last) = (Vec::<Vec<DateTime<Utc>>>::new(), None, None, 0);
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let fault = |what: String| Fault { line: Some(at + 1), what };
            let line = std::str::from_utf8(line).map_err(|_| fault("not UTF-8: save the file as UTF-8 text".into()))?;
            let line = line.trim_end_matches('\r');
            if let Some(comment) = line.strip_prefix('#') {
                all = all.or(number_before(comment, "streams"));
                days = days.or(number_before(comment, "days"));
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            let Some((name, second)) = change(line).map_err(fault)? else { continue };
            let next = streams.len();
            let stream = *names.entry(name).or_insert(next);
            if stream == MAX_STREAMS {
                return Err(fault(format!("more than {MAX_STREAMS} streams: split the file")));
            }
            if stream == next {
                streams.push(Vec::new());
            }
            streams[stream].push(start() + TimeDelta::seconds(second.into()));
            last = last.max(second);
        }
        if streams.is_empty() {
            let what = "no changes: write a line for each change, with a stream, a tab and the second of the change";
            return Err(Fault { line: None, what: what.into() });
        }
        streams.iter_mut().for_each(|changes| changes.sort_unstable());
        let days = days.and_then(|days| u32::try_from(days).ok()).filter(|days| (1..=366).contains(days));
        Ok(Self { streams, all: all.filter(|all| *all <= MAX_STREAMS), days: days.unwrap_or(last / 86_400 + 1) })
    }

    /// The number of streams with changes.
    pub fn named(&self) -> usize {
        self.streams.len()
    }

    /// The traces of the first `days` days of `streams` streams: those that the file names, and others without changes.
    pub fn traces(self, streams: usize, days: u32) -> Vec<Trace> {
        let until = start() + TimeDelta::days(days.into());
        let hours = f64::from(days) * 24.0;
        let mut traces: Vec<Trace> = self
            .streams
            .into_iter()
            .map(|mut changes| {
                changes.truncate(changes.partition_point(|at| *at < until));
                Trace { rate: changes.len() as f64 / hours, changes }
            })
            .collect();
        traces.resize_with(streams.max(traces.len()), || Trace { rate: 0.0, changes: Vec::new() });
        traces
    }
}

/// A line's stream and second; `None` for a line of headings.
fn change(line: &str) -> Result<Option<(&str, u32)>, String> {
    let Some((name, rest)) = line.split_once('\t') else {
        return Err("no tab: write a stream, a tab and the second of a change, such as `12<TAB>3600`".into());
    };
    let second = rest.split('\t').next().unwrap_or_default().trim();
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("the stream must have 1 to {MAX_NAME} bytes"));
    }
    if name == "stream" && second.starts_with("second") {
        return Ok(None);
    }
    match second.parse::<f64>() {
        Ok(value) if value >= 0.0 && value < f64::from(MAX_SECOND) => Ok(Some((name, value as u32))),
        Ok(_) => {
            Err(format!("the second must be from 0 to {}, counted from the Monday on which the trace begins", MAX_SECOND - 1))
        }
        Err(_) => {
            let shown: String = second.chars().take(40).collect();
            Err(format!("`{shown}` is no number: write seconds since the Monday on which the trace begins"))
        }
    }
}

/// The number before this word: 2000 for `2,000 streams`.
fn number_before(comment: &str, word: &str) -> Option<usize> {
    let words: Vec<&str> = comment.split([' ', ';', '(', ')', '.']).filter(|word| !word.is_empty()).collect();
    let pair = words
        .windows(2)
        .find(|pair| pair[1].trim_end_matches(',') == word && pair[0].starts_with(|c: char| c.is_ascii_digit()))?;
    pair[0].replace(',', "").parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str =
        "# stream\tseconds since a Monday 00:00 UTC; 28 days of real people; 2,000 streams in all, the others have no change\n";

    fn wrong(text: &str) -> (Option<usize>, String) {
        let fault = Recorded::parse(text.as_bytes()).expect_err("a fault");
        (fault.line, fault.what)
    }

    #[test]
    fn comments_say_how_many_streams_and_days_there_are() {
        let recorded = Recorded::parse(format!("{HEADER}7\t60\r\nx\t5\n\n7\t30\n").as_bytes()).expect("traces");
        assert_eq!((recorded.named(), recorded.all, recorded.days), (2, Some(2000), 28));
        let traces = recorded.traces(2000, 28);
        assert_eq!(traces.len(), 2000);
        assert_eq!(traces[0].changes, [30, 60].map(|second| start() + TimeDelta::seconds(second)));
        assert!(traces[2..].iter().all(|trace| trace.changes.is_empty()));
    }

    #[test]
    fn without_comments_the_last_change_and_the_named_streams_count() {
        let recorded = Recorded::parse(b"stream\tsecond\n1\t90000\n1\t10").expect("traces");
        assert_eq!((recorded.named(), recorded.all, recorded.days), (1, None, 2));
        assert_eq!(recorded.traces(1, 1)[0].changes.len(), 1);
    }

    #[test]
    fn a_bad_line_is_named_with_what_to_do() {
        let (line, what) = wrong("1\t5\n2 6\n");
        assert_eq!((line, what.starts_with("no tab: write")), (Some(2), true), "{what}");
        assert!(wrong("# a\n1\tnoon\n").1.starts_with("`noon` is no number"));
        for second in ["-1", "1e12", "NaN", "inf"] {
            assert!(wrong(&format!("1\t{second}")).1.starts_with("the second must be from 0 to"), "{second}");
        }
        assert!(wrong("\t1").1.starts_with("the stream must have"));
        assert_eq!(wrong("# nothing\n").0, None);
        assert_eq!(Recorded::parse(b"1\t2\n\xff\t3\n").expect_err("a fault").line, Some(2));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[#0-9a-z,.\t\n -]{0,200}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(recorded) = Recorded::parse(bytes) {
                    let named = recorded.named();
                    prop_assert!(recorded.traces(named, 1).len() == named);
                }
            }
        }
    }
}
