//! Lines for cron: `/etc/cron.d/syncctl`, or a section of a user's crontab between two marks.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::files::{self, File, State, Written};
use super::{Done, Machine, Where, jobs};
use crate::config::{Loaded, Settings};
use crate::error::Fault;

const EXAMPLE: &str = include_str!("../../../crontab.example");
const FILE: &str = "etc/cron.d/syncctl";
/// How the first mark begins, whatever the rest of its line.
const BEGIN_PREFIX: &str = "# >>> syncctl: ";
const BEGIN: &str = "# >>> syncctl: `syncctl install crontab --user` replaces these lines >>>";
const END: &str = "# <<< syncctl <<<";

/// Writes `/etc/cron.d/syncctl`.
pub(super) fn install(destination: &Where, run_as: &str, loaded: &Loaded, machine: &Machine) -> anyhow::Result<Done> {
    if run_as.is_empty() || !run_as.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        return Err(Fault::usage(format!("--run-as {run_as:?}: not a valid user name")).into());
    }
    let text = format!(
        "# Written by `syncctl install crontab`, which overwrites it.\nPATH=/usr/local/bin:/usr/bin:/bin\n\n{}",
        lines(&loaded.settings, machine, Some(run_as))
    );
    let path = destination.prefix.as_deref().unwrap_or(Path::new("/")).join(FILE);
    let written = files::write(&[File { path, text, packaged: None }], destination.dry_run)?;
    Ok(Done { dry_run: destination.dry_run, files: written, notes: Vec::new(), next: Vec::new() })
}

/// Writes the lines into the crontab of this user; other lines stay.
pub(super) fn install_for_user(destination: &Where, loaded: &Loaded, machine: &Machine) -> anyhow::Result<Done> {
    let before = read()?;
    let after = spliced(&before, &lines(&loaded.settings, machine, None))?;
    let state = match (before.is_empty(), before == after) {
        (_, true) => State::Unchanged,
        (true, false) => State::New,
        (false, false) => State::Changed,
    };
    if !destination.dry_run && state != State::Unchanged {
        write(&after)?;
    }
    let text = (destination.dry_run && state != State::Unchanged).then_some(after);
    let written = Written { path: "crontab -l".into(), state, kept: None, text };
    Ok(Done { dry_run: destination.dry_run, files: vec![written], notes: Vec::new(), next: Vec::new() })
}

/// Returns the lines of the example that the settings require, each with the comment above it.
fn lines(settings: &Settings, machine: &Machine, user: Option<&str>) -> String {
    let mut program = machine.binary.display().to_string();
    if let Some(file) = &machine.settings {
        program.push_str(&format!(" --config {}", file.display()));
    }
    let mut text = String::new();
    let mut comment = String::new();
    let mut has_job = false;
    for line in EXAMPLE.lines() {
        let is_comment = line.starts_with("# ");
        // A new comment begins after the jobs that shared the last one.
        if is_comment && std::mem::take(&mut has_job) {
            comment.clear();
        }
        let command = line.split_once(" syncctl ").map(|(_, command)| command.split('>').next().unwrap_or_default());
        match command {
            _ if is_comment => comment.push_str(&format!("{line}\n")),
            Some(command) if !line.starts_with('#') => {
                has_job = true;
                if jobs::is_required(settings, command) {
                    let user = user.map_or(String::new(), |user| format!("{user} "));
                    text.push_str(&std::mem::take(&mut comment));
                    text.push_str(&format!("{}\n", line.replacen(" syncctl ", &format!(" {user}{program} "), 1)));
                }
            }
            // A blank line, a variable, or an optional job: drop the comment above it.
            _ => comment.clear(),
        }
    }
    text
}

/// Returns the crontab with these lines in place of those installed before.
fn spliced(before: &str, lines: &str) -> anyhow::Result<String> {
    let ours = format!("{BEGIN}\n{lines}{END}\n");
    let unclear = || Fault::usage("the crontab has only one of syncctl's two marks: repair it with `crontab -e`");
    match (before.matches(BEGIN_PREFIX).count(), before.matches(END).count()) {
        (0, 0) => {
            let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
            Ok(format!("{before}{gap}{ours}"))
        }
        (1, 1) => {
            let (head, rest) = before.split_once(BEGIN_PREFIX).ok_or_else(unclear)?;
            let (_, tail) = rest.split_once(END).ok_or_else(unclear)?;
            Ok(format!("{head}{ours}{}", tail.strip_prefix('\n').unwrap_or(tail)))
        }
        _ => Err(unclear().into()),
    }
}

/// Reads the crontab of this user.
pub(super) fn read() -> anyhow::Result<String> {
    let output = Command::new("crontab").arg("-l").env("LC_ALL", "C").output().map_err(missing)?;
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        String::from_utf8(output.stdout).context("the crontab is not UTF-8: edit it with `crontab -e`")
    } else if message.contains("no crontab for") {
        // `crontab -l` fails for a user without a crontab.
        Ok(String::new())
    } else {
        Err(Fault::usage(format!("crontab -l failed: {}", message.trim())).into())
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut child = Command::new("crontab").arg("-").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(missing)?;
    let sent = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().context("waiting for crontab")?;
    if output.status.success() {
        sent.context("passing the crontab to crontab(1)")
    } else {
        Err(Fault::usage(format!("crontab refused the lines: {}", String::from_utf8_lossy(&output.stderr).trim())).into())
    }
}

fn missing(error: std::io::Error) -> anyhow::Error {
    Fault::usage(format!("crontab cannot be run ({error}): install cron, or use `syncctl install systemd --user`")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_lines_stay_and_installing_twice_changes_nothing() {
        for others in ["", "MAILTO=me\n1 2 * * * backup\n", "1 2 * * * backup"] {
            let once = spliced(others, "* * * * * syncctl calendar cron\n").expect("a crontab");
            assert!(once.starts_with(others) && once.contains("calendar cron"), "{once}");
            let after = format!("{once}5 5 * * * other\n");
            assert_eq!(spliced(&after, "* * * * * syncctl calendar cron\n").expect("a crontab"), after);
            let changed = spliced(&after, "* * * * * syncctl gmail cron\n").expect("a crontab");
            assert!(!changed.contains("calendar cron") && changed.ends_with("5 5 * * * other\n"), "{changed}");
        }
    }

    #[test]
    fn lines_between_markers_are_replaced() {
        let earlier = format!("{BEGIN_PREFIX}another description >>>\n* * * * * syncctl gmail cron\n{END}\n5 5 * * * other\n");
        let changed = spliced(&earlier, "* * * * * syncctl calendar cron\n").expect("a crontab");
        assert!(changed.starts_with(BEGIN) && changed.ends_with("5 5 * * * other\n"), "{changed}");
        assert!(!changed.contains("gmail cron") && !changed.contains("another description"), "{changed}");
    }

    #[test]
    fn an_incomplete_marker_is_an_error() {
        assert!(spliced(&format!("{BEGIN}\n* * * * * x\n"), "").is_err());
        assert!(spliced(&format!("{END}\n{BEGIN}\n"), "").is_err());
    }
}
