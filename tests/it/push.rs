//! Push channels: every stream has one, renewed without a gap, and the simulator has none that the database does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};
use crate::support::sim::field;

/// Nobody listens there: what is announced is not under test here.
const ADDRESS: &str = "http://127.0.0.1:9/google";

/// Users whose streams are followed, and no channel yet.
fn followed(service: &'static Service, users: u32) -> World {
    let mut world = World::of(service, users, 4);
    world.set("SYNCCTL_PUSH_ADDRESS", ADDRESS);
    world.sync_all().expect(0);
    world
}

/// Ids of the channels that live at Google.
fn at_google(world: &World) -> BTreeSet<String> {
    channels(world).iter().map(|channel| field(channel, "id")).collect()
}

fn channels(world: &World) -> Vec<Value> {
    world.sim.text("push/channels").lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Channels that live at Google, by resource.
fn by_resource(world: &World) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for channel in channels(world) {
        *count.entry(format!("{} {}", field(&channel, "user"), field(&channel, "resource"))).or_default() += 1;
    }
    count
}

/// Ids of the live rows.
fn stored(world: &World) -> BTreeSet<String> {
    world
        .query("SELECT id::text FROM channels WHERE state = 'live' AND expires_at > now()")
        .iter()
        .map(|row| row.get(0))
        .collect()
}

fn watched_mailboxes(world: &World) -> usize {
    world.sim.text("push/watches").lines().count()
}

fn watchable(world: &World) -> i64 {
    world.count("SELECT count(*) FROM streams WHERE cursor IS NOT NULL AND kind <> 'drive_list' AND state = 'active'")
}

fn renew(world: &World) -> crate::support::world::Ran {
    world.syncctl(&[world.service.name, "renew-watches", "--json"])
}

/// Moves the simulator's clock and the database's forward by so many hours, for everything that runs from now on: `now()` of a schema that
/// comes before `pg_catalog` in the search path is the real one and an offset. Channels are made, renewed and forgotten by `now()`.
fn move_clock(world: &World, hours: i64) {
    world.sim.admin("clock", json!({ "advance": hours * 3600 }));
    world.execute(&format!(
        "CREATE SCHEMA IF NOT EXISTS simulated;
         CREATE TABLE IF NOT EXISTS simulated.clock (ahead interval NOT NULL);
         INSERT INTO simulated.clock SELECT '0' WHERE NOT EXISTS (SELECT FROM simulated.clock);
         UPDATE simulated.clock SET ahead = ahead + interval '{hours} hours';
         CREATE OR REPLACE FUNCTION simulated.now() RETURNS timestamptz STABLE LANGUAGE sql
           AS 'SELECT pg_catalog.now() + ahead FROM simulated.clock';
         DO $$ BEGIN
           EXECUTE format('ALTER DATABASE %I SET search_path = public, simulated, pg_catalog', current_database());
         END $$"
    ));
}

#[track_caller]
fn assert_in_step(world: &World) {
    assert_eq!(at_google(world), stored(world));
    assert_eq!(by_resource(world).len() as i64, watchable(world));
    assert!(by_resource(world).values().all(|count| *count == 1), "{:?}", by_resource(world));
}

#[test]
fn every_stream_gets_one_channel() {
    for service in [&CALENDAR, &DRIVE] {
        let world = followed(service, 3);
        let streams = watchable(&world);
        assert!(streams >= 3);
        let report = renew(&world).expect(0).json();
        assert_eq!(report["push"]["made"], json!(streams), "{report}");
        assert_in_step(&world);
        let report = renew(&world).expect(0).json();
        assert_eq!(report["push"]["made"], json!(0), "a second run has nothing to do: {report}");
        assert_in_step(&world);
        assert_eq!(
            world.count("SELECT count(*) FROM streams s JOIN channels c ON c.stream_id = s.id AND c.expires_at = s.push_until"),
            streams
        );
        let table = if service.name == "calendar" { "calendar_watch_renewal_summaries" } else { "drive_cron_summaries" };
        let told = format!("SELECT count(*) FROM {table} WHERE summary_data ->> 'job' = '{} renew-watches'", service.name);
        assert_eq!(world.count(&told), 2);
    }
}

#[test]
fn a_channel_that_expires_soon_is_replaced_before_it_is_stopped() {
    let world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let before = at_google(&world);
    move_clock(&world, 145);
    // The new channels are there before any old one is stopped: with every stop failing, both are.
    world.sim.fault(json!({ "fault": "bad_request_400", "method": "channels.stop" }));
    renew(&world).expect(1);
    assert_eq!(at_google(&world).len(), 2 * before.len());
    assert!(by_resource(&world).values().all(|count| *count == 2));
    assert!(stored(&world).is_disjoint(&before) && stored(&world).is_subset(&at_google(&world)));
    world.sim.clear_faults();
    let report = renew(&world).expect(0).json();
    assert_eq!((&report["push"]["renewed"], &report["push"]["stopped"]), (&json!(0), &json!(before.len())), "{report}");
    assert_in_step(&world);
}

#[test]
fn a_stop_that_fails_is_tried_by_the_next_run_and_a_channel_that_is_gone_counts_as_stopped() {
    let world = followed(&DRIVE, 2);
    renew(&world).expect(0);
    move_clock(&world, 145);
    world.sim.fault(json!({ "fault": "not_found", "method": "channels.stop", "at_call": 1 }));
    world.sim.fault(json!({ "fault": "bad_request_400", "method": "channels.stop", "at_call": 1 }));
    let report = renew(&world).expect(1).json();
    assert_eq!(report["push"]["left_to_stop"], json!(1), "{report}");
    assert_eq!(world.count("SELECT count(*) FROM channels WHERE state = 'stopping' AND failures = 1"), 1);
    let report = renew(&world).expect(0).json();
    assert_eq!(report["push"]["stopped"], json!(1), "{report}");
    assert_eq!(world.count("SELECT count(*) FROM channels WHERE state = 'stopping'"), 0);
}

#[test]
fn channels_of_removed_streams_and_of_a_setting_that_was_emptied_are_stopped() {
    let mut world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let all = at_google(&world).len();
    world.execute("UPDATE streams SET state = 'removed' WHERE id = (SELECT min(id) FROM streams WHERE kind = 'events')");
    renew(&world).expect(0);
    assert_eq!(at_google(&world).len(), all - 1);
    assert_in_step(&world);
    world.set("SYNCCTL_PUSH_ADDRESS", "");
    renew(&world).expect(0);
    assert_eq!(at_google(&world).len(), 0);
    assert_eq!(world.count("SELECT count(*) FROM streams WHERE push_until IS NOT NULL"), 0);
}

#[test]
fn operators_stop_one_channel_or_all_of_them() {
    let world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let all = at_google(&world);
    let one = all.first().expect("a channel");
    assert_eq!(world.syncctl(&["channels", "list", "--json"]).expect(0).json().as_array().map(Vec::len), Some(all.len()));
    world.syncctl(&["channels", "stop", one]).expect(0);
    assert_eq!(at_google(&world), all.iter().skip(1).cloned().collect());
    world.syncctl(&["channels", "stop", "--all"]).expect(0);
    assert_eq!((at_google(&world).len(), stored(&world).len()), (0, 0));
    world.syncctl(&["channels", "stop", one]).expect(2);
    renew(&world).expect(0);
    assert_in_step(&world);
}

#[test]
fn a_refused_address_is_recorded_once_and_the_streams_are_polled_on() {
    let mut world = followed(&CALENDAR, 2);
    // What Google refuses is an answer of its own; the simulator has a 400 for it.
    world.set("SYNCCTL_PUSH_ADDRESS", "https://refused.example.com/");
    world.sim.fault(json!({ "fault": "bad_request_400", "method": "events.watch" }));
    renew(&world).expect(1);
    let refused = "SELECT count(*) FROM channels WHERE state = 'refused' AND last_error LIKE '%HTTP 400%'";
    let streams = world.count("SELECT count(*) FROM streams WHERE kind = 'events'");
    assert_eq!(world.count(refused), streams);
    renew(&world).expect(0);
    assert_eq!(world.count(refused), streams, "not asked for again");
    world.sync_all().expect(0);
    world.sim.clear_faults();
    let report = world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0).json();
    assert_eq!(report["push"]["repairs"].as_array().map(Vec::len), Some(streams as usize), "{report}");
    assert!(report["push"]["repairs"].as_array().into_iter().flatten().all(|repair| repair["found"] == "refused"));
    assert_eq!(world.count(refused), 0);
    assert_in_step(&world);
}

#[test]
fn health_finds_old_addresses_and_silent_channels() {
    let mut world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let before = at_google(&world);
    world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0);
    assert_eq!(at_google(&world), before, "they are well");
    // Nobody listens at the address, so nothing that is polled was announced.
    world.churn(60, 3);
    world.sync_all().expect(0);
    let silent = world.count("SELECT count(*) FROM streams WHERE push_missed >= 3");
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
        world.count("SELECT count(*) FROM channels WHERE state = 'live' AND address = 'http://127.0.0.1:9/moved/calendar'"),
        before.len() as i64
    );
    let told = "SELECT count(*) FROM calendar_webhook_renewal_summaries WHERE summary_data ->> 'job' = 'calendar renew-webhooks'";
    assert_eq!(world.count(told), 3);
}

#[test]
fn a_stream_whose_changes_are_announced_is_polled_for_safety_only() {
    let world = followed(&CALENDAR, 1);
    renew(&world).expect(0);
    world.sync_all().expect(0);
    let wrong = "SELECT count(*) FROM streams WHERE service = 'calendar' AND due_at - now() NOT BETWEEN interval '5 hours' AND interval '7 hours'";
    assert_eq!(world.count(wrong), 0);
    world.execute("UPDATE streams SET pushed_at = now() - interval '12 minutes'");
    let user = world.sim.users().pop_first().expect("a user");
    let said = world.syncctl(&["calendar", "smart-poll", &user]).expect(0);
    assert!(said.stdout.contains("push alive, last 12m ago"), "{said:?}");
    world.execute("UPDATE streams SET push_until = now() - interval '1 second'");
    world.sync_all().expect(0);
    assert!(world.count("SELECT count(*) FROM streams WHERE kind = 'events' AND due_at < now() + interval '2 hours'") > 0);
}

#[test]
fn after_a_week_without_a_run_every_stream_is_watched_anew() {
    let world = followed(&DRIVE, 2);
    renew(&world).expect(0);
    let before = at_google(&world).len();
    move_clock(&world, 200);
    assert_eq!(at_google(&world).len(), 0);
    let report = renew(&world).expect(0).json();
    assert_eq!((&report["push"]["made"], &report["push"]["stopped"]), (&json!(before), &json!(0)), "{report}");
    assert_in_step(&world);
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
    let orphans = world.count("SELECT count(*) FROM channels WHERE state = 'creating'");
    assert!(orphans > 0);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    world.wait_until_leases_lapse();
    let report = world.syncctl(&["calendar", "renew-webhooks", "--json"]).expect(0).json();
    let repairs = report["push"]["repairs"].as_array().expect("repairs");
    assert!(repairs.len() as i64 == orphans && repairs.iter().all(|repair| repair["found"] == "orphaned"), "{report}");
    renew(&world).expect(0);
    assert_in_step(&world);
}

#[test]
fn a_revoked_user_is_no_trouble_and_what_cannot_be_stopped_expires() {
    let world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let user = world.sim.users().pop_first().expect("a user");
    world.sim.admin("revoke", json!({ "user": user }));
    // Said by Google to the next poll.
    world.sync_all().expect(1);
    let report = renew(&world).expect(0).json();
    assert_eq!(report["push"]["left_to_stop"], json!(2), "{report}");
    move_clock(&world, 200);
    renew(&world).expect(0);
    assert_in_step(&world);
    assert_eq!(world.count("SELECT count(*) FROM channels WHERE state IN ('stopping', 'creating')"), 0);
}

#[test]
fn two_jobs_at_once_make_one_channel_each_stream() {
    let mut world = followed(&CALENDAR, 6);
    renew(&world).expect(0);
    for round in 0..10 {
        move_clock(&world, 145);
        world.set("SYNCCTL_PUSH_ADDRESS", format!("http://127.0.0.1:9/{round}"));
        let jobs = [world.spawn(&["calendar", "renew-watches"]), world.spawn(&["calendar", "renew-webhooks"])];
        for job in jobs {
            assert!(job.wait_with_output().expect("the binary ends").status.success());
        }
        let most = by_resource(&world).into_values().max();
        assert!(most <= Some(2), "{most:?} channels of one stream");
        renew(&world).expect(0);
        assert_in_step(&world);
    }
}

#[test]
fn mailboxes_are_watched_and_a_new_watch_takes_the_place_of_the_old_one() {
    let mut world = World::of(&GMAIL, 2, 4);
    world.set("SYNCCTL_PUSH_GMAIL_TOPIC", "projects/acme/topics/mail");
    world.sync_all().expect(0);
    let report = renew(&world).expect(0).json();
    assert_eq!(report["push"]["made"], json!(2), "{report}");
    assert_eq!(watched_mailboxes(&world), 2);
    move_clock(&world, 150);
    let report = renew(&world).expect(0).json();
    assert_eq!((&report["push"]["renewed"], &report["push"]["stopped"]), (&json!(2), &json!(2)), "{report}");
    assert_eq!((watched_mailboxes(&world), stored(&world).len()), (2, 2));
    assert_eq!(world.sim.ledger()["by_method"]["users.stop"].as_u64().unwrap_or(0), 0, "the old one is gone by itself");
    world.set("SYNCCTL_PUSH_GMAIL_TOPIC", "");
    renew(&world).expect(0);
    assert_eq!((watched_mailboxes(&world), stored(&world).len()), (0, 0));
}

#[test]
fn a_run_that_dies_anywhere_leaks_nothing_after_the_next_two() {
    let mut world = followed(&CALENDAR, 6);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "4");
    let mut chance = rand::rngs::StdRng::seed_from_u64(42);
    let (mut killed, mut orphans) = (0, 0);
    for round in 0..60 {
        // What is to be renewed differs from round to round; in some, nothing has a channel yet.
        match round % 10 {
            0 => drop(world.syncctl(&["channels", "stop", "--all"]).expect(0)),
            // By their rows only: the grants and leases of the runs stay as they are.
            _ => world.execute("UPDATE channels SET created_at = created_at - interval '145 hours', expires_at = expires_at - interval '145 hours'"),
        }
        let mut child = world.spawn(&["calendar", "renew-watches"]);
        // Not waiting for anything: the point of death is the thing under test.
        std::thread::sleep(Duration::from_micros(chance.random_range(5_000..150_000)));
        child.kill().expect("killing");
        killed += u64::from(child.wait().expect("waiting").code().is_none());
        orphans += world.count("SELECT count(*) FROM channels WHERE state = 'creating'");
        world.wait_until_leases_lapse();
        renew(&world).expect(0);
        renew(&world).expect(0);
        assert_in_step(&world);
    }
    println!("{killed} of 60 runs were killed while they lived, {orphans} channels were being asked for then");
    assert!(killed > 10, "only {killed} runs were killed while they lived");
}

#[test]
fn a_month_of_renewals_with_a_tenth_of_the_calls_failing_has_no_gap_and_no_leak() {
    for service in [&CALENDAR, &DRIVE] {
        let mut world = followed(service, 8);
        renew(&world).expect(0);
        assert_in_step(&world);
        let resources: BTreeSet<String> = by_resource(&world).into_keys().collect();
        // With two runs a day and a day to renew in, one try a run would fail twice in a row for some stream of the month.
        world.set("SYNCCTL_ENGINE_TRIES", "3");
        for (method, half) in
            [("events.watch", 0.05), ("calendarList.watch", 0.05), ("changes.watch", 0.05), ("channels.stop", 0.2)]
        {
            // Refused before anything was done, and done but cut on the way.
            world.sim.fault(json!({ "fault": "unavailable_503", "probability": half, "method": method }));
            world.sim.fault(json!({ "fault": "cut_body", "probability": half, "method": method }));
        }
        let (mut most, mut failed) = (0, 0);
        for _ in 0..60 {
            move_clock(&world, 12);
            failed += i32::from(renew(&world).code != 0);
            let now = by_resource(&world);
            assert_eq!(now.keys().cloned().collect::<BTreeSet<_>>(), resources, "a gap");
            most = most.max(now.values().copied().max().unwrap_or(0));
        }
        let faults = world.sim.get("faults");
        let hits: u64 = faults.as_array().into_iter().flatten().filter_map(|fault| fault["hits"].as_u64()).sum();
        world.sim.clear_faults();
        renew(&world);
        renew(&world).expect(0);
        assert_in_step(&world);
        let history = world.sim.get("push/history");
        let gaps =
            history.as_array().into_iter().flatten().filter(|row| row["intervals"].as_array().is_none_or(|all| all.len() != 1));
        assert_eq!(gaps.count(), 0, "{history}");
        let made = world.count("SELECT count(*) FROM channels");
        println!(
            "{}: {} streams, 60 runs in 30 days, {made} channels made in the last 30 days, {hits} calls failed in {failed} runs, at most {most} channels of one stream, no gap",
            service.name,
            resources.len()
        );
        assert!(most <= 2, "{most} channels of one stream at once");
        assert!(hits > 0);
    }
}
