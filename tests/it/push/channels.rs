//! Every stream has one channel, renewed without a gap, and none has two.

use serde_json::json;

use super::ground::*;
use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, GMAIL};

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
        assert_eq!(world.rows("streams s JOIN channels c ON c.stream_id = s.id AND c.expires_at = s.push_until"), streams);
        let table = if service.name == "calendar" { "calendar_watch_renewal_summaries" } else { "drive_cron_summaries" };
        let reported = format!("{table} WHERE summary_data ->> 'job' = '{} renew-watches'", service.name);
        assert_eq!(world.rows(&reported), 2);
    }
}

#[test]
fn a_channel_that_expires_soon_is_replaced_before_it_is_stopped() {
    let world = followed(&CALENDAR, 2);
    renew(&world).expect(0);
    let before = at_google(&world);
    world.move_clock(145.0);
    // The new channels exist before any old one is stopped: with every stop failing, both do.
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
    world.move_clock(145.0);
    world.sim.fault(json!({ "fault": "not_found", "method": "channels.stop", "at_call": 1 }));
    world.sim.fault(json!({ "fault": "bad_request_400", "method": "channels.stop", "at_call": 1 }));
    let report = renew(&world).expect(1).json();
    assert_eq!(report["push"]["left_to_stop"], json!(1), "{report}");
    assert_eq!(world.rows("channels WHERE state = 'stopping' AND failures = 1"), 1);
    let report = renew(&world).expect(0).json();
    assert_eq!(report["push"]["stopped"], json!(1), "{report}");
    assert_eq!(world.channels_in("stopping"), 0);
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
    assert_eq!(world.rows("streams WHERE push_until IS NOT NULL"), 0);
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
fn a_user_is_removed_with_their_channels_and_what_cannot_be_stopped_is_named_and_lapses() {
    for service in [&CALENDAR, &DRIVE, &GMAIL] {
        let world = followed(service, 3);
        renew(&world).expect(0);
        let users: Vec<String> = world.sim.users().into_iter().collect();
        let of = |user: &str| by_resource(&world).keys().filter(|resource| resource.starts_with(user)).count();
        let had = of(&users[0]);
        let removed = world.syncctl(&["accounts", "remove", &users[0], "--json", "--yes"]).expect(0).json();
        assert_eq!((&removed["channels_stopped"], &removed["channels_left"]), (&json!(had), &json!([])), "{removed}");
        assert_eq!((of(&users[0]), of(&users[1]) > 0), (0, true));
        assert_eq!(world.users(), 2);
        assert_in_step(&world);

        let method = if service.name == "gmail" { "users.stop" } else { "channels.stop" };
        world.sim.fault(json!({ "fault": "bad_request_400", "method": method }));
        let had = of(&users[1]);
        let removed = world.syncctl(&["accounts", "remove", &users[1], "--yes"]).expect(0);
        world.sim.clear_faults();
        let named = removed.stderr.lines().filter(|line| line.contains("could not be stopped and expires by itself, 20")).count();
        assert_eq!((named, of(&users[1])), (had, had), "{removed:?}");
        assert_eq!(world.users(), 1);
        world.move_clock(200.0);
        renew(&world).expect(0);
        assert_eq!(of(&users[1]), 0);
        assert_in_step(&world);
    }
}

#[test]
fn two_jobs_at_once_make_one_channel_each_stream() {
    let mut world = followed(&CALENDAR, 6);
    renew(&world).expect(0);
    for round in 0..10 {
        world.move_clock(145.0);
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
fn a_suspended_renewal_leaves_no_second_channel() {
    let mut world = followed(&CALENDAR, 3);
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "1");
    world.sim.fault(json!({ "fault": "stall", "method": "events.watch", "times": 1 }));
    let run = world.spawn(&["calendar", "renew-watches"]);
    world.wait_for_stall();
    let pid = i32::try_from(run.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("a signal");
    world.wait_until_leases_lapse();
    world.sim.clear_faults();
    renew(&world).expect(0);
    world.sim.admin("release", json!({}));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("a signal");
    run.wait_with_output().expect("it ends");
    assert_eq!(by_resource(&world).into_values().max(), Some(1), "a stream has two");
    assert_in_step(&world);
}

#[test]
fn mailboxes_are_watched_and_a_new_watch_takes_the_place_of_the_old_one() {
    let mut world = World::of(&GMAIL, 2, 4);
    world.set("SYNCCTL_PUSH_GMAIL_TOPIC", "projects/acme/topics/mail");
    world.sync_all().expect(0);
    let report = renew(&world).expect(0).json();
    assert_eq!(report["push"]["made"], json!(2), "{report}");
    assert_eq!(watched_mailboxes(&world), 2);
    world.move_clock(150.0);
    let report = renew(&world).expect(0).json();
    assert_eq!((&report["push"]["renewed"], &report["push"]["stopped"]), (&json!(2), &json!(2)), "{report}");
    assert_eq!((watched_mailboxes(&world), stored(&world).len()), (2, 2));
    assert_eq!(world.sim.ledger()["by_method"]["users.stop"].as_u64().unwrap_or(0), 0, "the old one is gone by itself");
    world.set("SYNCCTL_PUSH_GMAIL_TOPIC", "");
    renew(&world).expect(0);
    assert_eq!((watched_mailboxes(&world), stored(&world).len()), (0, 0));
}

#[test]
fn a_grant_is_revoked_after_its_channels_were_stopped_and_what_was_synced_stays() {
    for service in [&CALENDAR, &GMAIL] {
        let world = followed(service, 2);
        world.syncctl(&[service.name, "renew-watches"]).expect(0);
        let users: Vec<String> = world.sim.users().into_iter().collect();
        let of = |user: &str| by_resource(&world).keys().filter(|key| key.starts_with(user)).count();
        let (had, stored) = (of(&users[0]), world.stored());
        assert!(had > 0);
        let reported = world.syncctl(&["accounts", "revoke", &users[0], "--json"]).expect(0).json();
        assert_eq!((&reported["grant"], &reported["channels_stopped"]), (&json!("revoked"), &json!(had)), "{reported}");
        assert_eq!((of(&users[0]), of(&users[1])), (0, had));
        assert_eq!(world.stored(), stored);
        // That user is no longer called, and the other one is unaffected.
        world.sim.admin("ledger/reset", json!({}));
        world.sync_all().expect(0);
        let ledger = world.sim.ledger();
        assert!(ledger["by_user"].get(&users[0]).is_none() && ledger["oauth"]["refused"] == 0, "{ledger}");
        assert!(ledger["by_user"].get(&users[1]).is_some(), "{ledger}");
    }
}
