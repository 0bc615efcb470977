//! Questions to the user at a terminal, and the answers.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::progress::above_bars;

/// Asks whether to do something that cannot be undone. `what` is shown before, `act` is the question.
///
/// # Errors
/// Returns `Fault::usage` if the answer is not yes, or if there is no terminal to ask at.
pub async fn confirm(context: &Context, what: &str, act: &str) -> anyhow::Result<()> {
    must_be_at_terminal()?;
    above_bars(&format!("{what}\n{act} This cannot be undone. [y/N] "));
    let line = tokio::select! {
        line = typed() => line.context("the reader of standard input has ended")?.context("reading standard input")?,
        () = context.stop.cancelled() => {
            return Err(Fault { exit: Exit::Interrupted, message: "nothing was removed".into() }.into());
        }
    };
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Fault::usage("nothing was removed").into()),
    }
}

/// Fails if standard input is no terminal, before anything is counted for a question.
///
/// # Errors
/// Returns `Fault::usage`.
pub fn must_be_at_terminal() -> Result<(), Fault> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Fault::usage(
        "nothing was removed, because there is no terminal to ask for confirmation: add --yes, or --dry-run to see what would be removed",
    ))
}

/// Reads the next line of standard input.
pub fn typed() -> oneshot::Receiver<std::io::Result<String>> {
    let (sender, line) = oneshot::channel();
    // A separate thread, because a read that gets no input must not delay the exit.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line).map(|_| line);
        // The receiver may be gone.
        let _ = sender.send(read);
    });
    line
}
