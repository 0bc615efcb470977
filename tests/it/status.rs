//! `status`: what is due, how the jobs went, what fails and what to do about it.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::support::World;

#[test]
fn one_screen_shows_what_is_due_what_ran_and_what_fails_with_remedies() {
    let world = World::with_users(3, 10);
    let empty = world.syncctl(&["status"]).expect(0).stdout;
    assert!(empty.contains("no job has run yet"), "{empty}");
    world.sync_all().expect(0);
    world.sim.churn(12, 3);
    world.sync_all().expect(0);
    let user = world.first_user();
    world.sim.admin("scopes", json!({ "user": user, "scopes": [] }));
    world.sim.admin("expire", json!({ "what": "access_tokens" }));
    world.sync_all().expect(1);

    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    let service =
        |name: &str| status["services"].as_array().and_then(|all| all.iter().find(|one| one["service"] == name)).cloned();
    let calendar = service("calendar").expect("calendar");
    assert_eq!((&calendar["streams"], &calendar["failing"], &calendar["stopped"]), (&json!(6), &json!(2), &json!(2)), "{status}");
    assert!(service("gmail").expect("gmail")["due"].as_u64() == Some(3), "{status}");
    assert!(status["delay_p95_seconds"]["calendar"].as_f64().is_some(), "{status}");
    let job = &status["jobs"][0];
    assert_eq!((&job["job"], &job["status"]), (&json!("calendar cron"), &json!("partial")), "{status}");
    assert!(job["success_age_seconds"].is_number() && job["error"].as_str().is_some_and(|error| error.contains("scope_missing")));
    let failing = &status["failing"][0];
    assert_eq!((&failing["class"], &failing["owners"], &failing["streams"]), (&json!("scope_missing"), &json!(1), &json!(2)));

    let text = world.syncctl(&["status"]).expect(0).stdout;
    assert!(text.contains("grant the scope") && text.contains(&user), "{text}");
    assert!(!text.contains('\u{1b}'), "colours without a terminal: {text:?}");
    let listed = world.syncctl(&["accounts", "list"]).expect(0).stdout;
    assert!(listed.contains("grant the scope"), "{listed}");
}

#[test]
fn a_run_that_died_an_account_that_is_revoked_and_an_outbox_that_waits_are_seen() {
    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    world.execute(
        "UPDATE runs SET status = 'running', ended_at = NULL, alive_until = now() - interval '1 minute';
         UPDATE accounts SET state = 'revoked', state_reason = 'invalid_grant';
         UPDATE streams SET state = 'revoked';
         INSERT INTO outbox_events (id, type, subject, user_id, payload, created_at)
           SELECT gen_random_uuid(), 't', gen_random_uuid(), id, '{}', now() - interval '2 hours' FROM users;
         INSERT INTO quarantined_items (stream_id, item_id, raw, error) SELECT min(id), 'x', '{}', 'odd' FROM streams;",
    );
    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    assert_eq!(status["jobs"][0]["is_dead"], true, "{status}");
    assert_eq!(status["failing"][0]["class"], "auth_revoked", "{status}");
    assert!(status["outbox"]["oldest_seconds"].as_f64().is_some_and(|age| age > 7000.0), "{status}");
    assert_eq!(status["quarantine"][0]["items"], 1, "{status}");
    let text = world.syncctl(&["status"]).expect(0).stdout;
    for part in ["died", "have the user consent again", "1 events", "syncctl items list"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn summaries_of_other_programs_hide_none_of_ours() {
    let world = World::empty();
    let summary = |delays: &str| {
        world.execute(&format!("INSERT INTO calendar_cron_summaries (summary_data) VALUES ('{{\"delays\": {delays}}}')"));
    };
    world.execute("INSERT INTO calendar_cron_summaries (summary_data) VALUES (NULL), ('1'), ('[]')");
    for odd in [r#"{"count": "three"}"#, r#"{"count": [3]}"#, r#"{"count": 2, "buckets": {}}"#, r#"{"count": 1e99}"#, "7"] {
        summary(odd);
    }
    summary(r#"{"count": 2, "sum_seconds": 1, "max_seconds": 1, "buckets": ["a"]}"#);
    summary(r#"{"count": 2, "sum_seconds": 3.5, "max_seconds": 3, "buckets": [1, 0, 1]}"#);
    world.user("ann@example.com");
    world.execute("INSERT INTO streams (user_id, service, kind, resource) SELECT id, 'calendar', 'list', '' FROM users");
    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    let delays = &status["services"][0]["delays"];
    assert_eq!((&delays["count"], &delays["sum_seconds"], &delays["buckets"]), (&json!(2), &json!(3.5), &json!([1, 0, 1])));
}

#[test]
fn watch_goes_on_until_it_is_interrupted_and_that_is_no_failure() {
    let world = World::with_users(1, 3);
    let mut child = world.spawn(&["status", "--watch", "1", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut frame = || -> Value {
        let mut text = String::new();
        // A frame ends with a brace at the beginning of a line.
        for line in lines.by_ref() {
            let line = line.expect("a line");
            text.push_str(&line);
            if line == "}" {
                break;
            }
        }
        serde_json::from_str(&text).expect("a frame of JSON")
    };
    let (first, second) = (frame(), frame());
    assert!(first["at"].as_str() < second["at"].as_str(), "{first} {second}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert_eq!(child.wait().expect("the end").code(), Some(0));
}

#[test]
fn a_status_that_this_version_does_not_know_is_an_error_that_names_it() {
    let world = World::with_users(1, 1);
    world.sync_all().expect(0);
    world.execute("UPDATE runs SET status = 'resting'");
    let refused = world.syncctl(&["status"]).expect(1);
    assert!(refused.stderr.contains("runs.status has the unknown value \"resting\""), "{}", refused.stderr);
}
