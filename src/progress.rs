//! Progress on a terminal, with log lines above it. The bar is hidden if standard error is not a terminal.

use std::fmt;
use std::io::{self, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// The bars on the terminal. Global to the process, like the terminal.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether only errors are printed. Global to the process, like standard error.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

const TEMPLATE: &str = "{bar:24} {pos}/{len} streams ({msg}), {rate}, {eta} left";

/// Progress of a run: streams found and ended, their users, and pages received.
pub struct Progress {
    bar: ProgressBar,
    pages: AtomicU64,
}

impl Progress {
    /// Progress of a run that has found nothing yet.
    pub fn of_streams() -> Self {
        let bar = BARS.add(ProgressBar::new(0).with_message("0 users, 0 pages"));
        // This fails only if the template is wrong, which a test detects.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            let rate = |state: &ProgressState, to: &mut dyn fmt::Write| _ = write!(to, "{:.0}/s", state.per_sec());
            bar.set_style(style.with_key("rate", rate));
        }
        Self { bar, pages: AtomicU64::new(0) }
    }

    /// Adds streams that the run will process.
    pub fn add_streams(&self, streams: usize) {
        self.bar.inc_length(streams as u64);
    }

    /// Counts a page: visible progress during a large first sync.
    pub fn page(&self, users: impl FnOnce() -> usize) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.redraw(users);
    }

    /// Counts an ended stream.
    pub fn ended(&self, users: impl FnOnce() -> usize) {
        self.bar.inc(1);
        self.redraw(users);
    }

    /// Removes the bar from the terminal.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn redraw(&self, users: impl FnOnce() -> usize) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} users, {} pages", users(), self.pages.load(Ordering::Relaxed)));
        }
    }
}

/// A bar that counts accounts. It disappears with its last clone.
pub fn accounts(all: usize) -> ProgressBar {
    let bar = BARS.add(ProgressBar::new(all as u64));
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} accounts, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Standard error for log lines: each line, which arrives in pieces, is written above the bars.
#[derive(Default)]
pub struct AboveBars {
    line: Vec<u8>,
}

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend(bytes);
        if self.line.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        above_bars(&record(&String::from_utf8_lossy(&std::mem::take(&mut self.line))));
        Ok(())
    }
}

/// Writes a notice for people to standard error, unless they want errors only.
pub fn notice(text: &str) {
    if !IS_SILENT.load(Ordering::Relaxed) {
        above_bars(&format!("syncctl: {text}\n"));
    }
}

/// Shows no bars and no notices from now on.
pub fn silence() {
    IS_SILENT.store(true, Ordering::Relaxed);
    BARS.set_draw_target(ProgressDrawTarget::hidden());
}

/// Joins a log record into one line.
fn record(text: &str) -> String {
    match text.strip_suffix('\n') {
        Some(line) if line.contains(['\n', '\r']) => {
            format!("{}\n", line.split(['\n', '\r']).map(str::trim).collect::<Vec<_>>().join(" "))
        }
        _ => text.to_owned(),
    }
}

/// Writes to standard error. Errors are ignored: if the reader is gone (`2>&1 | head`), the work is unaffected.
pub fn above_bars(text: &str) {
    let _ = BARS.suspend(|| io::stderr().write_all(harmless(text).as_bytes()));
}

/// Text that is safe for a terminal, since names and messages from outside must not control it: of the control characters, only line ends, tabs and colours
/// stay. Invisible characters are shown as escapes, such as `\u{202e}`, which makes a name read as another one.
pub fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| is_invisible(c) || (c.is_control() && c != '\n' && c != '\t')) {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let stays = colour(rest);
        let first = rest.chars().next().unwrap_or_default();
        match stays {
            0 if is_invisible(first) => clean.extend(first.escape_unicode()),
            0 => clean.push(' '),
            stays => clean.push_str(&rest[..stays]),
        }
        rest = &rest[stays.max(first.len_utf8())..];
    }
    clean.push_str(rest);
    clean
}

/// JSON text with escapes in place of control and invisible characters. Such characters occur only in strings.
pub fn harmless_json(json: String) -> String {
    if !json.contains(|c: char| c != '\n' && (c.is_control() || is_invisible(c))) {
        return json;
    }
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !(c.is_control() || is_invisible(c)) {
            clean.push(c)
        } else {
            clean.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")))
        }
    }
    clean
}

/// Whether a character is invisible or reorders those around it: joiners, directional marks, line separators, fillers, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}')
}

/// Length of a colour sequence (`ESC [ 31 m`) at the beginning; 0 without one.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\x1b[") else { return 0 };
    let parameters = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if rest[parameters..].starts_with('m') { 2 + parameters + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_of_the_bar_is_one() {
        assert!(super::ProgressStyle::with_template(super::TEMPLATE).is_ok());
    }

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(super::record("[WARN] ERROR: no\nDETAIL: why\n"), "[WARN] ERROR: no DETAIL: why\n");
        assert_eq!(super::record("\x1b[31m[WARN]\x1b[0m no\n"), "\x1b[31m[WARN]\x1b[0m no\n");
    }

    #[test]
    fn only_colour_sequences_reach_the_terminal() {
        let clean = super::harmless;
        assert_eq!(clean("a\tb\n\x1b[1;31mred\x1b[0m é"), "a\tb\n\x1b[1;31mred\x1b[0m é");
        assert_eq!(clean("\x1b[2J\x1b]0;title\x07\r\u{9b}3J\x7f\x1b[31"), " [2J ]0;title   3J  [31");
        assert_eq!(clean("\x1b"), " ");
        assert_eq!(clean("a\u{202e}gpj.exe \u{200b}\u{2066}é\u{e0041}"), r"a\u{202e}gpj.exe \u{200b}\u{2066}é\u{e0041}");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "a\u{200d}b": ["\u{9b}31m", "\u{7f}\u{202e}gpj", "\u{e0041}", "é\n\t\"\\"] });
        let text = super::harmless_json(serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(text.is_ascii() || text.chars().all(|c| c == 'é' || c.is_ascii()), "{text}");
        assert!(!text.contains('\u{7f}') && text.contains("\\u202e") && text.contains("\\udb40\\udc41"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}
