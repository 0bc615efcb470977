//! Progress on a terminal, with log lines above it. Elsewhere nothing is drawn: a bar is hidden where standard error is no terminal.

use std::io::{self, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// What is on the terminal. Of the process, because the terminal is.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

const TEMPLATE: &str = "{bar:30} {pos}/{len} streams, {elapsed}";

/// A bar that counts streams; its length grows as they are found. It goes with its last clone.
pub fn streams() -> ProgressBar {
    let bar = BARS.add(ProgressBar::new(0));
    // An error says that the template is wrong, which a test sees.
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar
}

/// A bar that counts accounts. It goes with its last clone.
pub fn accounts(all: usize) -> ProgressBar {
    let bar = BARS.add(ProgressBar::new(all as u64));
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} accounts, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Standard error for log lines: whatever is drawn makes room for each, which comes in pieces.
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
        let line = std::mem::take(&mut self.line);
        BARS.suspend(|| io::stderr().write_all(&line))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_of_the_bar_is_one() {
        assert!(super::ProgressStyle::with_template(super::TEMPLATE).is_ok());
    }
}
