//! `doctor`: each problem is found, reported with a remedy, and stops no other check.

mod database;
mod jobs;
mod outbox;
mod outside;
mod work;

use serde_json::Value;

use crate::support::World;

/// The report of `doctor`.
struct Found {
    code: i32,
    checks: Vec<Value>,
}

fn doctor(world: &World, more: &[&str]) -> Found {
    let run = world.syncctl(&[&["doctor", "--json"], more].concat());
    assert!(!run.stderr.contains("panicked"), "{run:#?}");
    let checks = run.json()["checks"].as_array().expect("checks").clone();
    Found { code: run.code, checks }
}

impl Found {
    fn lines(&self, level: &str) -> Vec<String> {
        let lines = self.checks.iter().filter(|line| line["level"] == level);
        lines
            .map(|line| format!("{}: {}", line["check"].as_str().unwrap_or(""), line["message"].as_str().unwrap_or("")))
            .collect()
    }

    /// Asserts that there is such a line, with a remedy unless it is ok.
    #[track_caller]
    fn has(&self, level: &str, part: &str) -> &Self {
        let line = self.line(level, part).unwrap_or_else(|| panic!("no {level} with {part:?} in {:#?}", self.checks));
        assert_eq!(level != "ok", line["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{line}");
        self
    }

    fn finds(&self, level: &str, part: &str) -> bool {
        self.line(level, part).is_some()
    }

    fn line(&self, level: &str, part: &str) -> Option<&Value> {
        self.checks.iter().find(|line| {
            let text = format!("{}: {}", line["check"].as_str().unwrap_or(""), line["message"].as_str().unwrap_or(""));
            line["level"] == level && text.contains(part)
        })
    }
}

/// A world in which every service is synced.
fn synced(users: u32) -> World {
    let world = World::with_users(users, 3);
    world.syncctl(&["sync", "cron"]).expect(0);
    world
}

#[test]
fn a_world_in_order_has_nothing_wrong_and_reading_it_changes_nothing() {
    let world = synced(2);
    let rows = || -> Vec<String> {
        let tables = ["streams", "accounts", "runs", "quota_usage"].map(|table| format!("SELECT t::text FROM {table} t"));
        let mut rows: Vec<String> = world.query(&tables.join(" UNION ALL ")).iter().map(|row| row.get(0)).collect();
        rows.sort();
        rows
    };
    let before = rows();
    let report = doctor(&world, &["--all-users"]);
    assert_eq!(report.lines("fail"), Vec::<String>::new());
    // It reports that this is not Google.
    assert_eq!(report.lines("warn").len(), 1, "{:?}", report.lines("warn"));
    assert_eq!(report.code, 0);
    report
        .has("ok", "2 of 2 accounts tested: calendar, drive, gmail answer")
        .has("ok", "within 1 s of Google's")
        .has("ok", "`gmail cron` ran");
    assert_eq!(before, rows());
    let text = world.syncctl(&["doctor"]).expect(0).stdout;
    assert!(text.contains("0 wrong") && text.contains("→ change it unless that is intended"), "{text}");
}

#[test]
fn settings_that_cannot_be_used_are_a_finding() {
    let world = World::empty();
    let report = doctor(&world, &["--set", "calendar.page_size=9999"]);
    assert_eq!(report.code, 1);
    report.has("fail", "calendar.page_size = 9999");
}

#[test]
fn a_file_with_secrets_that_others_may_read_is_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = synced(1);
    let file = world.folder.path().join("syncctl.toml");
    std::fs::write(&file, "[webhook]\ngmail_token = \"0123456789abcdef\"\n").expect("writing");
    let path = file.display().to_string();
    let chmod =
        |file: &std::path::Path, mode| std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("chmod");
    chmod(&file, 0o644);
    let report = doctor(&world, &["--config", &path]);
    report.has("fail", "every user of this machine can read it (mode 0644)");
    assert!(!report.lines("fail").join("").contains("0123456789abcdef"));
    chmod(&file, 0o640);
    assert_eq!(doctor(&world, &["--config", &path]).lines("fail"), Vec::<String>::new());
    // Without secrets, the file may be world-readable.
    std::fs::write(&file, "[log]\nlevel = \"warn\"\n").expect("writing");
    chmod(&file, 0o644);
    assert_eq!(doctor(&world, &["--config", &path]).lines("fail"), Vec::<String>::new());
    let keys = world.folder.path().join("seal.keys");
    chmod(&keys, 0o640);
    doctor(&world, &[]).has("fail", "seal keys: ").has("fail", "mode 0640");
}

#[test]
fn a_missing_seal_key_that_the_database_needs_is_reported() {
    let world = synced(2);
    let keys = world.folder.path().join("seal.keys");
    let old = std::fs::read_to_string(&keys).expect("keys");
    std::fs::remove_file(&keys).expect("removing");
    doctor(&world, &["--offline"]).has("fail", "seal keys: seal.key_file").has("fail", "4 values are sealed with key");
    world.syncctl(&["accounts", "rekey", "--new-key"]);
    doctor(&world, &["--offline"]).has("fail", "4 values are sealed with key");
    let new = std::fs::read_to_string(&keys).expect("keys");
    std::fs::write(&keys, new + &old).expect("writing");
    let report = doctor(&world, &["--offline"]);
    report.has("warn", "4 values are sealed with an older key").has("ok", "all 4 sealed values have their key");
}
