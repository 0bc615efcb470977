//! Doctor and jobs: scheduled ones are checked, manual runs are not.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{doctor, synced};
use crate::support::World;

#[test]
fn a_poll_by_hand_that_failed_is_no_alarm_and_the_scheduled_job_is() {
    let mut world = synced(1);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "server_500", "method": "events.list", "probability": 1.0 }));
    world.syncctl(&["calendar", "poll", &user]).expect(1);
    world.syncctl(&["calendar", "batch-poll", "nobody@example.com"]).expect(1);
    world.sim.clear_faults();
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    let report = doctor(&world, &[]);
    assert_eq!((report.code, report.lines("fail"), report.lines("warn").len()), (0, Vec::new(), 1), "{:?}", report.lines("warn"));
    world.execute("UPDATE runs SET status = 'failed' WHERE job = 'calendar cron'");
    doctor(&world, &[]).has("fail", "the last run of `calendar cron` failed");
    // On any host.
    world.syncctl(&["db", "prune"]).expect(0);
    world.execute("UPDATE runs SET status = 'failed', error_message = 'no room' WHERE job = 'db prune'");
    doctor(&world, &[]).has("fail", "the last run of `db prune` failed: no room");
}

/// A crontab of this user, as the `crontab` program prints it.
fn with_crontab(world: &mut World, lines: &str) {
    let folder = world.folder.path().join("bin");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("lines"), lines).expect("writing");
    let program = folder.join("crontab");
    std::fs::write(&program, format!("#!/bin/sh\nexec cat '{}'\n", folder.join("lines").display())).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").unwrap_or_default();
    world.set("PATH", format!("{}:{path}", folder.display()));
}

#[test]
fn the_installed_schedule_says_which_jobs_are_judged() {
    let mut world = synced(1);
    with_crontab(
        &mut world,
        "PATH=/usr/bin:/bin\n# a comment: 1 2 * * * syncctl report\n39 3 * * * /usr/bin/syncctl --config /etc/x.toml db prune --max-duration 30m >/dev/null\n\
         0 * * * * syncctl calendar batch-poll >/dev/null\n@daily other gmail renew-watches\n",
    );
    let report = doctor(&world, &[]);
    report
        .has("warn", "`db prune` is scheduled on this machine, and has never run")
        .has("warn", "`calendar batch-poll` is scheduled");
    let lines = report.lines("warn").join("") + &report.lines("fail").join("");
    assert!(!lines.contains("report") && !lines.contains("renew"), "{lines}");
    world.syncctl(&["db", "prune"]).expect(0);
    world.syncctl(&["calendar", "batch-poll", "nobody@example.com"]).expect(1);
    doctor(&world, &[]).has("ok", "`db prune` ran").has("fail", "the last run of `calendar batch-poll` failed: 1 × unknown_user");
    // A daily job needs to run once a day.
    world.age_runs("db prune", "20 hours");
    doctor(&world, &[]).has("ok", "`db prune` ran 20h");
    world.age_runs("db prune", "9 days");
    doctor(&world, &[]).has("fail", "`db prune` last ran 9days");
}

#[test]
fn timers_that_are_enabled_are_a_schedule_too() {
    let world = synced(1);
    let folder = world.folder.path().join(".config/systemd/user/timers.target.wants");
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in ["syncctl-db-prune.timer", "syncctl-renew-webhooks@drive.timer", "syncctl-metrics.timer", "other.timer"] {
        std::fs::write(folder.join(name), "").expect("writing");
    }
    let report = doctor(&world, &[]);
    report.has("warn", "`db prune` is scheduled").has("warn", "`drive renew-webhooks` is scheduled");
    assert_eq!(
        report.lines("warn").iter().filter(|line| line.contains("has never run")).count(),
        2,
        "{:?}",
        report.lines("warn")
    );
}
