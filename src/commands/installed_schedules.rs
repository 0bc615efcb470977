//! Finds the jobs that this machine's schedules start: lines of its crontabs, and enabled systemd timers. Read-only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::install;
use crate::config::Settings;
use crate::services::registry;

/// Crontabs of the machine.
const CRONTABS: [&str; 2] = ["/etc/crontab", "/etc/cron.d"];
/// Folder in which systemd keeps enabled timers.
const ENABLED: &str = "timers.target.wants";

/// Returns the jobs scheduled on this machine, by their names in the run tables, except those in unreadable files.
pub(super) fn jobs(settings: &Settings) -> BTreeSet<String> {
    let crontabs = CRONTABS.iter().flat_map(|path| texts(Path::new(path))).chain(install::crontab_of_user());
    let timers = install::unit_folders().into_iter().flat_map(|folder| names(&folder.join(ENABLED)));
    let started = timers.filter_map(|timer| install::started_by(&timer)).map(|command| format!("syncctl {command}"));
    let texts: Vec<String> = crontabs.chain(started).collect();
    let commands = texts.iter().flat_map(|text| text.lines()).filter_map(command);
    commands.flat_map(|words| recorded(&words, settings)).collect()
}

/// Returns the jobs that schedules for these settings start, on any machine.
pub(super) fn required(settings: &Settings) -> BTreeSet<String> {
    let commands: Vec<String> = install::required(settings).into_iter().map(|command| format!("syncctl {command}")).collect();
    commands.iter().filter_map(|line| command(line)).flat_map(|words| recorded(&words, settings)).collect()
}

/// Reads a file, or the files of a folder.
fn texts(path: &Path) -> Vec<String> {
    let files: Vec<PathBuf> = match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Returns the subcommand words of a crontab line that runs syncctl, without the program and its global options; `None` for other lines.
fn command(line: &str) -> Option<Vec<&str>> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "syncctl" && !word.ends_with("/syncctl"));
    words.next().filter(|_| !line.trim_start().starts_with('#'))?;
    let mut words = words.peekable();
    while let Some(option) = words.next_if(|word| word.starts_with('-')) {
        if matches!(option, "--config" | "--set") {
            words.next();
        }
    }
    Some(words.take_while(|word| !word.starts_with(['-', '>', '|', ';', '&', '"', '$'])).collect())
}

/// Returns the names in the run tables of the jobs of such a command; empty if it records no run.
fn recorded(words: &[&str], settings: &Settings) -> Vec<String> {
    let enabled = || registry::enabled(settings).map(|one| one.service);
    match words {
        ["deliver", ..] => vec!["deliver".into()],
        ["report", ..] => vec!["report".into()],
        ["db", "prune", ..] => vec!["db prune".into()],
        ["webhook", "drain", ..] => vec!["webhook drain".into()],
        ["sync", "cron", ..] => enabled().map(|service| format!("{service} cron")).collect(),
        ["verify"] => enabled().map(|service| format!("{service} verify")).collect(),
        ["verify", services @ ..] => services.iter().map(|service| format!("{service} verify")).collect(),
        [
            service,
            verb @ ("cron" | "batch-poll" | "poll" | "smart-poll" | "renew-watches" | "renew-webhooks" | "schedule"
            | "roll-instances"),
            ..,
        ] if registry::find(service).is_some() => vec![format!("{service} {verb}")],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read_from_crontab_lines() {
        let settings = Settings::default();
        let of = |line: &str| command(line).map_or_else(Vec::new, |words| recorded(&words, &settings));
        let table: [(&str, &[&str]); 9] = [
            ("*/5 * * * * syncctl calendar cron >/dev/null", &["calendar cron"]),
            ("* * * * * root /opt/bin/syncctl --config /etc/x.toml -v db prune --max-duration 30m", &["db prune"]),
            ("@daily PATH=/bin syncctl --set log.level=info report --html \"$HOME/x.html\"", &["report"]),
            ("* * * * * syncctl deliver --max-duration 50s>/dev/null", &["deliver"]),
            ("29 3 * * 0 syncctl verify --max-duration 1h", &["calendar verify", "drive verify", "gmail verify"]),
            ("29 3 * * 0 syncctl verify gmail --all", &["gmail verify"]),
            ("#* * * * * syncctl gmail cron", &[]),
            ("* * * * * syncctl metrics --textfile x.prom", &[]),
            ("* * * * * other calendar cron", &[]),
        ];
        let required = required(&settings);
        for job in ["gmail cron", "db prune", "drive verify", "report"] {
            assert!(required.contains(job), "{job}");
        }
        assert!(!required.iter().any(|job| job.ends_with("poll") || job.contains("renew")), "{required:?}");
        for (line, jobs) in table {
            assert_eq!(of(line), jobs, "{line}");
        }
    }
}
