//! The crontab and the units that people copy: every command in them is one that this binary runs.

use std::path::{Path, PathBuf};

use crate::support::World;

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
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    assert!(!paths.is_empty(), "no {ending} units");
    paths
}

/// Runs what stands after `syncctl`, without what the shell makes of it.
#[track_caller]
fn assert_runs(world: &World, line: &str) {
    let command = line.split('>').next().unwrap_or_default();
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let ran = world.syncctl(&arguments);
    assert_eq!(ran.code, 0, "syncctl {command}: {ran:#?}");
}

#[test]
fn every_line_of_the_crontab_is_a_job_that_runs() {
    let world = World::with_users(2, 3);
    let text = read(&root().join("crontab.example"));
    let jobs: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && line.contains("syncctl ")).collect();
    assert!(!jobs.is_empty(), "no jobs in the crontab");
    for job in jobs {
        let fields: Vec<&str> = job.split_whitespace().collect();
        assert!(fields[..5].iter().all(|field| field.chars().all(|c| c.is_ascii_digit() || "*/,-".contains(c))), "{job}");
        assert_eq!(fields[5], "syncctl", "{job}");
        assert_runs(&world, job.split_once("syncctl ").map_or("", |(_, arguments)| arguments));
    }
    world.assert_in_step();
}

#[test]
fn every_unit_starts_a_job_that_runs_and_every_timer_a_unit() {
    let world = World::with_users(2, 3);
    for unit in units("service") {
        let text = read(&unit);
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/syncctl ")).expect("a command");
        match text.contains("Type=oneshot") {
            // A unit for several services is named with an instance.
            true if start.contains("%i") => {
                ["calendar", "drive", "gmail"].iter().for_each(|service| assert_runs(&world, &start.replace("%i", service)));
            }
            true => assert_runs(&world, start),
            // One that stays is not run to its end; without the socket that its unit has, it says what it misses.
            false => {
                assert!(unit.with_extension("socket").is_file(), "{} has no socket", unit.display());
                let arguments: Vec<&str> = start.split_whitespace().collect();
                let ran = world.syncctl(&arguments).expect(2);
                assert!(ran.stderr.contains("start this from a socket unit"), "{ran:?}");
            }
        }
    }
    for timer in units("timer") {
        assert!(timer.with_extension("service").is_file(), "{} starts nothing", timer.display());
        assert!(read(&timer).contains("OnCalendar="), "{} has no time", timer.display());
    }
}
