//! `metrics`: the sums equal those of the runs, in all three formats.

use serde_json::{Value, json};

use crate::support::pgbouncer::free_port;
use crate::support::{World, prometheus};

#[test]
fn the_window_sums_its_runs_and_stands_against_the_one_before() {
    let mut world = World::with_users(3, 5);
    let first = world.sync_all().expect(0).json();
    world.execute("UPDATE calendar_cron_results SET start_time = start_time - interval '30 hours'");
    let good = world.sync_all().expect(0).json();
    world.sim.churn(6, 1);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "server_500", "method": "events.list", "user": user, "probability": 1.0 }));
    let partial = world.sync_all().expect(1).json();
    world.sim.clear_faults();

    let metrics = world.syncctl(&["calendar", "metrics", "--json"]).expect(0).json();
    let (window, before) = (&metrics["window"], &metrics["before"]);
    assert_eq!((&window["runs"], &before["runs"]), (&json!(2), &json!(1)));
    assert_eq!(window["by_status"], json!({ "completed": 1, "partial": 1 }));
    assert_eq!(window["success_rate"], 0.5);
    let sum = |key: &str| json!(good[key].as_u64().expect("a number") + partial[key].as_u64().expect("a number"));
    assert_eq!((&window["api_calls"], &window["streams"]), (&sum("api_calls"), &sum("streams")));
    assert_eq!((&window["successful"], &window["failed"]), (&json!(3 + 2), &json!(1)));
    assert_eq!(window["errors"], json!({ "transient": 1 }));
    assert_eq!(window["duration_max_ms"], json!(good["elapsed_ms"].as_u64().max(partial["elapsed_ms"].as_u64())));
    let changed = |report: &Value| {
        let kinds = report["changes"].as_object().expect("kinds").values();
        kinds
            .map(|counts| {
                ["created", "updated", "deleted"].map(|key| counts[key].as_u64().expect("a number")).iter().sum::<u64>()
            })
            .sum::<u64>()
    };
    assert_eq!(window["items_changed"], changed(&good) + changed(&partial));
    assert_eq!(before["items_changed"], changed(&first));

    let text = world.syncctl(&["calendar", "metrics", "--prometheus"]).expect(0).stdout;
    for line in [
        "syncctl_runs{service=\"calendar\",status=\"partial\"} 1.0".to_owned(),
        "syncctl_errors{service=\"calendar\",class=\"transient\"} 1.0".to_owned(),
        format!("syncctl_api_calls{{service=\"calendar\"}} {}.0", window["api_calls"]),
    ] {
        assert!(text.lines().any(|text_line| text_line == line), "no {line} in {text}");
    }
    let table = world.syncctl(&["calendar", "metrics"]).expect(0).stdout;
    assert!(table.contains("1 completed, 1 partial") && table.contains("50.0 %") && table.contains("1 transient"), "{table}");
}

#[test]
fn a_window_without_runs_is_reported_as_such() {
    let world = World::empty();
    let metrics = world.syncctl(&["calendar", "metrics", "--json"]).expect(0).json();
    assert_eq!((&metrics["window"]["runs"], &metrics["window"]["success_rate"]), (&json!(0), &Value::Null));
    assert!(world.syncctl(&["calendar", "metrics"]).expect(0).stdout.contains("none"));
}

/// A world with runs of calendar, drive and gmail, including a calendar user whose calls fail.
fn world_of_all() -> World {
    let mut world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "server_500", "method": "events.list", "user": user, "probability": 1.0 }));
    world.sync_all().expect(1);
    world.sim.clear_faults();
    for service in ["drive", "gmail"] {
        world.syncctl(&[service, "cron", "--force"]).expect(0);
    }
    world.emit("drive.file.modified", &[uuid::Uuid::new_v4()]);
    world
}

#[test]
fn all_services_stand_in_one_text_that_prometheus_reads() {
    let world = world_of_all();
    let text = world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout;
    let read = prometheus::read(&text);
    assert_eq!(read.value("syncctl_runs{service=\"calendar\",status=\"partial\"}"), 1.0);
    assert_eq!(read.value("syncctl_runs{service=\"drive\",status=\"completed\"}"), 1.0);
    assert_eq!(read.value("syncctl_last_run_status{status=\"partial\",syncctl_job=\"calendar cron\"}"), 1.0);
    assert_eq!(read.value("syncctl_last_run_status{status=\"completed\",syncctl_job=\"gmail cron\"}"), 1.0);
    let success = |job: &str| read.value(&format!("syncctl_last_success_timestamp_seconds{{syncctl_job=\"{job}\"}}"));
    let ended = |statement: &str| {
        world.count(&format!("SELECT floor(extract(epoch FROM max(ended_at)))::bigint FROM runs WHERE {statement}"))
    };
    // The run that failed in part is not a success.
    assert_eq!(success("calendar cron").floor() as i64, ended("job = 'calendar cron' AND status = 'completed'"));
    assert_eq!(success("drive cron").floor() as i64, ended("job = 'drive cron'"));
    let again = prometheus::read(&world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout);
    for job in ["calendar cron", "drive cron", "gmail cron"] {
        let of = format!("syncctl_last_run_timestamp_seconds{{syncctl_job=\"{job}\"}}");
        assert_eq!(again.value(&of), read.value(&of), "a run that ended moves from scrape to scrape");
    }
    assert!(success("calendar cron") < read.value("syncctl_last_run_timestamp_seconds{syncctl_job=\"calendar cron\"}"));
    let streams = world.rows("streams WHERE service = 'calendar' AND state <> 'removed'");
    assert_eq!(read.value("syncctl_streams{service=\"calendar\"}"), streams as f64);
    assert_eq!(read.value("syncctl_accounts_failing{class=\"transient\",service=\"calendar\"}"), 1.0);
    assert_eq!(read.value("syncctl_outbox_pending"), 1.0);
    assert!(read.value("syncctl_database_size_bytes") > 1e6);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    assert!(users.iter().all(|user| !text.contains(user.as_str())), "an address in {text}");

    let json = world.syncctl(&["metrics", "--json"]).expect(0).json();
    assert_eq!(json["services"].as_array().expect("a list").len(), 5);
    assert_eq!(json["now"]["accounts_failing"], json!([{ "class": "transient", "service": "calendar", "accounts": 1 }]));
    let table = world.syncctl(&["metrics"]).expect(0).stdout;
    assert!(table.contains("calendar cron") && table.contains("1 transient"), "{table}");
}

#[test]
fn waiting_work_is_counted_with_its_age() {
    let world = World::with_users(2, 1);
    world.execute("UPDATE streams SET due_at = now() - interval '90 minutes' WHERE service = 'calendar'");
    world.execute("UPDATE streams SET due_at = now() + interval '1 hour' WHERE service <> 'calendar'");
    let read = prometheus::read(&world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout);
    assert_eq!(read.value("syncctl_streams_due{service=\"calendar\"}"), 2.0);
    assert_eq!(read.value("syncctl_streams_due{service=\"gmail\"}"), 0.0);
    assert!(read.value("syncctl_oldest_due_seconds{service=\"calendar\"}") >= 5400.0);
    assert_eq!(read.value("syncctl_oldest_due_seconds{service=\"gmail\"}"), 0.0);
    assert!(!read.families.contains("syncctl_last_success_timestamp_seconds"), "nothing has run yet");
}

#[test]
fn calendars_whose_instances_are_behind_are_counted_as_doctor_counts_them() {
    let world = World::with_users(3, 10);
    world.sync_all().expect(0);
    let calendars = world.rows("streams WHERE kind = 'events' AND state = 'active' AND cursor IS NOT NULL");
    let check = |behind: i64| {
        let read = prometheus::read(&world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout);
        assert_eq!(read.value("syncctl_streams_behind{part=\"instances\",service=\"calendar\"}"), behind as f64);
        let now = world.syncctl(&["metrics", "--json"]).expect(0).json()["now"]["behind"][0].clone();
        assert_eq!(now, json!({ "service": "calendar", "part": "instances", "streams": behind }));
        let table = world.syncctl(&["metrics"]).expect(0).stdout;
        assert_eq!(table.contains(&format!("{behind} instances (calendar)")), behind > 0, "{table}");
        let report = world.syncctl(&["doctor", "--offline"]).stdout;
        let names = format!("calendar_instances of {behind} calendars are incomplete or end too early");
        assert_eq!(report.contains(&names), behind > 0, "{report}");
    };
    check(0);
    world.execute("UPDATE calendar_windows SET covered = tstzrange(lower(covered), upper(covered) - interval '20 days')");
    check(calendars);
    world.syncctl(&["calendar", "roll-instances"]).expect(0);
    check(0);
    world.execute("UPDATE calendar_windows SET rebuilt_to = 'x' WHERE stream_id = (SELECT min(stream_id) FROM calendar_windows)");
    check(1);
    world.execute("DELETE FROM calendar_windows");
    check(calendars);
}

#[test]
fn windows_are_those_of_the_databases_clock_whatever_this_machines_says() {
    let world = World::with_users(1, 1);
    world.sync_all().expect(0);
    world.move_database_clock(1.5);
    let report = world.syncctl(&["calendar", "metrics", "--since", "1h", "--json"]).expect(0).json();
    assert_eq!((&report["window"]["runs"], &report["before"]["runs"]), (&json!(0), &json!(1)), "{report}");
    // A run that just ended by that clock is in the future by ours.
    world.execute("UPDATE calendar_cron_summaries SET timestamp = now()");
    let page = world.folder.path().join("report.html").display().to_string();
    let report = world.syncctl(&["report", "--html", &page, "--since", "1h", "--json"]).expect(0).json();
    assert_eq!(report["runs"], 1, "{report}");
}

#[test]
fn a_textfile_is_put_in_place_whole_and_readable() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let world = World::empty();
    let folder = world.folder.path().join("textfiles");
    std::fs::create_dir(&folder).expect("making the folder");
    let path = folder.join("syncctl.prom");
    let argument = path.display().to_string();
    let run = world.syncctl(&["metrics", "--textfile", &argument]).expect(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "cron would mail it");
    let first = std::fs::metadata(&path).expect("the file");
    assert_eq!(first.permissions().mode() & 0o777, 0o644);
    prometheus::read(&std::fs::read_to_string(&path).expect("a text"));
    // A reader keeps a complete old file while a new one replaces it.
    world.syncctl(&["metrics", "--textfile", &argument]).expect(0);
    assert_ne!(std::fs::metadata(&path).expect("the file").ino(), first.ino());
    let files: Vec<_> = std::fs::read_dir(&folder).expect("the folder").collect();
    assert_eq!(files.len(), 1, "{files:?}");

    let wrong = world.syncctl(&["metrics", "--textfile", "metrics.txt"]).expect(2);
    assert!(wrong.stderr.contains(".prom"), "{wrong:?}");
    let nowhere = world.syncctl(&["metrics", "--textfile", "/nowhere/at/all/x.prom"]).expect(1);
    assert!(nowhere.stderr.contains("/nowhere/at/all"), "{nowhere:?}");
}

#[test]
fn a_textfile_says_that_the_database_cannot_be_reached_and_nothing_that_is_old() {
    let mut world = World::with_users(1, 1);
    world.sync_all().expect(0);
    let path = world.folder.path().join("syncctl.prom");
    let argument = path.display().to_string();
    let read = || prometheus::read(&std::fs::read_to_string(&path).expect("a text"));
    world.syncctl(&["metrics", "--textfile", &argument]).expect(0);
    assert_eq!(read().value("syncctl_database_up"), 1.0);
    let url = std::mem::replace(&mut world.url, format!("postgres://x@127.0.0.1:{}/x", free_port()));
    let gone = world.syncctl(&["metrics", "--textfile", &argument]).expect(69);
    assert!(gone.stderr.contains("cannot reach database"), "{gone:?}");
    assert_eq!(read().value("syncctl_database_up"), 0.0);
    assert_eq!(read().families.len(), 2, "{:?}", read().families);
    world.url = url;
    world.syncctl(&["metrics", "--textfile", &argument]).expect(0);
    assert_eq!(read().value("syncctl_database_up"), 1.0);
}

#[test]
fn changes_that_no_feed_announced_have_no_delay() {
    let world = World::with_files(1, 20);
    world.sync_drive().expect(0);
    let old = "f.modified_at < now() - interval '2 days' AND f.mime_type NOT LIKE '%folder'";
    let row = &world.query(&format!(
        "SELECT u.email, f.file_id FROM drive_file_access a JOIN users u ON u.id = a.user_id JOIN drive_files f USING (file_id) WHERE {old} LIMIT 1"
    ))[0];
    let (user, file): (String, String) = (row.get(0), row.get(1));
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    assert_eq!(world.documents(), 1);
    world.syncctl(&["drive", "poll", &file]).expect(0);
    let delays = || world.syncctl(&["drive", "metrics", "--json"]).expect(0).json()["window"]["delays"].clone();
    assert_eq!(delays()["count"], 0, "{}", delays());
    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    assert_eq!(status["delay_p95_seconds"]["drive"], Value::Null, "{status}");
    let text = world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout;
    assert!(!text.contains("syncctl_change_delay_mean_seconds{service=\"drive\"}"), "{text}");
    // Changes announced by the feed have a delay.
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "new" }));
    world.sync_drive().expect(0);
    assert_eq!(delays()["count"], 1, "{}", delays());
    assert!(delays()["max_seconds"].as_f64().expect("a number") < 3600.0, "{}", delays());
}
