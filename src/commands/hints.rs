//! Lines for a person at a terminal: what to do next, and how much of a list is shown. They go to standard error, so that pipes stay clean.

use std::io::IsTerminal as _;

use super::Output;
use crate::engine::Report;
use crate::progress;
use crate::services::registry;

/// What to do if there are no accounts.
pub const FIRST_ACCOUNT: &str = "add one with `syncctl accounts login`, `import` or `add-domain`";

/// Whether a person reads standard error.
pub fn is_at_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether a person reads along who wants more than the result.
pub fn are_wanted(output: Output) -> bool {
    !output.json && !output.quiet && is_at_terminal()
}

/// Prints a notice for a person, unless only errors are wanted.
pub fn notice(text: &str) {
    progress::notice(text);
}

/// Prints what to do next, if a person reads along.
pub fn next(output: Output, text: &str) {
    if are_wanted(output) {
        progress::above_bars(&format!("next: {text}\n"));
    }
}

/// Prints a line below a list, if a person reads along.
pub fn footer(output: Output, text: &str) {
    if are_wanted(output) {
        progress::above_bars(&format!("{text}\n"));
    }
}

/// After runs that have only stored what was not there before, as a first sync does, prints the commands that show it.
pub fn after_runs(output: Output, reports: &[&Report]) {
    if let Some(commands) = to_see(reports) {
        next(output, &commands);
    }
}

/// The commands that show what these runs have stored; `None` if they stored nothing, or were not the first.
fn to_see(reports: &[&Report]) -> Option<String> {
    let all = || reports.iter().flat_map(|report| report.changes.values());
    if reports.iter().any(|report| report.dry_run || report.resyncs > 0)
        || all().any(|counts| counts.updated + counts.deleted > 0)
    {
        return None;
    }
    let user = if reports.iter().any(|report| report.total_users > 1) { " USER" } else { "" };
    let commands =
        reports.iter().filter(|report| report.changes.values().any(|counts| counts.created > 0)).filter_map(|report| {
            let look = registry::of_job(&report.job)?.look?;
            Some(format!("`syncctl {look}{user}`"))
        });
    let commands: Vec<String> = commands.collect();
    if commands.is_empty() { None } else { Some(commands.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Counts;

    fn report(job: &str, kind: &str, counts: Counts) -> Report {
        let mut report = Report::new(uuid::Uuid::nil(), job, false);
        report.changes.insert(kind.into(), counts);
        report
    }

    #[test]
    fn only_a_first_sync_is_followed_by_commands_that_show_its_data() {
        let created = Counts { created: 3, ..Counts::default() };
        let first = [report("calendar cron", "events", created), report("drive cron", "changes", created)];
        let seen = |reports: &[Report]| to_see(&reports.iter().collect::<Vec<_>>());
        assert_eq!(seen(&first).as_deref(), Some("`syncctl calendar agenda`, `syncctl drive list`"));
        let later = Counts { updated: 1, ..created };
        let nothing = Counts { unchanged: 4, ..Counts::default() };
        for counts in [later, nothing] {
            assert_eq!(seen(&[report("gmail cron", "mailbox", counts)]), None, "{counts:?}");
        }
        assert_eq!(seen(&[report("attendee schedule", "bots", created)]), None, "no command shows bots");
        let mut dry = report("gmail cron", "mailbox", created);
        dry.dry_run = true;
        assert_eq!(seen(&[dry]), None);
        let mut several = report("gmail cron", "mailbox", created);
        several.total_users = 2;
        assert_eq!(seen(&[several]).as_deref(), Some("`syncctl gmail list USER`"));
    }
}
