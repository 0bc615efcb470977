//! Formats an overview for a terminal.

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::commands::metrics::seconds_text;
use crate::commands::{remedies, table};
use crate::config::Settings;
use crate::db::overview::{Channels, Failing, JobState, Outbox, Overview, Running, Target, Unread};
use crate::db::runs::Progress;
use crate::engine::delays::Delays;
use crate::state::RunStatus;

/// Time due in seconds above which a stream is highlighted: cron runs every few minutes.
const MAX_DUE: f64 = 3600.0;
/// A job is late after this multiple of its usual pause.
const LATE: f64 = 3.0;

/// Width of the gap between columns.
const GAP: u16 = 2;

/// Formats the overview as one screen, with or without colours.
pub fn text(overview: &Overview, settings: &Settings, colours: bool) -> String {
    let database = &overview.database;
    let head = format!(
        "{}   PostgreSQL {}, {:.1} MB",
        overview.at.format("%F %T UTC"),
        database.version.split_whitespace().next().unwrap_or_default(),
        database.bytes as f64 / 1e6
    );
    let parts = [
        Some(head),
        Some(services(overview, colours)),
        Some(jobs(overview, colours)),
        failing(overview, settings, colours),
        Some(rest(overview, colours)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

/// Fits a table to the width of the terminal. Words may wrap, but not numbers.
fn drawn(mut table: Table) -> String {
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let mut widths: Vec<u16> = Vec::new();
    for row in table.row_iter() {
        let number = |cell: &Cell| Some(cell.content()).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let width = |cell: &Cell| number(cell).map_or(0, |text| text.len() as u16);
        widths.resize(widths.len().max(row.cell_count()), 0);
        row.cell_iter().zip(&mut widths).for_each(|(cell, widest)| *widest = width(cell).max(*widest));
    }
    for (column, width) in table.column_iter_mut().zip(widths).filter(|(_, width)| *width > 0) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + GAP)));
    }
    table.trim_fmt()
}

fn services(overview: &Overview, colours: bool) -> String {
    if overview.services.is_empty() {
        return "no streams yet: add users with `syncctl accounts login`, `import` or `add-domain`".into();
    }
    let header =
        ["service", "streams", "due", "oldest due", "under way", "first pass", "failing", "off", "revoked", "delay p95, 24 h"];
    let mut table = table(&header);
    for service in &overview.services {
        let oldest = if service.due > 0 { ago(service.oldest_due_seconds) } else { "–".into() };
        let p95 = Delays::from(&service.delays).p95();
        table.add_row([
            Cell::new(&service.service),
            Cell::new(service.streams),
            Cell::new(service.due),
            tinted(oldest, colours && service.oldest_due_seconds > MAX_DUE, Color::Yellow),
            Cell::new(service.under_way),
            Cell::new(service.unfinished),
            tinted(service.failing.to_string(), colours && service.failing > 0, Color::Red),
            Cell::new(service.off),
            tinted(service.revoked.to_string(), colours && service.revoked > 0, Color::Red),
            Cell::new(p95.map_or_else(|| "–".into(), seconds_text)),
        ]);
    }
    drawn(table)
}

fn jobs(overview: &Overview, colours: bool) -> String {
    if overview.jobs.is_empty() {
        return "no job has run yet: `syncctl sync cron` fetches all data, `syncctl install systemd` or `install crontab` schedules it".into();
    }
    let mut table = table(&["job", "last run", "took", "usually every", "status", ""]);
    for job in &overview.jobs {
        let late = job.usual_seconds.is_some_and(|usual| job.age_seconds > LATE * usual.max(60.0));
        table.add_row([
            Cell::new(&job.job),
            tinted(format!("{} ago", ago(job.age_seconds)), colours && late, Color::Yellow),
            Cell::new(job.seconds.map_or_else(|| "–".into(), |seconds| format!("{seconds:.1} s"))),
            Cell::new(job.usual_seconds.map_or_else(|| "–".into(), ago)),
            status(job, colours),
            Cell::new(doing(job)),
        ]);
    }
    drawn(table)
}

/// Describes the last error, and the progress of running runs.
fn doing(job: &JobState) -> String {
    let mut parts: Vec<String> = job.error.as_deref().map(one_line).into_iter().collect();
    parts.extend(job.running.iter().map(|Running { host, pid, seconds, progress, .. }| {
        let progress = progress.as_ref().map(|progress| format!(": {}", in_words(progress))).unwrap_or_default();
        format!("runs on {host}, pid {pid}, for {}{progress}", ago(*seconds))
    }));
    if job.skipped_since > 0 {
        parts.push(format!("{} skipped since", job.skipped_since));
    }
    parts.join("; ")
}

/// `32 under way, 900 streams wait for quota (next in 3 s)`
fn in_words(progress: &Progress) -> String {
    let Progress { under_way, polls_waiting, passes_waiting, without_quota, next_seconds, winding_down } = progress;
    let mut parts = vec![format!("{under_way} under way")];
    if *winding_down {
        parts.insert(0, "winding down".into());
    }
    let mut add = |count: usize, what: String| {
        if count > 0 {
            parts.push(what);
        }
    };
    add(*polls_waiting, format!("{polls_waiting} polls wait"));
    add(*passes_waiting, format!("{passes_waiting} first syncs or resyncs wait for their turn"));
    let next = next_seconds.map_or_else(String::new, |seconds| format!(" (next in {seconds:.0} s)"));
    add(*without_quota, format!("{without_quota} streams wait for quota{next}"));
    parts.join(", ")
}

fn status(job: &JobState, colours: bool) -> Cell {
    if job.is_dead {
        return tinted("died".into(), colours, Color::Red);
    }
    let colour = match job.status {
        RunStatus::Completed => Color::Green,
        RunStatus::Running => Color::Blue,
        RunStatus::Partial | RunStatus::Paused | RunStatus::Skipped => Color::Yellow,
        RunStatus::Failed | RunStatus::Abandoned => Color::Red,
    };
    tinted(job.status.to_string(), colours, colour)
}

fn failing(overview: &Overview, settings: &Settings, colours: bool) -> Option<String> {
    if overview.failing.is_empty() {
        return None;
    }
    let mut table = table(&["failing", "service", "accounts", "streams", "who", "what to do"]);
    for failing in &overview.failing {
        let Failing { class, service, owners, streams, first, .. } = failing;
        let mut who: Vec<&str> = first.iter().map(|owner| owner.name.as_str()).collect();
        if *owners > who.len() as i64 {
            who.push("…");
        }
        table.add_row([
            tinted(class.clone(), colours, Color::Red),
            Cell::new(service.as_deref().unwrap_or("all")),
            Cell::new(owners),
            Cell::new(if service.is_some() { streams.to_string() } else { "all".into() }),
            Cell::new(who.join(" ")),
            Cell::new(remedies::of_failing(failing, settings).unwrap_or_default()),
        ]);
    }
    Some(drawn(table))
}

/// Formats the parts that take one line each.
fn rest(overview: &Overview, colours: bool) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if overview.accounts.accounts > 0 {
        let text = format!("{}: `syncctl accounts list`", overview.accounts.in_words());
        table.add_row([Cell::new("accounts"), tinted(text, colours, Color::Red)]);
    }
    for pause in &overview.paused {
        let text = format!("{}: {}: `syncctl quota list`", pause.service, pause.in_words());
        table.add_row([Cell::new("quota"), tinted(text, colours, Color::Red)]);
    }
    for channels in &overview.channels {
        let Channels { service, live, silent, refused, ending, to_stop, .. } = channels;
        let mut text = format!(
            "{service}: {live} live, {silent} silent, {refused} refused, {ending} expire within the hour, {to_stop} to stop"
        );
        if silent + refused > 0 {
            text.push_str(&format!("; `syncctl {service} renew-webhooks` repairs them"));
        }
        table.add_row([Cell::new("channels"), tinted(text, colours && silent + refused > 0, Color::Yellow)]);
    }
    if overview.accounts_ended > 0 {
        let text = format!("{} ended on purpose (`syncctl accounts revoke`), no longer synced", overview.accounts_ended);
        table.add_row(["accounts", &text]);
    }
    let outbox = &overview.outbox;
    table.add_row([Cell::new("outbox"), tinted(outbox_line(outbox), colours && outbox.dead() > 0, Color::Yellow)]);
    for Target { target, failures, last_error, .. } in outbox.targets.iter().filter(|target| target.failures > 0) {
        let error = last_error.as_deref().map(one_line).unwrap_or_default();
        table.add_row([Cell::new(""), tinted(format!("{target}: {failures} failures in a row: {error}"), colours, Color::Red)]);
    }
    for held in &overview.quarantine {
        let text = format!(
            "{}: {} items, the oldest since {}: `syncctl items list`",
            held.service,
            held.items,
            held.oldest_at.format("%F %R UTC")
        );
        table.add_row([Cell::new("quarantine"), tinted(text, colours, Color::Yellow)]);
    }
    if overview.quarantine.is_empty() {
        table.add_row(["quarantine", "nothing"]);
    }
    if overview.unread.events > 0 {
        table.add_row([Cell::new("events"), tinted(unread_line(&overview.unread), colours, Color::Yellow)]);
    }
    table.add_row(["bots", &bots_line(overview)]);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    drawn(table)
}

fn outbox_line(outbox: &Outbox) -> String {
    let mut text = match outbox.pending() {
        0 => "nothing waits".into(),
        pending if outbox.targets.is_empty() => format!("{pending} events, but no target has taken any yet"),
        pending => format!("{pending} wait, the oldest for {}", outbox.oldest_seconds.map_or_else(|| "–".into(), ago)),
    };
    if outbox.dead() > 0 {
        text.push_str(&format!("; {} given up: `syncctl outbox list --state dead`", outbox.dead()));
    }
    text
}

/// Describes events that were only partly read, and their users.
fn unread_line(unread: &Unread) -> String {
    let Unread { events, series, users, first } = unread;
    let more = if *users > first.len() as i64 { " …" } else { "" };
    format!(
        "{events} only partly read, of {users} users ({}{more}); {series} are recurring meetings whose rule cannot be parsed: no bot joins them",
        first.join(" ")
    )
}

fn bots_line(overview: &Overview) -> String {
    let bots = &overview.bots;
    if bots.by_state.is_empty() {
        return "none under way".into();
    }
    let states: Vec<String> = bots.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let next = bots.next_join_at.map(|at| format!("; the next joins in {}", ago((at - overview.at).as_seconds_f64())));
    format!("{}{}", states.join(", "), next.unwrap_or_default())
}

fn tinted(text: String, is_tinted: bool, colour: Color) -> Cell {
    if is_tinted { Cell::new(text).fg(colour) } else { Cell::new(text) }
}

/// Formats a duration with at most two units.
fn ago(seconds: f64) -> String {
    seconds_text(seconds).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Shortens a message to the beginning of its first line, for a table cell.
fn one_line(text: &str) -> String {
    let mut line: String = text.lines().next().unwrap_or_default().chars().take(120).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_terminals_wrap_words_but_not_numbers() {
        let mut narrow = table(&["service", "streams", "due", "delay"]);
        narrow.add_row(["calendar", "300000", "9655", "1m 36s"]);
        narrow.set_width(24);
        let text = drawn(narrow);
        assert!(text.contains("300000") && text.contains("9655") && !text.contains("calendar"), "{text}");
    }
}
