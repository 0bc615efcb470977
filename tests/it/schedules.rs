//! The example crontab and units: every command in them is valid for this binary, and their minutes are staggered.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::World;

/// Jobs that mostly take a quick look at the database: they may begin at any time.
const LIGHT: [&str; 7] =
    ["attendee cron", "classify cron", "attendee schedule", "deliver", "webhook drain", "sync cron", "metrics"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of `systemd/` with this ending.
fn units(ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("systemd")).expect("the folder of units");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|other| other == ending));
    assert!(!paths.is_empty(), "no {ending} units");
    paths
}

/// What the service runs, after `syncctl`; for each instance if it has some.
fn commands(service: &Path) -> Vec<String> {
    let text = read(service);
    let Some(start) = text.lines().find_map(|line| line.strip_prefix("ExecStart=syncctl ")) else { return Vec::new() };
    if start.contains("%i") {
        ["calendar", "drive", "gmail"].iter().map(|service| start.replace("%i", service)).collect()
    } else {
        vec![start.to_owned()]
    }
}

/// Runs a command of the crontab with the shell, as cron does, in a separate home; its output files are private unless requested otherwise.
#[track_caller]
fn assert_runs_by_cron(world: &World, command: &str) {
    let binary = Path::new(env!("CARGO_BIN_EXE_syncctl")).parent().expect("a folder").display();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("umask 077; PATH={binary}:$PATH; {command}")]).env_clear();
    shell.envs(world.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = shell.output().expect("a shell");
    let shown = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && ran.stdout.is_empty(), "{command}: {:?} {shown}", ran.status);
}

#[track_caller]
fn assert_readable_by_others(file: &Path) {
    let metadata = std::fs::metadata(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert_eq!(metadata.permissions().mode() & 0o777, 0o644, "{}", file.display());
}

/// A command without its output file, whose path differs between cron and systemd.
fn without_file(command: &str) -> &str {
    [" \"$HOME/", " %t/"].iter().find_map(|folder| Some(command.split_once(folder)?.0)).unwrap_or(command)
}

/// The values of a crontab field, as cron(8) reads it: `*`, `a`, `a-b`, each with `/step`, in a list.
pub fn field(text: &str, least: u32, most: u32) -> BTreeSet<u32> {
    let number = |word: &str| word.parse::<u32>().unwrap_or_else(|_| panic!("{text}: {word} is no number"));
    let mut values = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| (range, number(step)));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from), number(to)),
            None => (number(range), number(range)),
        };
        assert!(least <= from && from <= to && to <= most && step > 0, "{text}: outside {least}-{most}");
        values.extend((from..=to).step_by(step as usize));
    }
    values
}

/// A job of a crontab: its command, and the minutes of the week at which it begins, from Sunday.
pub fn job(line: &str) -> (String, BTreeSet<u32>) {
    let mut rest = line;
    let fields: Vec<&str> = std::iter::repeat_with(|| {
        let (word, remainder) =
            rest.trim_start().split_once(char::is_whitespace).unwrap_or_else(|| panic!("{line}: too few fields"));
        rest = remainder;
        word
    })
    .take(5)
    .collect();
    assert_eq!((fields[2], fields[3]), ("*", "*"), "{line}: only weekly fields are supported");
    let days = field(fields[4], 0, 6);
    let mut minutes = BTreeSet::new();
    for (day, hour) in days.iter().flat_map(|day| field(fields[1], 0, 23).into_iter().map(move |hour| (day, hour))) {
        minutes.extend(field(fields[0], 0, 59).into_iter().map(|minute| (day * 24 + hour) * 60 + minute));
    }
    (rest.trim().to_owned(), minutes)
}

/// The jobs of the example, including commented-out ones: commands as the shell gets them, and minutes of the week.
fn lines() -> Vec<(String, BTreeSet<u32>)> {
    let text = read(&root().join("crontab.example"));
    let is_job = |line: &&str| {
        line.contains(" syncctl ") && line.trim_start_matches('#').starts_with(|c: char| c.is_ascii_digit() || c == '*')
    };
    let jobs: Vec<_> = text.lines().filter(is_job).map(|line| job(line.trim_start_matches('#'))).collect();
    assert!(jobs.len() > 10, "{jobs:?}");
    jobs
}

/// The same by the arguments after `syncctl`, without redirections and files.
fn crontab() -> BTreeMap<String, BTreeSet<u32>> {
    let arguments = |line: String| {
        let command = line.split('>').next().unwrap_or_default().trim();
        let arguments = command.strip_prefix("syncctl ").unwrap_or_else(|| panic!("{line}: not a command of syncctl"));
        without_file(arguments).to_owned()
    };
    lines().into_iter().map(|(line, minutes)| (arguments(line), minutes)).collect()
}

/// The minutes of the week at which a timer elapses, according to systemd.
fn elapses(timer: &Path) -> BTreeSet<u32> {
    let mut minutes = BTreeSet::new();
    for spec in read(timer).lines().filter_map(|line| line.strip_prefix("OnCalendar=")) {
        // A week has 10080 minutes, and begins on a Sunday.
        let ran = Command::new("systemd-analyze")
            .args(["calendar", "--base-time=2026-11-21 23:59:59 UTC", "--iterations=10080", spec])
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .output()
            .expect("systemd-analyze runs (Debian: apt-get install systemd)");
        assert!(ran.status.success(), "{spec}: {}", String::from_utf8_lossy(&ran.stderr));
        let shown = String::from_utf8(ran.stdout).expect("text");
        for line in shown.lines().filter(|line| line.contains("Next elapse:") || line.contains("Iter")) {
            let at = line.split_once(": ").map_or("", |(_, at)| at.trim()).trim_end_matches(" UTC");
            let at = chrono::NaiveDateTime::parse_from_str(at, "%a %Y-%m-%d %H:%M:%S")
                .unwrap_or_else(|error| panic!("{line}: {error}"));
            let minute = (at
                - chrono::NaiveDate::from_ymd_opt(2026, 11, 22).expect("a date").and_hms_opt(0, 0, 0).expect("a time"))
            .num_minutes();
            if minute < 7 * 24 * 60 {
                minutes.insert(u32::try_from(minute).expect("after the base"));
            }
        }
    }
    assert!(!minutes.is_empty(), "{} has no time", timer.display());
    minutes
}

#[test]
fn every_line_of_the_crontab_is_a_job_that_runs() {
    let world = World::with_users(2, 3);
    for (command, _) in lines() {
        assert_runs_by_cron(&world, &command);
    }
    world.assert_in_step();
    for file in ["syncctl-report.html", "syncctl.prom"] {
        assert_readable_by_others(&world.folder.path().join(file));
    }
}

#[test]
fn every_unit_starts_a_job_that_runs_and_every_timer_a_unit() {
    let world = World::with_users(2, 3);
    let public = world.folder.path().join("syncctl");
    std::fs::create_dir(&public).expect("a folder");
    for unit in units("service") {
        let oneshot = read(&unit).contains("Type=oneshot");
        for command in commands(&unit) {
            let command = command.replace("%t/syncctl", public.to_str().expect("a path"));
            if oneshot {
                let ran = world.syncctl(&command.split_whitespace().collect::<Vec<_>>());
                assert_eq!(ran.code, 0, "syncctl {command}: {ran:#?}");
                continue;
            }
            // A long-running one is not run to its end; without the socket from its unit, it reports what is missing.
            assert!(unit.with_extension("socket").is_file(), "{} has no socket", unit.display());
            let ran = world.syncctl(&command.split_whitespace().collect::<Vec<_>>()).expect(2);
            assert!(ran.stderr.contains("start this from a systemd socket unit"), "{ran:?}");
        }
    }
    for timer in units("timer") {
        assert!(timer.with_extension("service").is_file(), "{} starts nothing", timer.display());
    }
    for file in ["report.html", "syncctl.prom"] {
        assert_readable_by_others(&public.join(file));
    }
}

/// The folders of a service with a dynamic user are not readable by others: its state is below a closed folder, and its runtime folder is
/// removed when it ends. Therefore one unit keeps a folder for all, and with it the shared user.
#[test]
fn what_is_written_for_others_lies_in_a_folder_that_stays() {
    let public = read(&root().join("systemd/syncctl-public.service"));
    for line in ["Type=oneshot", "RemainAfterExit=yes", "RuntimeDirectory=syncctl"] {
        assert!(public.lines().any(|other| other == line), "no {line}");
    }
    assert!(!public.contains("RuntimeDirectoryPreserve"), "it would be below /run/private, which is closed");
    let writing: Vec<_> = units("service").into_iter().filter(|unit| read(unit).contains("%t/")).collect();
    assert_eq!(writing.len(), 2, "{writing:?}");
    for unit in writing {
        let text = read(&unit);
        for line in ["Requires=syncctl-public.service", "After=syncctl-public.service", "ReadWritePaths=%t/syncctl"] {
            assert!(text.lines().any(|other| other == line), "{}: no {line}", unit.display());
        }
        assert!(!text.contains("RuntimeDirectory="), "{}: the folder would go when it ends", unit.display());
    }
}

#[test]
fn no_two_jobs_that_take_long_begin_in_the_same_minute() {
    let heavy: Vec<_> =
        crontab().into_iter().filter(|(command, _)| !LIGHT.iter().any(|light| command.starts_with(light))).collect();
    let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
    for (command, minutes) in &heavy {
        for minute in minutes {
            if let Some(other) = taken.insert(*minute, command) {
                panic!("{command} and {other} both begin in minute {} of hour {}", minute % 60, minute / 60);
            }
        }
    }
}

#[test]
fn the_timers_elapse_when_the_crontab_says() {
    let crontab = crontab();
    let mut seen = BTreeSet::new();
    for timer in units("timer") {
        let minutes = elapses(&timer);
        for command in commands(&timer.with_extension("service")) {
            let command = without_file(&command).to_owned();
            let line = crontab.get(&command).unwrap_or_else(|| panic!("{command} of {} is in no crontab", timer.display()));
            // One timer serves several services, whose lines are minutes apart.
            let unit = if timer.to_string_lossy().contains('@') { 60 } else { 1 };
            let coarse = |minutes: &BTreeSet<u32>| minutes.iter().map(|minute| minute / unit).collect::<BTreeSet<_>>();
            let (by_timer, by_cron) = (coarse(&minutes), coarse(line));
            let differences: Vec<_> = by_timer.symmetric_difference(&by_cron).take(5).collect();
            assert!(differences.is_empty(), "{command}: the timer and the crontab differ at {differences:?}");
            seen.insert(command);
        }
    }
    let without: Vec<_> = crontab.keys().filter(|command| !seen.contains(*command)).collect();
    assert!(without.is_empty(), "no timer starts {without:?}");
}

/// Offline, directly from the source: with the drop-ins that all services share.
#[test]
fn no_service_may_do_more_than_it_has_to() {
    for unit in units("service") {
        let ran = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
            .arg(&unit)
            .output()
            .expect("systemd-analyze runs (Debian: apt-get install systemd)");
        let shown = String::from_utf8_lossy(&ran.stdout);
        assert!(shown.contains("Overall exposure level"), "{}: {ran:?}", unit.display());
        assert!(ran.status.success(), "{}", shown.lines().filter(|line| !line.starts_with('✓')).collect::<Vec<_>>().join("\n"));
    }
}

/// A notice about a failed notice would loop forever.
#[test]
fn every_failure_is_notified_except_that_of_the_notification() {
    let of_all = root().join("systemd/syncctl-.service.d");
    let of_notice = root().join("systemd/syncctl-failed@.service.d");
    let telling: Vec<_> = std::fs::read_dir(&of_all)
        .expect("the shared files")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| read(&entry.path()).contains("OnFailure="))
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(telling.len(), 1, "{telling:?}");
    let own = read(&of_notice.join(&telling[0]));
    assert!(own.lines().all(|line| line.starts_with('#')), "{own}");
}

#[test]
fn the_packages_settings_file_is_private_and_its_services_can_read_it() {
    let (manifest, script) = (read(&root().join("Cargo.toml")), read(&root().join("scripts/deb")));
    assert!(manifest.contains(r#"["target/deb/syncctl.toml", "etc/syncctl/", "640"]"#), "{manifest}");
    for line in ["LoadCredential=syncctl.toml:/etc/syncctl/syncctl.toml", "Environment=SYNCCTL_CONFIG=%d/syncctl.toml"] {
        assert!(script.lines().any(|other| other == line), "{line}: {script}");
    }
}
