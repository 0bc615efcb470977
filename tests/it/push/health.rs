//! Channels that are refused, silent, lost or at an old address, and the effect of a live one.

use std::collections::BTreeSet;

use serde_json::json;

use super::ground::*;
use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, GMAIL};
use crate::support::sim::field;
use crate::support::waiting::until;
use crate::webhook::server::Server;

#[test]
fn a_refused_address_is_recorded_once_and_the_streams_are_polled_on() {
    let mut world = followed(&CALENDAR, 2);
    // Google's refusal has a specific answer; the simulator sends a 400.
    world.set("SYNCCTL_PUSH_ADDRESS", "https://refused.example.com/");
    world.sim.fault(json!({ "fault": "bad_request_400", "method": "events.watch" }));
    renew(&world).expect(1);
    let refused = "channels WHERE state = 'refused' AND last_error LIKE '%HTTP 400%'";
    let streams = world.rows("streams WHERE kind = 'events'");
    assert_eq!(world.rows(refused), streams);
    renew(&world).expect(0);
    assert_eq!(world.rows(refused), streams, "not asked for again");
    world.sync_all().expect(0);
    world.sim.clear_faults();
    let report = world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0).json();
    assert_eq!(report["push"]["repairs"].as_array().map(Vec::len), Some(streams as usize), "{report}");
    assert!(report["push"]["repairs"].as_array().into_iter().flatten().all(|repair| repair["found"] == "refused"));
    assert_eq!(world.rows(refused), 0);
    assert_in_step(&world);
}

#[test]
fn a_calendar_without_push_is_polled_and_is_no_alarm() {
    let mut world = followed(&CALENDAR, 1);
    let (ann, holidays) = (world.sim.users().into_iter().next().expect("a user"), "en.usa#holiday@group.v.calendar.google.com");
    world.sim.admin("calendars", json!({ "user": ann, "id": holidays, "summary": "Holidays", "selected": true }));
    world.sync_all().expect(0);
    for job in ["renew-watches", "renew-watches", "renew-webhooks", "renew-webhooks"] {
        world.syncctl(&["calendar", job]).expect(0);
    }
    assert_eq!(world.rows("channels WHERE state = 'unsupported'"), 1);
    assert_eq!(world.sim.ledger()["by_method"]["events.watch"], world.rows("streams WHERE kind = 'events'"), "asked once");
    let doctor = world.syncctl(&["doctor"]);
    assert!(!doctor.stdout.contains("Google refuses"), "{doctor:#?}");
    // Another address makes no difference, and a user without the calendar needs nothing stopped.
    world.set("SYNCCTL_PUSH_ADDRESS", "http://127.0.0.1:9/moved");
    renew(&world).expect(0);
    assert_eq!(world.rows("channels WHERE state = 'unsupported'"), 1);
    world.syncctl(&["accounts", "remove", &ann, "--yes"]).expect(0);
    assert_eq!(world.rows("channels WHERE state <> 'stopped'"), 0);
}

#[test]
fn channels_that_cannot_be_stopped_are_reported_once() {
    let world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    // One whose stream is gone and whose resource was never known, and one whose account is gone too.
    world.execute(
        "INSERT INTO channels (id, user_id, service, state, address, token_hash, expires_at)
         SELECT gen_random_uuid(), id, 'calendar', 'stopping', 'x', '\\x00', now() + interval '6 hours'
         FROM (SELECT min(id::text)::uuid AS id FROM users UNION SELECT gen_random_uuid()) AS owners",
    );
    let reported = |run: crate::support::world::RunResult| {
        run.expect(0).stderr.lines().filter(|line| line.contains("it expires in")).count()
    };
    assert_eq!(reported(renew(&world)), 2);
    assert_eq!(reported(renew(&world)), 0);
    assert_eq!(reported(world.syncctl(&["calendar", "renew-webhooks"])), 0);
    assert_eq!(world.rows("channels WHERE stream_id IS NULL AND state = 'stopping' AND failures = 1"), 2);
}

#[test]
fn health_finds_old_addresses_and_silent_channels() {
    let mut world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let before = at_google(&world);
    world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0);
    assert_eq!(at_google(&world), before, "they are well");
    // The address is closed, so no polled change was announced.
    world.churn(60, 3);
    world.sync_all().expect(0);
    let silent = world.silent_streams();
    assert!(silent > 0);
    let report = world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0).json();
    let repairs = report["push"]["repairs"].as_array().expect("repairs");
    assert_eq!(repairs.len() as i64, silent, "{report}");
    assert!(repairs.iter().all(|repair| repair["found"] == "silent" && before.contains(&field(repair, "channel"))), "{report}");
    assert_in_step(&world);
    world.set("SYNCCTL_PUSH_ADDRESS", "http://127.0.0.1:9/moved");
    world.syncctl(&["calendar", "renew-webhooks"]).expect(0);
    assert_in_step(&world);
    assert_eq!(
        world.rows("channels WHERE state = 'live' AND address = 'http://127.0.0.1:9/moved/calendar'"),
        before.len() as i64
    );
    let reported = "calendar_webhook_renewal_summaries WHERE summary_data ->> 'job' = 'calendar renew-webhooks'";
    assert_eq!(world.rows(reported), 3);
}

#[test]
fn a_channel_that_google_lets_fall_silent_is_an_alarm_until_it_is_replaced() {
    let mut world = World::of(&CALENDAR, 3, 6);
    let server = Server::start(&world, &[]);
    world.set("SYNCCTL_PUSH_ADDRESS", format!("http://{}", server.address));
    world.sync_all().expect(0);
    renew(&world).expect(0);
    let before = at_google(&world);
    let metrics = |arguments: &[&str]| world.syncctl(&[&["calendar", "metrics"], arguments].concat()).expect(0);
    assert!(!metrics(&[]).stdout.contains("ALARM"), "they are well");
    // The present ones; channels created from now on deliver.
    for channel in &before {
        world.sim.admin("push/silence", json!({ "channel": channel, "on": true }));
    }
    world.churn(40, 3);
    world.sync_all().expect(0);
    assert_eq!(world.notifications_of_channels(), 0, "nothing was announced");
    let silent = world.silent_streams();
    assert!(silent > 0);

    // Their streams are polled at their own pace again, not just as a safety net.
    world.sync_all().expect(0);
    let waits = "streams WHERE push_missed >= 3 AND due_at > now() + interval '2 hours'";
    assert_eq!(world.rows(waits), 0);
    let user: String = world.query("SELECT user_id::text FROM streams WHERE push_missed >= 3 AND kind = 'events'")[0].get(0);
    assert!(world.syncctl(&["sync", "explain", &user]).expect(0).stdout.contains("push silent"));

    let reported = metrics(&["--json"]).json();
    assert_eq!(
        (&reported["channels"]["silent"], &reported["channels"]["live"]),
        (&json!(silent), &json!(before.len())),
        "{reported}"
    );
    let table = metrics(&[]).stdout;
    assert!(table.contains(&format!("ALARM: {silent} of {} push channels are silent", before.len())), "{table}");
    let line = format!("syncctl_channels{{service=\"calendar\",state=\"silent\"}} {silent}.0");
    assert!(metrics(&["--prometheus"]).stdout.lines().any(|text_line| text_line == line), "no {line}");
    assert_eq!(renew(&world).expect(0).json()["push"]["silent"], json!(silent), "by age they stay, and are reported");
    assert_eq!(at_google(&world), before);

    let report = world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0).json();
    let repaired: BTreeSet<String> =
        report["push"]["repairs"].as_array().expect("repairs").iter().map(|repair| field(repair, "channel")).collect();
    assert!(repaired.len() as i64 == silent && repaired.is_subset(&before), "{report}");
    assert!(at_google(&world).is_disjoint(&repaired));
    assert_in_step(&world);
    let reported = "SELECT (summary_data -> 'push' ->> 'silent')::int8 FROM calendar_webhook_renewal_summaries
        WHERE summary_data -> 'push' -> 'repairs' -> 0 ->> 'found' = 'silent'";
    assert_eq!(world.count(reported), silent);
    let reported = metrics(&["--json"]).json();
    assert_eq!(
        (&reported["channels"]["silent"], &reported["window"]["channel_repairs"]["silent"]),
        (&json!(0), &json!(silent)),
        "{reported}"
    );
    assert!(!metrics(&[]).stdout.contains("ALARM"));
    let line = format!("syncctl_channel_repairs{{service=\"calendar\",found=\"silent\"}} {silent}.0");
    assert!(metrics(&["--prometheus"]).stdout.lines().any(|text_line| text_line == line), "no {line}");

    // Changes are announced again from now on.
    world.churn(40, 4);
    let announced = || world.count("SELECT sum(notifications)::int8 FROM channels WHERE state = 'live'") > 0;
    until("the new channels announce changes", announced);
    world.syncctl(&["webhook", "drain"]).expect(0);
    assert!(server.stop().success());
}

#[test]
fn a_stream_whose_changes_are_announced_is_polled_for_safety_only() {
    let world = followed(&CALENDAR, 1);
    renew(&world).expect(0);
    world.sync_all().expect(0);
    let wrong = "streams WHERE service = 'calendar' AND due_at - now() NOT BETWEEN interval '5 hours' AND interval '7 hours'";
    assert_eq!(world.rows(wrong), 0);
    world.execute("UPDATE streams SET pushed_at = now() - interval '12 minutes'");
    let user = world.sim.users().pop_first().expect("a user");
    let said = world.syncctl(&["calendar", "smart-poll", &user]).expect(0);
    assert!(said.stdout.contains("push alive, last 12m ago"), "{said:?}");
    world.execute("UPDATE streams SET push_until = now() - interval '1 second'");
    world.sync_all().expect(0);
    assert!(world.rows("streams WHERE kind = 'events' AND due_at < now() + interval '2 hours'") > 0);
}

#[test]
fn a_channel_whose_answer_was_lost_is_found_by_its_health_and_stopped() {
    let mut world = followed(&CALENDAR, 2);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    for method in ["events.watch", "calendarList.watch"] {
        world.sim.fault(json!({ "fault": "stall", "method": method }));
    }
    let mut child = world.spawn(&["calendar", "renew-watches"]);
    world.wait_for_stall();
    child.kill().expect("killing");
    child.wait().expect("waiting");
    let orphans = world.channels_in("creating");
    assert!(orphans > 0);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    world.wait_until_leases_lapse();
    let report = world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0).json();
    let died = |table: &str| {
        world.rows(&format!("{table} WHERE summary_data @> '{{\"job\": \"calendar renew-watches\", \"status\": \"abandoned\"}}'"))
    };
    assert_eq!(
        (died("calendar_watch_renewal_summaries"), died("calendar_cron_summaries")),
        (1, 0),
        "the dead run is in the right report"
    );
    let repairs = report["push"]["repairs"].as_array().expect("repairs");
    assert!(repairs.len() as i64 == orphans && repairs.iter().all(|repair| repair["found"] == "orphaned"), "{report}");
    renew(&world).expect(0);
    assert_in_step(&world);
}

#[test]
fn drive_and_mail_are_repaired_by_their_health_too() {
    for service in [&DRIVE, &GMAIL] {
        let mut world = followed(service, 2);
        renew(&world).expect(0);
        let streams = watchable(&world);
        world.set("SYNCCTL_PUSH_ADDRESS", "http://127.0.0.1:9/moved");
        world.set("SYNCCTL_PUSH_GMAIL_TOPIC", "projects/acme/topics/moved");
        let report = world.syncctl(&[service.name, "renew-webhooks", "--json"]).expect(0).json();
        let repairs = report["push"]["repairs"].as_array().expect("repairs");
        assert!(repairs.len() as i64 == streams && repairs.iter().all(|repair| repair["found"] == "old_address"), "{report}");
        assert_in_step(&world);
        let reported = format!("{0}_cron_summaries WHERE summary_data ->> 'job' = '{0} renew-webhooks'", service.name);
        assert_eq!(world.rows(&reported), 1);
    }
}

#[test]
fn a_revoked_user_is_no_trouble_and_what_cannot_be_stopped_expires() {
    let world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let user = world.sim.users().pop_first().expect("a user");
    world.sim.admin("revoke", json!({ "user": user }));
    // Google reports it to the next poll.
    world.sync_all().expect(1);
    let report = renew(&world).expect(0).json();
    assert_eq!(report["push"]["left_to_stop"], json!(2), "{report}");
    world.move_clock(200.0);
    renew(&world).expect(0);
    assert_in_step(&world);
    assert_eq!(world.rows("channels WHERE state IN ('stopping', 'creating')"), 0);
}
