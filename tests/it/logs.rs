//! The log: one line per error class, for any number of users; `-v` and `-vv` show the settings, the streams and the calls; formats for programs.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use regex::Regex;
use serde_json::{Value, json};

use crate::support::World;

/// Without the command's own error line, which no level changes.
fn logged(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.starts_with('[')).collect()
}

#[test]
fn many_users_who_fail_for_one_reason_are_one_line_and_each_of_them_at_v() {
    let world = World::with_users(20, 1);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    for user in &users {
        world.sim.admin("revoke", json!({ "user": user }));
    }
    let output = world.syncctl(&["calendar", "cron", "--force"]).expect(77);
    let lines = logged(&output.stderr);
    assert_eq!(lines.len(), 1, "{}", output.stderr);
    assert!(lines[0].contains("WARN") && lines[0].contains("calendar cron: stream failed: 20 × auth_revoked: "), "{}", lines[0]);
    let id = Regex::new("stream [0-9]+ of [0-9a-f-]{36}").expect("a pattern");
    assert_eq!(id.find_iter(lines[0]).count(), 3, "some of them: {}", lines[0]);

    world.execute("UPDATE accounts SET state = 'active', ask_at = NULL; UPDATE streams SET state = 'active'");
    let output = world.syncctl(&["calendar", "cron", "--force", "-v"]).expect(77);
    let failed =
        logged(&output.stderr).into_iter().filter(|line| line.contains("INFO") && line.contains("stream failed: stream "));
    assert_eq!(failed.count(), 20, "{}", output.stderr);
    assert!(!output.stderr.contains('@'), "an address in the log: {}", output.stderr);
}

#[test]
fn items_in_quarantine_are_one_line() {
    let world = World::with_users(1, 2);
    let user = world.first_user();
    for nth in 0..5 {
        let raw = format!(r#"{{"id":"nostart{nth}","status":"confirmed","etag":"\"1\""}}"#);
        world.sim.admin("events", json!({ "user": user, "calendar": "primary", "raw": raw }));
    }
    let output = world.sync_all().expect(0);
    let lines = logged(&output.stderr);
    assert_eq!(lines.len(), 1, "{}", output.stderr);
    assert!(lines[0].contains("calendar cron: 5 items quarantined"), "{}", lines[0]);
}

#[test]
fn v_shows_the_settings_the_database_and_the_streams_and_vv_each_call() {
    let mut world = World::with_users(2, 2);
    let settings = world.folder.path().join("syncctl.toml");
    std::fs::write(&settings, "[engine]\nthreads = 1\n").expect("settings");
    world.set("SYNCCTL_CONFIG", settings.display().to_string());
    world.set("SYNCCTL_DB_PASSWORD", "secret-of-the-database");
    assert_eq!(logged(&world.syncctl(&["calendar", "cron", "--force"]).expect(0).stderr), Vec::<&str>::new());

    let output = world.syncctl(&["calendar", "cron", "--force", "-v", "--json"]).expect(0);
    let lines = logged(&output.stderr);
    let with = |words: &[&str]| lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert_eq!(with(&["settings: ", "syncctl.toml"]), 1, "{}", output.stderr);
    assert_eq!(with(&["database: ", world.database.name()]), 1, "{}", output.stderr);
    assert_eq!(with(&["stream=", "user=", "kind=", "nothing new"]) as u64, output.json()["streams"].as_u64().expect("a number"));
    assert_eq!(with(&["events.list"]), 0, "calls are for -vv");

    world.sim.churn(4, 1);
    let output = world.syncctl(&["calendar", "cron", "--force", "-vv", "--json"]).expect(0);
    let call =
        Regex::new(r"(?m)^\[[^]]*DEBUG[^]]*\] (?:[a-zA-Z]+\.)+[a-zA-Z]+ status=200 ms=[0-9]+ bytes=[0-9]+$").expect("a pattern");
    let calls = call.find_iter(&output.stderr).count() as u64;
    assert_eq!(Some(calls), output.json()["api_calls"].as_u64(), "{}", output.stderr);
    let changed = logged(&output.stderr).into_iter().filter(|line| line.contains("] done ")).count();
    assert!(changed > 0, "{}", output.stderr);
    let accounts = world.sim.text("accounts");
    let first: Value = serde_json::from_str(accounts.lines().next().expect("a line")).expect("JSON");
    let token = first["credentials"]["refresh_token"].as_str().expect("a token");
    for secret in [token, "secret-of-the-database", "Bearer", "http://", "@"] {
        assert!(!output.stderr.contains(secret), "{secret} in {}", output.stderr);
    }
}

#[test]
fn a_quiet_run_prints_errors_only_and_its_result_as_json() {
    let world = World::with_users(1, 1);
    world.sim.admin("revoke", json!({ "user": world.first_user() }));
    let ran = world.syncctl(&["-q", "calendar", "cron", "--force"]).expect(77);
    assert!(ran.stdout.is_empty() && ran.stderr.starts_with("syncctl: 1 of 1 accounts are refused"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert_eq!(world.syncctl(&["status", "--quiet"]).expect(0).stdout, "");
    let with_json = world.syncctl(&["status", "-q", "--json"]).expect(0);
    assert!(with_json.json().is_object() && with_json.stderr.is_empty(), "{with_json:?}");
    let refused = world.syncctl(&["-q", "calendar", "poll", "absent@example.com"]).expect(2);
    assert!(refused.stdout.is_empty() && refused.stderr.starts_with("syncctl: "), "{refused:?}");
    world.syncctl(&["-q", "-v", "status"]).expect(2);
}

#[test]
fn every_line_has_the_form_of_the_format() {
    let world = World::with_users(1, 1);
    let lines = |arguments: &[&str], code: i32| {
        let ran = world.syncctl(arguments).expect(code);
        ran.stderr.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let refused =
        |format: &str| lines(&["calendar", "poll", "absent@example.com", "-v", "--set", &format!("log.format={format}")], 2);

    let text = refused("text");
    let (error, before) = text.split_last().expect("an error");
    assert!(error.starts_with("syncctl: ") && before.iter().all(|line| line.starts_with('[')), "{text:#?}");

    let systemd = refused("systemd");
    let (error, before) = systemd.split_last().expect("an error");
    assert!(error.starts_with("<3>") && !before.is_empty(), "{systemd:#?}");
    assert!(before.iter().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{systemd:#?}");

    let parsed = |lines: Vec<String>| -> Vec<Value> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    };
    let json = parsed(refused("json"));
    let levels: Vec<&str> = json.iter().filter_map(|line| line["level"].as_str()).collect();
    assert!(levels.len() == json.len() && levels.contains(&"info") && levels.last() == Some(&"error"), "{json:#?}");
    for line in &json {
        let time = line["time"].as_str().expect("a time");
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok() && line["message"].is_string(), "{line}");
    }
    let run = parsed(lines(&["calendar", "cron", "--force", "-vv", "--set", "log.format=json"], 0));
    let call = run.iter().find(|line| line["status"] == 200).unwrap_or_else(|| panic!("no call: {run:#?}"));
    assert!(call["ms"].is_u64() && call["bytes"].is_u64() && call["level"] == "debug", "{call}");
}

#[test]
fn the_journal_of_systemd_gets_priorities() {
    let world = World::with_users(1, 1);
    for (offset, start) in [(0, "<3>"), (1, "syncctl: ")] {
        let path = world.folder.path().join("journal");
        let file = File::create(&path).expect("a file");
        let metadata = file.metadata().expect("it");
        let mut command = world.command(&["calendar", "poll", "absent@example.com"]);
        command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino() + offset));
        assert_eq!(command.stderr(file).status().expect("the binary starts").code(), Some(2));
        let written = std::fs::read_to_string(&path).expect("lines");
        assert!(written.starts_with(start) && written.contains("absent@example.com"), "{written}");
    }
}
