//! The log: one line per error class, for any number of users; `-v` and `-vv` show the settings, the streams and the calls.

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
