//! Health checks: the service is notified when jobs start and end, and its failures cannot harm a job.

use serde_json::json;

use crate::support::World;
use crate::support::receiver::{Receiver, Reply};

/// A world with health checks sent to a receiver. The key in the address is secret.
fn watched(users: u32) -> (World, Receiver) {
    let mut world = World::with_users(users, 3);
    let receiver = Receiver::start();
    let origin = receiver.url().replace("/hook", "");
    world.set("SYNCCTL_HEALTHCHECKS_URL", format!("{origin}/ping/s3cret/{{job}}"));
    (world, receiver)
}

/// Paths without the run, and the runs.
fn pings(receiver: &Receiver) -> (Vec<String>, Vec<String>) {
    let requests = receiver.take();
    requests
        .iter()
        .map(|request| request.path.split_once("?rid=").expect("a run"))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unzip()
}

#[test]
fn a_run_reports_its_start_and_its_exit_code_under_its_own_id() {
    let (world, receiver) = watched(2);
    let report = world.syncctl(&["calendar", "cron", "--json"]).expect(0).json();
    let (paths, runs) = pings(&receiver);
    assert_eq!(paths, ["/ping/s3cret/calendar-cron/start", "/ping/s3cret/calendar-cron/0"]);
    assert!(runs.iter().all(|run| report["execution_id"] == **run), "{runs:?}");

    // Each job of a run of all services sends its own pings.
    world.syncctl(&["sync", "cron", "--force"]).expect(0);
    let (mut paths, _) = pings(&receiver);
    paths.sort_unstable();
    let expected = ["calendar", "drive", "gmail"].iter().flat_map(|service| ["0", "start"].map(|signal| (service, signal)));
    let expected: Vec<String> = expected.map(|(service, signal)| format!("/ping/s3cret/{service}-cron/{signal}")).collect();
    assert_eq!(paths, expected);

    for (job, name) in [(&["deliver"][..], "deliver"), (&["webhook", "drain"][..], "webhook-drain")] {
        world.syncctl(job).expect(0);
        assert_eq!(pings(&receiver).0, [format!("/ping/s3cret/{name}/start"), format!("/ping/s3cret/{name}/0")]);
    }
}

#[test]
fn a_failure_comes_with_its_line_and_without_anybodys_address() {
    let (mut world, receiver) = watched(2);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "server_500", "method": "calendarList.list", "user": user, "probability": 1.0 }));
    let run = world.syncctl(&["calendar", "cron"]).expect(1);
    let requests = receiver.requests();
    let end = requests.last().expect("an end");
    assert!(end.path.starts_with("/ping/s3cret/calendar-cron/1?rid="), "{requests:?}");
    assert!(end.body.contains("1 × transient"), "{requests:?}");
    assert!(requests.iter().all(|request| !request.body.contains('@') && !request.path.contains('@')), "{requests:?}");
    assert!(!run.stderr.contains("s3cret"), "{run:?}");
}

#[test]
fn a_run_that_was_skipped_neither_starts_nor_ends_anything() {
    let (world, receiver) = watched(1);
    world.lock_job("calendar cron");
    world.syncctl(&["calendar", "cron"]).expect(75);
    assert_eq!(pings(&receiver).0, ["/ping/s3cret/calendar-cron/log"]);
}

#[test]
fn what_a_person_does_is_no_sign_that_the_schedule_works() {
    let (world, receiver) = watched(1);
    let user = world.first_user();
    let commands: [&[&str]; 7] = [
        &["calendar", "cron", "--dry-run"],
        &["calendar", "poll", &user],
        &["calendar", "smart-poll", &user],
        &["sync", "user", &user],
        &["deliver", "--dead"],
        &["metrics"],
        &["accounts", "list"],
    ];
    for command in commands {
        world.syncctl(command).expect(0);
    }
    assert_eq!(receiver.take().len(), 0);
}

#[test]
fn a_service_that_hangs_breaks_or_refuses_costs_a_warning_and_nothing_else() {
    let (mut world, receiver) = watched(1);
    // Long enough for immediate answers on a busy machine; the stalled answer takes longer.
    world.set("SYNCCTL_HEALTHCHECKS_TIMEOUT", "6s");
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "300s");
    world.sync_all().expect(0);
    for (reply, said) in [(Reply::Hold, "in time"), (Reply::Reset, "connection"), (Reply::Status(404), "404")] {
        receiver.take();
        receiver.answer(move |_| reply.clone());
        let run = world.syncctl(&["calendar", "cron", "--force", "-vv"]).expect(0);
        let warnings: Vec<&str> = run.stderr.lines().filter(|line| line.contains("health check")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains("WARN") && warnings[0].contains(said), "{run:#?}");
        assert!(!run.stderr.contains("s3cret") && !receiver.gave_up(), "{run:#?}");
        // The end is reported, whatever happened to the start.
        let requests = receiver.requests();
        assert!(requests.last().is_some_and(|end| end.path.starts_with("/ping/s3cret/calendar-cron/0?")), "{requests:?}");
    }
    // No server at all.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    world.set("SYNCCTL_HEALTHCHECKS_URL", format!("http://127.0.0.1:{port}/s3cret/{{job}}"));
    let run = world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert!(run.stderr.lines().count() == 1 && run.stderr.contains("could not connect"), "{run:#?}");
    assert!(!run.stderr.contains("s3cret"), "{run:#?}");
    assert_eq!(world.runs_not_completed(), 0);
}

#[test]
fn a_job_can_have_an_address_of_its_own_which_is_never_shown() {
    let (mut world, receiver) = watched(1);
    let other = Receiver::start();
    let file = world.folder.path().join("settings.toml");
    let lines = format!("[healthchecks.jobs]\n\"calendar cron\" = \"{}/s3cret\"\n\"drive cron\" = \"\"\n", other.url());
    std::fs::write(&file, &lines).expect("writing");
    world.set("SYNCCTL_CONFIG", file.display().to_string());
    world.syncctl(&["sync", "cron"]).expect(0);
    assert_eq!(pings(&other).0, ["/hook/s3cret/start", "/hook/s3cret/0"]);
    assert_eq!(pings(&receiver).0.len(), 2, "gmail's only");

    let shown = world.syncctl(&["config", "show"]).expect(0).stdout;
    assert!(shown.contains("healthchecks.jobs.calendar cron") && !shown.contains("s3cret"), "{shown}");
    std::fs::write(&file, "[healthchecks.jobs]\n\n\"calendar cron\" = \"hc/s3cret\"\n").expect("writing");
    let wrong = world.syncctl(&["sync", "cron"]).expect(78).stderr;
    assert!(wrong.contains("settings.toml:3: healthchecks.jobs.calendar cron = ***: must be an http or https URL"), "{wrong}");
    std::fs::write(&file, "[healthchecks]\nurl = \"https://hc.example/s3cret\"\n").expect("writing");
    world.settings.retain(|(name, _)| *name != "SYNCCTL_HEALTHCHECKS_URL");
    let wrong = world.syncctl(&["sync", "cron"]).expect(78).stderr;
    assert!(wrong.contains("healthchecks.url = ***: must be an address with {job} in it"), "{wrong}");
}
