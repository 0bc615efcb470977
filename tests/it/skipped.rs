//! Runs that were skipped because another one holds the job: they hide neither the running one nor the outcome of the last one.

use crate::support::World;
use crate::support::service::ATTENDEE;

/// A run of `calendar cron` in progress, and three that were skipped meanwhile.
fn under_way() -> (World, std::process::Child) {
    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    world.sim.fault(serde_json::json!({ "fault": "stall", "at_call": 1, "times": 1 }));
    let child = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    for _ in 0..3 {
        let run = world.syncctl(&["calendar", "cron"]).expect(75);
        assert_eq!(run.stderr, "", "cron would mail it");
        assert!(run.stdout.starts_with("calendar cron: skipped"), "{run:#?}");
        assert!(run.stdout.contains(&format!("pid {}, since 20", child.id())), "{run:#?}");
    }
    (world, child)
}

fn doctor(world: &World) -> String {
    world.syncctl(&["doctor", "--offline"]).stdout
}

#[test]
fn skipped_runs_hide_neither_the_one_that_works_nor_the_last_one_that_ended() {
    let (world, mut child) = under_way();
    let verbose = world.syncctl(&["calendar", "cron", "-v"]).expect(75).stderr;
    assert!(verbose.contains("holds the job"), "{verbose}");
    let running = format!("pid {}", child.id());
    let status = world.syncctl(&["status"]).expect(0).stdout;
    for part in ["completed", "4 skipped since", "runs on", &running] {
        assert!(status.contains(part), "no {part:?} in {status}");
    }
    let job = world.syncctl(&["status", "--json"]).expect(0).json()["jobs"][0].clone();
    assert_eq!(
        (&job["status"], &job["skipped_since"], &job["running"][0]["pid"]),
        (&"completed".into(), &4.into(), &child.id().into()),
        "{job}"
    );
    let report = doctor(&world);
    assert!(report.contains("4 skipped since") && report.contains(&running), "{report}");
    let metrics = world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout;
    assert!(metrics.contains("syncctl_last_run_status{syncctl_job=\"calendar cron\",status=\"completed\"} 1.0"), "{metrics}");
    assert!(metrics.contains("syncctl_runs_skipped{syncctl_job=\"calendar cron\"} 4.0"), "{metrics}");
    assert!(metrics.contains("syncctl_running_seconds{syncctl_job=\"calendar cron\"}"), "{metrics}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn no_job_that_was_skipped_writes_to_stderr() {
    let world = World::of(&ATTENDEE, 1, 0);
    let jobs = ["calendar cron", "drive cron", "gmail cron", "attendee cron", "attendee schedule", "calendar renew-watches"];
    for job in jobs {
        world.lock_job(job);
        let run = world.syncctl(&job.split(' ').collect::<Vec<_>>()).expect(75);
        assert!(run.stderr.is_empty() && run.stdout.contains("holds the job"), "{run:#?}");
    }
    let run = world.syncctl(&["sync", "cron"]).expect(75);
    assert!(run.stderr.is_empty() && run.stdout.contains("gmail: skipped"), "{run:#?}");
}

#[test]
fn a_failure_is_reported_while_the_next_run_works_and_others_are_skipped() {
    let (world, mut child) = under_way();
    world.execute(
        "UPDATE runs SET status = 'failed' WHERE status = 'completed';
         UPDATE calendar_cron_results SET status = 'failed', error_message = 'the database went away' WHERE status = 'completed'",
    );
    let report = doctor(&world);
    assert!(report.contains("FAIL  jobs") && report.contains("failed: the database went away"), "{report}");
    assert!(world.syncctl(&["status"]).expect(0).stdout.contains("the database went away"));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn a_job_whose_runs_are_all_skipped_is_late() {
    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    world.execute(
        "UPDATE runs SET started_at = started_at - interval '3 hours', ended_at = ended_at - interval '3 hours';
         INSERT INTO job_locks (job, run_id, held_until) VALUES ('calendar cron', gen_random_uuid(), now() + interval '1 hour')",
    );
    world.syncctl(&["calendar", "cron"]).expect(75);
    let report = doctor(&world);
    assert!(report.contains("`calendar cron` last ran 3h") && report.contains("1 skipped since"), "{report}");
}
