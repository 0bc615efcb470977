//! Prints Attendee's runs and transcripts for people.

use serde_json::Value;

use super::{Output, jobs};
use crate::engine::Report;
use crate::error::Exit;
use crate::services::attendee::stored::Stored;

/// Prints a run with its details about meetings and bots.
pub(super) fn finish(report: Report, output: Output) -> anyhow::Result<Exit> {
    output.print(&report, || {
        let mut text = jobs::text(&report);
        if let Some(details) = &report.details {
            lines(details, &mut text);
        }
        text
    })?;
    jobs::print_error(&report, "");
    Ok(report.exit())
}

fn lines(details: &Value, text: &mut String) {
    for (state, bots) in details["unknown_states"].as_object().into_iter().flatten() {
        let bots: Vec<&str> = bots.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        text.push_str(&format!("unknown   state {} of {}: stored unchanged\n", clean(state), bots.join(", ")));
    }
    for (bot, why) in details["troubled"].as_object().into_iter().flatten() {
        text.push_str(&format!("problem   bot {bot}: {}\n", clean(why.as_str().unwrap_or_default())));
    }
    for (bot, why) in details["not_read"].as_object().into_iter().flatten() {
        text.push_str(&format!("not read  bot {bot}: {}\n", clean(why.as_str().unwrap_or_default())));
    }
    for meeting in details["meetings"].as_array().into_iter().flatten() {
        let word = |name: &str| clean(meeting[name].as_str().unwrap_or_default());
        let mut line = format!("{:<9} {} {}", word("action"), word("start_at"), word("title"));
        let by: Vec<&str> = meeting["wanted_by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !by.is_empty() {
            line.push_str(&format!(" (wanted by {})", by.join(", ")));
        }
        for why in [word("why"), word("error")].into_iter().filter(|why| !why.is_empty()) {
            line.push_str(&format!(": {why}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// Formats a transcript for reading.
pub(super) fn transcript(stored: &Stored) -> String {
    let mut text = format!(
        "{}  {}\nbot {}: {} ({})\n",
        stored.start_at.format("%F %T UTC"),
        clean(stored.title.as_deref().unwrap_or("(no title)")),
        stored.bot_id,
        clean(stored.status.as_deref().unwrap_or("unknown")),
        clean(stored.state.as_deref().unwrap_or("unknown")),
    );
    if !stored.is_final {
        text.push_str("incomplete transcript: the part available so far\n");
    }
    if let Some(note) = &stored.note {
        text.push_str(&format!("note: {}\n", clean(note)));
    }
    text.push('\n');
    text.extend(stored.text.chars().filter(|c| *c == '\n' || !c.is_control()));
    text
}

/// Puts external text on one line without control characters: a title must not control the reader's terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
