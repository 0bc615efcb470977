//! Every run has a row: including one refused before it began, and one with nothing to do.

use crate::support::World;
use crate::support::service::CALENDAR;

/// Status and error line of the last run of a job in the run tables of its service.
#[track_caller]
fn of_service(world: &World, job: &str) -> (String, String) {
    let service = job.split(' ').next().unwrap_or_default();
    let rows = world.query(&format!(
        "SELECT r.status, coalesce(c.error_message, '') FROM runs r JOIN {service}_cron_results c ON c.execution_id = r.id::text
         JOIN {service}_cron_metrics m ON m.execution_id = c.execution_id
         JOIN {service}_cron_summaries s ON s.summary_data ->> 'execution_id' = c.execution_id
         WHERE r.job = '{job}' AND r.status = c.status AND r.ended_at IS NOT NULL ORDER BY r.started_at DESC LIMIT 1"
    ));
    let row = rows.first().unwrap_or_else(|| panic!("no row of {job}"));
    (row.get(0), row.get(1))
}

/// Statuses of all runs of a job that belongs to no service.
fn statuses(world: &World, job: &str) -> Vec<String> {
    let statement =
        format!("SELECT status FROM runs WHERE job = '{job}' AND (status = 'running') = (ended_at IS NULL) ORDER BY started_at");
    world.texts(&statement)
}

#[test]
fn a_poll_that_is_refused_before_it_begins_has_its_row() {
    let world = World::of(&CALENDAR, 1, 3);
    let user = world.first_user();
    for (job, name) in [
        ("calendar poll", "nobody@example.com"),
        ("gmail smart-poll", "nobody@example.com"),
        ("drive poll", "no-such-file"),
        ("drive smart-poll", "no-such-file"),
        ("attendee poll", "no-such-bot"),
        ("attendee smart-poll", "no-such-bot"),
    ] {
        let words: Vec<&str> = job.split(' ').chain([name]).collect();
        world.syncctl(&words).expect(2);
        let (status, error) = of_service(&world, job);
        assert!(status == "failed" && error.contains(name), "{job}: {status}: {error}");
    }
    world.syncctl(&["sync", "user", "nobody@example.com"]).expect(2);
    assert_eq!(of_service(&world, "drive poll").0, "failed");
    world.syncctl(&["accounts", "revoke", &user]).expect(0);
    for verb in ["poll", "smart-poll"] {
        world.syncctl(&["calendar", verb, &user]).expect(77);
        let (status, error) = of_service(&world, &format!("calendar {verb}"));
        assert!(status == "failed" && error.contains("accounts login"), "{verb}: {status}: {error}");
    }
    world.syncctl(&["sync", "user", &user]).expect(77);
    assert_eq!(of_service(&world, "gmail poll").0, "failed");
    world.assert_no_leftovers();
    let runs = world.runs();
    world.syncctl(&["calendar", "poll", &user, "--dry-run"]).expect(77);
    assert_eq!(world.runs(), runs, "a dry run writes nothing");
}

#[test]
fn a_scheduled_job_that_finds_nothing_to_do_has_its_row() {
    let world = World::of(&CALENDAR, 1, 3);
    let page = world.folder.path().join("page.html").display().to_string();
    let jobs: [&[&str]; 4] = [&["deliver"], &["db", "prune"], &["report", "--html", &page], &["webhook", "drain"]];
    for words in jobs {
        let job = words.iter().take(2).filter(|word| !word.starts_with('-')).copied().collect::<Vec<_>>().join(" ");
        world.syncctl(words).expect(0);
        assert_eq!(statuses(&world, &job), ["completed"], "{job}");
    }
    for words in [&["deliver", "--dry-run"][..], &["db", "prune", "--dry-run"]] {
        world.syncctl(words).expect(0);
    }
    assert_eq!(world.runs(), 4, "a dry run writes nothing");
    let shown = world.syncctl(&["status"]).expect(0).stdout;
    for job in ["deliver", "db prune", "report", "webhook drain"] {
        assert!(shown.lines().any(|line| line.starts_with(job) && line.contains("completed")), "{job}: {shown}");
    }
}

#[test]
fn a_job_that_fails_says_why_in_its_row_and_one_that_died_is_closed_by_the_next() {
    let world = World::of(&CALENDAR, 1, 3);
    world.syncctl(&["report", "--html", "/nowhere/page.html"]).expect(1);
    assert_eq!(statuses(&world, "report"), ["failed"]);
    let report = world.syncctl(&["status", "--json"]).expect(0).json();
    let job = report["jobs"].as_array().and_then(|jobs| jobs.iter().find(|job| job["job"] == "report")).expect("the job");
    assert!(job["error"].as_str().is_some_and(|error| error.contains("/nowhere")), "{job}");
    world.execute(
        "INSERT INTO runs (id, service, job, host, pid, version, started_at, alive_until)
         VALUES (gen_random_uuid(), 'outbox', 'deliver', 'h', 1, '0', now() - interval '1 hour', now() - interval '1 minute')",
    );
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(statuses(&world, "deliver"), ["abandoned", "completed"]);
}

#[test]
fn ids_that_name_nothing_are_named_in_the_run() {
    let world = World::of(&CALENDAR, 1, 3);
    let user = world.first_user();
    let unknown: Vec<String> = (1..=12).map(|n| format!("nobody-{n}@example.com")).collect();
    let mut words = vec!["calendar", "batch-poll", &user];
    words.extend(unknown.iter().map(String::as_str));
    world.syncctl(&words).expect(1);
    let (status, error) = of_service(&world, "calendar batch-poll");
    assert_eq!(status, "partial", "{error}");
    assert!(error.contains("12 × unknown_user") && error.contains("nobody-1@example.com"), "{error}");
    assert!(error.contains("and 7 more") && error.len() < 400, "bounded: {error}");
    for (service, name) in [("drive", "no-such-file"), ("attendee", "no-such-bot")] {
        world.syncctl(&[service, "batch-poll", name]).expect(1);
        let (_, error) = of_service(&world, &format!("{service} batch-poll"));
        assert!(error.contains(name), "{error}");
    }
}
