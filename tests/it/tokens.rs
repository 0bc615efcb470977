//! The token endpoint: only its own verdict revokes a grant, and a revoked one is tried again automatically, rarely.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::answer::{answer, with};

/// This many users, the first half with a service account, synced once; each later run requests new tokens.
fn synced(users: u32) -> World {
    let mut world = World::empty();
    world.sim.generate(users, 3);
    world.syncctl_with_input(&["accounts", "import", "-"], &world.accounts_of_both_kinds()).expect(0);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    forget_tokens(&world);
    world
}

fn forget_tokens(world: &World) {
    world.forget_access_tokens();
}

fn revoked(world: &World) -> i64 {
    world.accounts_in("revoked")
}

fn token_requests(world: &World) -> Value {
    world.sim.ledger()["oauth"]["refreshes"].clone()
}

/// Every answer that is no verdict on a grant, whatever it looks like.
fn bad_minutes() -> Vec<Value> {
    let mut ways = vec![answer("token-server-error.http"), answer("token-proxy-403.http")];
    for status in [500, 503, 504, 408, 429] {
        ways.push(json!({ "fault": "answer", "status": status, "body": { "error": "invalid_grant" } }));
    }
    for (status, code) in [(400, "internal_failure"), (400, "server_error"), (403, "rate_limit_exceeded")] {
        ways.push(json!({ "fault": "answer", "status": status, "body": { "error": code } }));
    }
    ways.push(json!({ "fault": "answer", "status": 407, "body": { "error": "Proxy Authentication Required" } }));
    ways.push(json!({ "fault": "answer", "status": 403, "body": "<html>blocked by policy</html>" }));
    ways.push(json!({ "fault": "connection_reset" }));
    ways
}

#[test]
fn no_outage_of_the_token_endpoint_revokes_an_account_and_all_are_synced_afterwards() {
    let world = synced(4);
    for fault in bad_minutes() {
        world.churn(8, 3);
        forget_tokens(&world);
        world.sim.fault(with(fault.clone(), json!({ "method": "token" })));
        // Several runs, like cron's, while it lasts.
        for _ in 0..2 {
            let run = world.sync_all();
            assert!([1, 69].contains(&run.code), "{fault}: {run:#?}");
        }
        assert_eq!(revoked(&world), 0, "{fault}");
        world.sim.clear_faults();
        // The longest wait of a stream after failures of this kind.
        world.move_database_clock(1.1);
        world.syncctl(&["calendar", "cron"]).expect(0);
        world.assert_in_step();
    }
}

#[test]
fn a_session_that_the_workspace_ends_says_what_its_administrator_does() {
    for (fault, remedy) in [
        (answer("token-invalid-rapt.http"), "session control"),
        (json!({ "fault": "answer", "body": { "error": "admin_policy_enforced" } }), "API controls"),
    ] {
        let world = synced(2);
        world.sim.fault(with(fault, json!({ "method": "token" })));
        let run = world.sync_all().expect(77);
        assert!(run.stderr.contains(remedy), "{}", run.stderr);
        let listed = world.syncctl(&["accounts", "list"]).expect(0).stdout;
        assert!(listed.contains(remedy), "{listed}");
    }
}

#[test]
fn a_revoked_account_that_works_again_is_synced_again_by_itself() {
    let world = synced(4);
    world.sim.fault(json!({ "fault": "invalid_grant", "method": "token" }));
    world.sync_all().expect(77);
    assert_eq!(revoked(&world), 4);
    world.sim.clear_faults();
    world.churn(20, 1);
    world.sim.reset_ledger();
    world.syncctl(&["calendar", "cron"]).expect(77);
    assert_eq!(token_requests(&world), 0, "asked within a day");
    world.move_database_clock(25.0);
    let run = world.syncctl(&["calendar", "cron", "--json"]).expect(0).json();
    assert_eq!((&run["revived_accounts"], &token_requests(&world), revoked(&world)), (&json!(4), &json!(4), 0));
    world.assert_in_step();
}

#[test]
fn an_account_that_is_renewed_while_its_old_grant_is_being_refused_goes_on() {
    let world = synced(2);
    let user = world.first_user();
    world.sim.admin("revoke", json!({ "user": user }));
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "times": 1, "method": "token", "user": user }));
    let run = world.spawn(&["calendar", "poll", &user]);
    world.wait_for_stall();
    world.syncctl_with_input(&["accounts", "import", "-"], &world.accounts_of_both_kinds()).expect(0);
    world.sim.admin("release", json!({}));
    run.wait_with_output().expect("the run ends");
    assert_eq!(revoked(&world), 0, "the verdict was on the old grant");
    assert_eq!(world.streams_in("revoked"), 0);
    world.sim.admin("restore", json!({ "user": user }));
    world.churn(4, 1);
    world.move_database_clock(1.1);
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_grant_that_is_gone_costs_one_question_a_day_and_later_one_a_week_whatever_runs() {
    let world = synced(4);
    world.sim.fault(json!({ "fault": "invalid_grant", "method": "token" }));
    world.sync_all().expect(77);
    let mut questions = Vec::new();
    for day in 0..24 {
        world.move_database_clock(24.0);
        world.sim.reset_ledger();
        for job in ["calendar cron", "drive cron", "gmail cron", "sync cron"] {
            let words: Vec<&str> = job.split(' ').collect();
            let run = world.syncctl(&words).expect(77);
            let all_refused = run.stderr.lines().all(|line| line.contains("4 of 4 accounts are refused"));
            assert!(all_refused, "more than that on day {day}: {}", run.stderr);
        }
        questions.push(token_requests(&world).as_u64().expect("a number") / 4);
    }
    assert_eq!(questions[..7], [1; 7], "{questions:?}");
    assert!((2..=4).contains(&questions[8..].iter().sum::<u64>()), "{questions:?}");
}

#[test]
fn one_that_was_ended_on_purpose_is_not_asked_for() {
    let world = synced(2);
    let user = world.first_user();
    world.syncctl(&["accounts", "revoke", &user]).expect(0);
    world.sim.admin("restore", json!({ "user": user }));
    world.move_database_clock(500.0);
    world.syncctl(&["sync", "cron"]).expect(0);
    assert_eq!(world.accounts_in("ended"), 1);
}

#[test]
fn a_slow_delegation_revokes_no_account_and_a_missing_one_does_after_a_day() {
    let world = synced(2);
    world.churn(10, 1);
    let delegated =
        world.query("SELECT u.email FROM accounts a JOIN users u ON u.id = a.user_id WHERE a.kind = 'service_account'");
    let user: String = delegated[0].get(0);
    let all = json!(["calendar", "drive", "gmail"].map(|name| format!("https://www.googleapis.com/auth/{name}.readonly")));
    world.sim.admin("scopes", json!({ "user": user, "scopes": [] }));
    let run = world.sync_all().expect(1);
    assert!(run.json()["errors"]["client_refused"]["count"].as_u64() > Some(0), "{}", run.stdout);
    assert_eq!(revoked(&world), 0);
    // One answer covers all streams and runs of the next minutes.
    world.sim.reset_ledger();
    world.syncctl(&["sync", "cron", "--force"]).expect(1);
    assert_eq!(token_requests(&world), 0);
    world.sim.admin("scopes", json!({ "user": user, "scopes": all }));
    world.move_database_clock(1.1);
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();

    world.sim.admin("scopes", json!({ "user": user, "scopes": [] }));
    forget_tokens(&world);
    world.sync_all().expect(1);
    world.move_database_clock(25.0);
    world.sync_all().expect(1);
    assert_eq!(revoked(&world), 1);
    world.sim.admin("scopes", json!({ "user": user, "scopes": all }));
    world.move_database_clock(25.0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(revoked(&world), 0);
}
