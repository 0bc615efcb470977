//! `syncctl status`: how everything stands, on one screen.

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

/// Terminals: another screen, on which a line that is too long ends at the edge and takes no second one; and back to the one before.
const OTHER_SCREEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const BACK: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Again every so many seconds (2 without a number), until it is interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct StatusOutput<'a> {
    #[serde(flatten)]
    overview: &'a Overview,
    /// 95 of 100 changes of the last 24 hours waited no longer, by service.
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
        // What cannot be read at all is an error and no screen.
        let mut read_so_far = Ok(reading(&context, read(&context)).await?);
        let screen = (std::io::stdout().is_terminal() && !output.json).then(Screen::open).transpose()?;
        loop {
            match (&read_so_far, &screen) {
                (Ok(overview), Some(_)) => {
                    Screen::draw(&output.text(&to_output(overview), || view::text(overview, &context.settings, colours()))?)?
                }
                // Nobody interrupts what nobody sees.
                (Ok(overview), None) => {
                    match printed(&output.text(&to_output(overview), || view::text(overview, &context.settings, colours()))?)? {
                        true => {}
                        false => return Ok(Exit::Done),
                    }
                }
                (Err(error), Some(_)) => Screen::draw(&format!("not read: {error:#}\ntrying again every {every:?}"))?,
                (Err(error), None) => complain(format!("{error:#}")),
            }
            let again = async {
                tokio::time::sleep(every).await;
                read(&context).await
            };
            read_so_far = tokio::select! {
                // A database that does not answer holds up nobody who wants to leave.
                () = context.stop.cancelled() => return Ok(Exit::Done),
                again = again => again,
            };
        }
    })
}

async fn read(context: &Context) -> anyhow::Result<Overview> {
    overview::read(&context.pool, i32::try_from(context.settings.push.silent_after).unwrap_or(i32::MAX)).await
}

fn to_output(overview: &Overview) -> StatusOutput<'_> {
    let p95 = overview.services.iter().map(|service| (service.service.as_str(), Delays::from(&service.delays).p95()));
    StatusOutput { overview, delay_p95_seconds: p95.collect() }
}

/// A terminal gets colours, unless it asks for none.
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The terminal while it is drawn on; what was there before comes back with its end.
struct Screen;

impl Screen {
    fn open() -> std::io::Result<Self> {
        let mut out = std::io::stdout();
        out.write_all(OTHER_SCREEN.as_bytes())?;
        out.flush()?;
        Ok(Self)
    }

    /// Draws in place: each line over the old one, and nothing left below. What is too much for the terminal would move it.
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
        // A terminal that is gone needs nothing put right.
        let _ = out.write_all(BACK.as_bytes()).and_then(|()| out.flush());
    }
}
