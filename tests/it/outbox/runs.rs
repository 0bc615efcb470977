//! Runs that die, overlap, are cut short, or belong to a sync.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{documents, in_state, settings, world};
use crate::support::receiver::{Receiver, Reply};
use crate::support::waiting::until;

#[test]
fn what_a_killed_run_had_sent_and_not_recorded_is_sent_again() {
    let receiver = Receiver::start();
    receiver.answer(|request| if request.number > 300 { Reply::Hold } else { Reply::Status(200) });
    let world = world(&[("n8n", &receiver, "")], "");
    let ids: BTreeSet<String> = world.emit("drive.file.modified", &documents(400)).iter().map(ToString::to_string).collect();
    let mut child = world.spawn(&["deliver"]);
    receiver.wait_for(301);
    child.kill().expect("kill -9");
    child.wait().expect("the end");
    receiver.release();
    receiver.answer(|_| Reply::Status(200));
    // Its lease holds: other runs must not consider these free.
    let held = world.rows("outbox_deliveries WHERE claimed_until > now()");
    assert!(held >= 100, "{held} claimed");
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(in_state(&world, "pending"), held);
    world.execute("UPDATE outbox_deliveries SET claimed_until = now() - interval '1 second' WHERE claimed_until IS NOT NULL");
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(in_state(&world, "delivered"), 400);
    let keys: Vec<String> = receiver.requests().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), ids, "each at least once");
    assert!(keys.len() <= 400 + held as usize, "what was recorded is not sent again: {}", keys.len());
}

#[test]
fn two_runs_at_once_deliver_each_event_once() {
    let receiver = Receiver::start();
    let world = world(&[("n8n", &receiver, "")], "");
    let documents = documents(500);
    let chains: Vec<_> = documents.iter().cycle().take(2000).copied().collect();
    let ids = world.emit("drive.file.modified", &chains);
    let children = [world.spawn(&["deliver", "--json"]), world.spawn(&["deliver", "--json"])];
    let mut delivered = 0;
    for child in children {
        let output = child.wait_with_output().expect("the end");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        delivered += report["targets"][0]["delivered"].as_u64().expect("a number");
    }
    // One of them may have ended while the other held the heads of all chains.
    assert_eq!(delivered, 2000);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2000);
    let position = |id: &uuid::Uuid| requests.iter().position(|request| request.key() == id.to_string()).expect("delivered");
    for chain in 0..20 {
        let places: Vec<usize> = (0..4).map(|nth| position(&ids[chain + nth * 500])).collect();
        assert!(places.is_sorted(), "document {chain}: {places:?}");
    }
}

#[test]
fn a_slow_target_does_not_delay_another() {
    let (slow, fast) = (Receiver::start(), Receiver::start());
    slow.answer(|_| Reply::Hold);
    let world = world(&[("slow", &slow, ""), ("fast", &fast, "")], "timeout = \"50s\"");
    world.emit("drive.file.modified", &documents(50));
    let child = world.spawn(&["deliver"]);
    slow.wait_for(8);
    fast.wait_for(50);
    assert_eq!(slow.requests().len(), 8, "no more than its concurrency");
    slow.release();
    assert_eq!(child.wait_with_output().expect("the end").status.code(), Some(0));
    assert_eq!(in_state(&world, "delivered"), 100);
}

#[test]
fn a_stopped_run_ends_its_requests_and_releases_the_rest() {
    let receiver = Receiver::start();
    receiver.answer(|_| Reply::Hold);
    let world = world(&[("n8n", &receiver, "")], "");
    world.emit("drive.file.modified", &documents(50));
    let child = world.spawn(&["deliver"]);
    receiver.wait_for(8);
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    // Only the child's own handler shows when the signal has arrived; a request that begins later would be seen below.
    until("the signal has arrived", || signal_arrived(child.id()));
    receiver.release();
    assert_eq!(child.wait_with_output().expect("the end").status.code(), Some(0));
    let delivered = in_state(&world, "delivered");
    assert!((8..50).contains(&delivered), "{delivered} delivered");
    assert_eq!(world.rows("outbox_deliveries WHERE claimed_by IS NOT NULL"), 0);
}

/// Whether no SIGTERM is pending any longer.
fn signal_arrived(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().filter(|line| line.starts_with("SigPnd") || line.starts_with("ShdPnd"));
    pending.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()).all(|mask| mask & (1 << 14) == 0)
}

#[test]
fn a_sync_delivers_at_its_end() {
    let receiver = Receiver::start();
    let world = world(&[("n8n", &receiver, "")], "");
    world.emit("drive.file.modified", &documents(3));
    world.syncctl(&["calendar", "cron", "--dry-run"]).expect(0);
    assert_eq!(receiver.requests().len(), 0, "a dry run sends nothing");
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(receiver.requests().len(), 3);
}

#[test]
fn a_target_neither_fails_nor_delays_a_sync() {
    let receiver = Receiver::start();
    receiver.answer(|_| Reply::Hold);
    let world = world(&[("n8n", &receiver, "")], "run_budget = \"5s\"\ntimeout = \"5m\"");
    world.emit("drive.file.modified", &documents(30));
    let started = Instant::now();
    let ran = world.syncctl(&["calendar", "cron"]).expect(0);
    assert!(started.elapsed() < Duration::from_secs(300), "it waited as long as the target may take: {:?}", started.elapsed());
    assert!(ran.stderr.contains("events were not delivered"), "{}", ran.stderr);
    assert_eq!(world.results_in("calendar", "completed"), 1);
    // Its circuit is open now, and for a while no sync sends a request.
    receiver.take();
    let quiet = world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!((receiver.take().len(), quiet.stderr.as_str()), (0, ""));
}

#[test]
fn a_dry_run_says_what_is_due_and_changes_nothing() {
    let receiver = Receiver::start();
    let world = world(&[("n8n", &receiver, "events = [\"drive.*\"]")], "");
    world.emit("drive.file.modified", &documents(3));
    world.emit("gmail.message.detected", &documents(2));
    let report = world.syncctl(&["deliver", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(report["targets"][0]["due"], 3, "{report}");
    assert_eq!((receiver.connections(), world.rows("outbox_deliveries")), (0, 0));
}

#[test]
fn a_replay_sends_one_event_again_with_its_key() {
    let receiver = Receiver::start();
    let world = world(&[("n8n", &receiver, "events = [\"drive.*\"]")], "");
    let ids = world.emit("drive.file.modified", &documents(3));
    let unwanted = world.emit("gmail.message.detected", &documents(1));
    world.syncctl(&["deliver"]).expect(0);
    receiver.take();
    world.syncctl(&["deliver", "--replay", &ids[1].to_string()]).expect(0);
    let keys: Vec<String> = receiver.take().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!(keys, [ids[1].to_string()]);
    world.syncctl(&["deliver", "--replay", &unwanted[0].to_string()]).expect(2);
    let unknown = world.syncctl(&["deliver", "--replay", "00000000-0000-4000-8000-000000000000"]).expect(2);
    assert!(unknown.stderr.contains("no event 00000000"), "{}", unknown.stderr);
}

#[test]
fn old_events_are_deleted_unless_a_delivery_waits_for_them() {
    let (receiver, broken) = (Receiver::start(), Receiver::start());
    broken.answer(|_| Reply::Status(500));
    let mut world = world(&[("n8n", &receiver, "events = [\"drive.*\"]"), ("broken", &broken, "events = [\"gmail.*\"]")], "");
    world.emit("drive.file.modified", &documents(3));
    let waiting = world.emit("gmail.message.detected", &documents(1));
    world.syncctl(&["deliver"]).expect(1);
    world.execute("UPDATE outbox_events SET created_at = now() - interval '31 days'");
    let fresh = world.emit("drive.file.modified", &documents(1));
    let report = world.syncctl(&["deliver", "--json"]).expect(1).json();
    assert_eq!(report["forgotten"], 3, "{report}");
    let remaining: Vec<uuid::Uuid> =
        world.query("SELECT id FROM outbox_events ORDER BY seq").iter().map(|row| row.get(0)).collect();
    assert_eq!(remaining, [waiting[0], fresh[0]]);
    // Nothing waits for a target that is no longer in the settings.
    settings(&mut world, &[("n8n", &receiver, "")], "allow_private = true");
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(world.outbox_events(), 1);
}
