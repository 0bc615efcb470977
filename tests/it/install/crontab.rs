//! `syncctl install crontab`: lines that cron can run, alongside the existing ones.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::{Machine, PUSH, ran, states};
use crate::schedules::job;

/// Runs every command of a crontab with the shell, as cron does.
fn assert_lines_run(machine: &Machine, lines: &str, with_user: bool) -> usize {
    let jobs: Vec<&str> = lines.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit() || c == '*')).collect();
    for line in &jobs {
        let (command, _) = job(line);
        let command =
            if with_user { command.strip_prefix("root ").unwrap_or_else(|| panic!("{line}: no user")) } else { &command };
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", machine.world.folder.path());
        let ended = ran(&mut shell);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{command}: {ended:?}");
    }
    jobs.len()
}

#[test]
fn every_line_for_cron_d_runs_with_nothing_but_what_cron_gives() {
    let machine = Machine::with("[gmail]\nenabled = false\n");
    machine.install("crontab", &[]).expect(0);
    let text = machine.read(machine.root.join("etc/cron.d/syncctl"));
    assert!(assert_lines_run(&machine, &text, true) >= 4, "{text}");
    assert!(machine.world.folder.path().join("syncctl-report.html").is_file(), "{text}");
    for not in ["gmail", "renew", "deliver", "drain", "sync cron", "metrics"] {
        assert!(!text.contains(not), "{not}: {text}");
    }
    machine.world.assert_in_step();
    let again = machine.install("crontab", &["--json"]).expect(0);
    assert_eq!(states(&again), BTreeSet::from(["unchanged".to_owned()]));
    let with_push = Machine::with(PUSH);
    let shown = with_push.install("crontab", &["--dry-run"]).expect(0);
    assert!(["calendar renew-watches", "deliver", "webhook drain"].iter().all(|line| shown.stdout.contains(line)), "{shown:?}");
    assert!(with_push.files().is_empty());
}

/// cron's own program needs a spool owned by root; this one keeps the crontab in a file, and complains like cron's.
fn with_crontab_program(machine: &Machine) -> PathBuf {
    let folder = machine.world.folder.path().join("bin");
    std::fs::create_dir(&folder).expect("a folder");
    let program = folder.join("crontab");
    let text = "#!/bin/sh\nspool=\"$HOME/spool\"\ncase \"$1\" in\n-l) [ -f \"$spool\" ] || { echo 'no crontab for you' >&2; exit 1; }; cat \"$spool\";;\n\
                -) cat >\"$spool\";;\n*) exit 2;;\nesac\n";
    std::fs::write(&program, text).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    folder
}

#[test]
fn a_users_crontab_keeps_everything_else() {
    let machine = Machine::with("");
    let path = format!("{}:/usr/bin:/bin", with_crontab_program(&machine).display());
    let install = |more: &[&str]| ran(machine.command(&[&["install", "crontab", "--user"], more].concat()).env("PATH", &path));
    let spool = machine.world.folder.path().join("spool");

    assert_eq!(states(&install(&["--json", "--dry-run"]).expect(0)), BTreeSet::from(["new".to_owned()]));
    assert!(!spool.exists());
    std::fs::write(&spool, "MAILTO=me@example.org\n15 3 * * 1 backup --all\n").expect("a crontab");
    install(&[]).expect(0);
    let text = machine.read(&spool);
    assert!(text.starts_with("MAILTO=me@example.org\n15 3 * * 1 backup --all\n# >>> syncctl"), "{text}");
    let ours = text.split_once("# >>> syncctl").map_or("", |(_, ours)| ours);
    assert!(!ours.lines().any(|line| line.starts_with("PATH=")), "it would hold for other lines too: {ours}");
    assert!(assert_lines_run(&machine, ours, false) >= 5);
    assert_eq!(states(&install(&["--json"]).expect(0)), BTreeSet::from(["unchanged".to_owned()]));
    assert_eq!(machine.read(&spool), text);
}
