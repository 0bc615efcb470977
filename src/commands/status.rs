//! `syncctl status`: shows the current state on one screen.

mod view;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Output, complain, printed, reading, with_context};
use crate::config::Settings;
use crate::db::overview::{self, Overview};
use crate::engine::Context;
use crate::engine::delays::Delays;
use crate::error::Exit;
use crate::services::registry;

/// Terminal control: switch to the alternate screen without cursor and line wrapping; and back.
const OTHER_SCREEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const BACK: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Refresh every SECONDS seconds until interrupted (2 without a number)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct StatusOutput<'a> {
    #[serde(flatten)]
    overview: &'a Overview,
    /// 95th percentile of the delay of changes in the last 24 hours, by service.
    delay_p95_seconds: std::collections::BTreeMap<&'a str, Option<f64>>,
}

/// Runs the command.
pub fn run(args: &StatusArgs, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    let every = args.watch.map(Duration::from_secs);
    with_context(settings, |context| async move {
        let Some(every) = every else {
            let overview = reading(&context, read(&context)).await?;
            output.print(&to_output(&overview), || view::text(&overview, &context.settings, colours()))?;
            return Ok(Exit::Done);
        };
        // If the first read fails, end with an error instead of showing a screen.
        let mut read_so_far = Ok(reading(&context, read(&context)).await?);
        let screen = (std::io::stdout().is_terminal() && !output.json).then(Screen::open).transpose()?;
        loop {
            match (&read_so_far, &screen) {
                (Ok(overview), Some(_)) => {
                    Screen::draw(&output.text(&to_output(overview), || view::text(overview, &context.settings, colours()))?)?
                }
                // End when the reader closes the pipe: no user can interrupt it then.
                (Ok(overview), None) => {
                    if !printed(&output.text(&to_output(overview), || view::text(overview, &context.settings, colours()))?)? {
                        return Ok(Exit::Done);
                    }
                }
                (Err(error), Some(_)) => Screen::draw(&format!("cannot read: {error:#}\nretrying every {every:?}"))?,
                (Err(error), None) => complain(format!("{error:#}")),
            }
            let next = async {
                tokio::time::sleep(every).await;
                read(&context).await
            };
            read_so_far = tokio::select! {
                // Allow the user to quit even if the database does not answer.
                () = context.stop.cancelled() => return Ok(Exit::Done),
                next = next => next,
            };
        }
    })
}

async fn read(context: &Context) -> anyhow::Result<Overview> {
    let silent_after = i32::try_from(context.settings.push.silent_after).unwrap_or(i32::MAX);
    overview::read(&context.pool, &registry::names(|_| true), silent_after).await
}

fn to_output(overview: &Overview) -> StatusOutput<'_> {
    let p95 = overview.services.iter().map(|service| (service.service.as_str(), Delays::from(&service.delays).p95()));
    StatusOutput { overview, delay_p95_seconds: p95.collect() }
}

/// Whether to use colours: on a terminal, unless NO_COLOR is set.
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The alternate screen of the terminal; restores the previous screen when dropped.
struct Screen;

impl Screen {
    fn open() -> std::io::Result<Self> {
        let mut out = std::io::stdout();
        out.write_all(OTHER_SCREEN.as_bytes())?;
        out.flush()?;
        Ok(Self)
    }

    /// Draws in place: overwrites each line and clears the rest. Lines that do not fit are cut off, because they would scroll the screen.
    fn draw(text: &str) -> std::io::Result<()> {
        let rows = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(u16::MAX, |size| size.ws_row.max(2));
        let mut frame = String::from("\x1b[H");
        for line in text.trim_end().lines().take(usize::from(rows) - 1) {
            frame.push_str(line);
            frame.push_str("\x1b[K\r\n");
        }
        frame.push_str("\x1b[J");
        let mut out = std::io::stdout();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = std::io::stdout();
        // Ignore errors: the terminal may be gone.
        let _ = out.write_all(BACK.as_bytes()).and_then(|()| out.flush());
    }
}
