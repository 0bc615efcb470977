//! Which jobs the schedules of this machine start: lines of its crontabs, and timers of systemd that are enabled. Changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{any_service, install};
use crate::config::Settings;

/// Crontabs of the machine.
const CRONTABS: [&str; 2] = ["/etc/crontab", "/etc/cron.d"];
/// Where systemd keeps the timers that start by themselves.
const WANTED: &str = "timers.target.wants";

/// The jobs that are scheduled here, as the run tables call them. Those of other hosts, and what nobody may read, are not among them.
pub(super) fn jobs(settings: &Settings) -> BTreeSet<String> {
    let crontabs = CRONTABS.iter().flat_map(|place| texts(Path::new(place))).chain(install::crontab_of_user());
    let timers = install::unit_folders().into_iter().flat_map(|folder| names(&folder.join(WANTED)));
    let started = timers.filter_map(|timer| install::started_by(&timer)).map(|command| format!("syncctl {command}"));
    let texts: Vec<String> = crontabs.chain(started).collect();
    let commands = texts.iter().flat_map(|text| text.lines()).filter_map(command);
    commands.flat_map(|words| recorded(&words, settings)).collect()
}

/// The jobs that schedules for these settings start, wherever they are installed.
pub(super) fn called_for(settings: &Settings) -> BTreeSet<String> {
    let commands: Vec<String> = install::called_for(settings).into_iter().map(|command| format!("syncctl {command}")).collect();
    commands.iter().filter_map(|line| command(line)).flat_map(|words| recorded(&words, settings)).collect()
}

/// A file, or the files of a folder.
fn texts(place: &Path) -> Vec<String> {
    let files: Vec<PathBuf> = match std::fs::read_dir(place) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![place.to_owned()],
    };
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What a line of a crontab has syncctl do: the words behind the program and its own options. `None`: nothing.
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

/// How the run tables call what such a command does; empty: it leaves no run.
fn recorded(words: &[&str], settings: &Settings) -> Vec<String> {
    let enabled = || any_service::services(settings).into_iter().filter(|(_, enabled)| *enabled).map(|(service, _)| service);
    match words {
        ["deliver", ..] => vec!["deliver".into()],
        ["report", ..] => vec!["report".into()],
        ["db", "prune", ..] => vec!["db prune".into()],
        ["webhook", "drain", ..] => vec!["webhook drain".into()],
        ["sync", "cron", ..] => enabled().map(|service| format!("{service} cron")).collect(),
        ["verify"] => enabled().map(|service| format!("{service} verify")).collect(),
        ["verify", services @ ..] => services.iter().map(|service| format!("{service} verify")).collect(),
        [
            service @ ("calendar" | "drive" | "gmail" | "attendee" | "classify"),
            verb @ ("cron" | "batch-poll" | "poll" | "smart-poll" | "renew-watches" | "renew-webhooks" | "schedule"),
            ..,
        ] => vec![format!("{service} {verb}")],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_crontab_name_their_jobs() {
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
        let called_for = called_for(&settings);
        for job in ["gmail cron", "db prune", "drive verify", "report"] {
            assert!(called_for.contains(job), "{job}");
        }
        assert!(!called_for.iter().any(|job| job.ends_with("poll") || job.contains("renew")), "{called_for:?}");
        for (line, jobs) in table {
            assert_eq!(of(line), jobs, "{line}");
        }
    }
}
