//! Output to a terminal, a pipe, a script and a full disk, for every command.

use std::fs::File;
use std::io::{BufRead as _, BufReader, pipe};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::waiting::until;

/// A pipe whose reader is gone.
fn unread() -> Stdio {
    let (_, writer) = pipe().expect("a pipe");
    writer.into()
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let world = World::with_users(1, 1);
    for (arguments, code) in [
        (&["status"][..], 0),
        (&["metrics", "--prometheus"], 0),
        (&["calendar", "metrics", "--prometheus"], 0),
        (&["doctor", "--offline"], 1),
        (&["calendar", "poll", "nobody@example.com", "--json"], 2),
        (&["no-such-command", "--json"], 2),
    ] {
        // The state that `2>&1 | head -1` leaves for both.
        let ended = world.command(arguments).stdout(unread()).stderr(unread()).status().expect("the binary starts");
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn one_ctrl_c_ends_what_only_reads_also_while_the_database_hangs() {
    let world = World::with_users(1, 1);
    let mut other = world.database.connect();
    other.batch_execute("BEGIN; LOCK TABLE users, streams, documents, outbox_events IN ACCESS EXCLUSIVE MODE").expect("a lock");
    let words: [&[&str]; 7] = [
        &["status"],
        &["metrics"],
        &["accounts", "list"],
        &["documents", "list"],
        &["outbox", "list"],
        &["sync", "explain", "user00000@example.com"],
        &["drive", "watch-file", "list"],
    ];
    for arguments in words {
        // The server does not notice a closed client while it waits.
        let others = world.lock_waits();
        let mut child = world.spawn(arguments);
        until("the command waits", || world.lock_waits() > others);
        kill_process(Pid::from_child(&child), Signal::INT).expect("a signal");
        let mut ended = None;
        until("it ends", || {
            ended = child.try_wait().expect("waiting");
            ended.is_some()
        });
        assert_eq!(ended.and_then(|ended| ended.code()), Some(130), "{arguments:?}");
    }
}

#[test]
fn a_watch_whose_reader_is_gone_ends() {
    let world = World::empty();
    let mut child = world.spawn(&["status", "--watch", "1"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.next().is_some_and(|line| line.is_ok_and(|line| line.contains("UTC"))));
    drop(lines);
    assert_eq!(child.wait().expect("the end").code(), Some(0));
}

#[test]
fn a_watch_is_left_at_once_though_the_database_does_not_answer() {
    let world = World::with_users(1, 1);
    let mut child = world.spawn(&["status", "--watch", "1"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    lines.next().expect("a line").expect("a text");
    let mut database = world.database.connect();
    let mut tx = database.transaction().expect("a transaction");
    tx.batch_execute("LOCK TABLE streams IN ACCESS EXCLUSIVE MODE").expect("a lock");
    while tx
        .query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()", &[])
        .expect("rows")
        .is_empty()
    {
        // Within a transaction this view is a snapshot.
        tx.batch_execute("SELECT pg_stat_clear_snapshot()").expect("a new look");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert_eq!(child.wait().expect("the end").code(), Some(0));
    tx.rollback().expect("the end of the lock");
}

#[test]
fn a_full_disk_is_reported_and_is_no_success() {
    let world = World::empty();
    for arguments in [&["status", "--json"][..], &["metrics", "--prometheus"], &["config", "show"]] {
        let full = File::options().write(true).open("/dev/full").expect("a full disk");
        let ran = world.command(arguments).stdout(full).stderr(Stdio::piped()).output().expect("the binary ends");
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}");
        let printed = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(printed.contains("writing the result to standard output"), "{printed}");
    }
}

#[test]
fn with_json_every_end_is_one_document() {
    let world = World::with_users(3, 1);
    for arguments in [&["status", "--nonsense"][..], &["calendar", "poll"], &["verify", "mail"]] {
        let printed = world.syncctl(&[&["--json"], arguments].concat()).expect(2).json();
        assert_eq!(printed["exit_code"], 2, "{printed}");
        assert!(printed["error"].as_str().is_some_and(|error| !error.is_empty() && !error.starts_with("error:")), "{printed}");
    }
    // A script gets the same help text as a person.
    assert!(world.syncctl(&["--json", "--help"]).expect(0).stdout.contains("Usage"));
    // The results so far are printed, together with a note that they are incomplete.
    world.sim.fault(json!({ "fault": "stall", "method": "about.get", "times": 1 }));
    let child = world.spawn(&["accounts", "check", "--all", "--json", "--set", "engine.concurrency=1"]);
    world.wait_for_stall();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).expect("a signal");
    world.sim.admin("release", json!({}));
    let ended = child.wait_with_output().expect("the end");
    assert_eq!(ended.status.code(), Some(130));
    let rows: Value = serde_json::from_slice(&ended.stdout).expect("one document");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("stopped after 1 of 3"));
}

#[test]
fn text_from_outside_cannot_steer_a_terminal() {
    let world = World::with_users(1, 1);
    world.execute(
        "INSERT INTO outbox_targets (target, failures, last_error) VALUES ('n8n', 3, E'HTTP 500: \\x1b[2J\\x1b]0;owned\\x07 down');
         UPDATE users SET email = E'a\\u009b3J@example.com';
         UPDATE streams SET failures = 1, failed_class = 'transient', failed_at = now(), failed_message = E'\\x1b[1Agone'",
    );
    for command in [&["status"][..], &["accounts", "list"], &["doctor", "--offline"]] {
        let ran = world.syncctl(command);
        let steers = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!steers(&ran.stdout) && !steers(&ran.stderr), "{command:?}: {:?}", ran.stdout);
    }
    let line = world.sim.text("accounts").lines().next().expect("an account").to_owned();
    let mut account: Value = serde_json::from_str(&line).expect("JSON");
    account["email"] = json!("ann\u{1b}[2J@example.com");
    let ran = world.syncctl_with_input(&["accounts", "import", "-"], &account.to_string()).expect(1);
    assert!(ran.stderr.contains("line 1: email: not an address"), "{ran:?}");
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let world = World::empty();
    for arguments in [
        &["metrics", "--prometheus", "--json"][..],
        &["metrics", "--textfile", "x.prom", "--json"],
        &["gmail", "metrics", "--prometheus", "--json"],
        &["verify", "--all", "--seed", "1"],
        &["verify", "--user", "ann@example.com", "--seed", "1"],
    ] {
        let ran = world.syncctl(arguments).expect(2);
        assert!(ran.stderr.contains("cannot be used with"), "{ran:?}");
    }
    for length in ["0s", "20000years"] {
        for arguments in [
            &["metrics", "--since", length][..],
            &["drive", "metrics", "--since", length],
            &["sync", "metrics", "--since", length],
        ] {
            let ran = world.syncctl(arguments).expect(2);
            assert!(ran.stderr.contains("must be"), "{ran:?}");
        }
    }
    world.syncctl(&["metrics", "--since", "10years"]).expect(0);
}

#[test]
fn psql_opens_the_database_of_the_settings() {
    for world in [World::empty(), World::by(crate::support::world::Way::Tls)] {
        let ran = world.syncctl(&["db", "psql", "-X", "-A", "-t", "-c", "SELECT current_database()"]).expect(0);
        assert_eq!(ran.stdout.trim(), world.database.name());
    }
    let world = World::empty();
    let ran = world.command(&["db", "psql"]).env("PATH", "/nowhere").output().expect("the binary ends");
    let printed = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(2), "{printed}");
    assert!(printed.contains("postgresql-client"), "{printed}");
}

#[test]
fn the_version_is_one_line_and_the_long_one_names_the_target() {
    let world = World::empty();
    let short = world.syncctl(&["-V"]).expect(0).stdout;
    assert_eq!(short, concat!("syncctl ", env!("CARGO_PKG_VERSION"), "\n"));
    let long = world.syncctl(&["--version"]).expect(0).stdout;
    assert!(long.starts_with(&format!("{} (", short.trim_end())) && long.trim_end().ends_with(')'), "{long}");
    assert!(long.contains(std::env::consts::ARCH) && long.lines().count() == 1, "{long}");
}
