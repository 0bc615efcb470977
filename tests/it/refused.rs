//! Accounts that are not called: refused by the provider, or ended here on purpose; their messages and remedies.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::World;
use crate::support::receiver::Receiver;
use crate::support::service::CALENDAR;

fn users(world: &World) -> Vec<String> {
    world.sim.users().into_iter().collect()
}

fn explained(world: &World, user: &str) -> String {
    world.syncctl(&["sync", "explain", user]).expect(0).stdout
}

#[test]
fn an_account_that_was_ended_on_purpose_has_its_own_state_and_raises_no_alarm() {
    let world = World::with_users(2, 3);
    world.syncctl(&["sync", "cron"]).expect(0);
    let user = users(&world).remove(0);
    world.syncctl(&["accounts", "revoke", &user]).expect(0);
    let listed = world.syncctl(&["accounts", "list", "--json"]).expect(0).json();
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&json!("ended"), &json!("active")), "{listed}");
    let status = world.syncctl(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["failing"], &status["accounts_ended"]), (&json!([]), &json!(1)), "{status}");
    let shown = world.syncctl(&["status"]).expect(0).stdout;
    assert!(shown.contains("1 ended on purpose"), "{shown}");
    let doctor = world.syncctl(&["doctor", "--json"]).expect(0).json();
    let lines = doctor["checks"].as_array().expect("checks");
    let about = |level: &str| lines.iter().filter(|line| line["check"] == "credentials" && line["level"] == level).count();
    assert_eq!((about("warn"), about("fail")), (0, 0), "{doctor:#}");
    assert!(
        lines
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.contains("1 of 2 accounts were ended on purpose")))
    );
    let metrics = world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout;
    assert!(metrics.lines().any(|line| line == "syncctl_accounts_ended{} 1.0"), "{metrics}");
    assert!(!metrics.contains("syncctl_accounts_failing{"), "{metrics}");
    let text = explained(&world, &user);
    assert!(text.contains("ended on purpose") && text.contains("accounts login"), "{text}");
    assert!(!text.contains("next at") && !text.contains("retried"), "{text}");
    // It is not called, whatever a check finds, until there are new credentials.
    world.syncctl(&["accounts", "check", &user]).expect(77);
    assert_eq!(world.accounts_in("ended"), 1);
    world.sim.admin("restore", json!({ "user": user }));
    world.import();
    world.sync_all().expect(0);
    world.assert_in_step();
    assert_eq!(world.accounts_in("active"), 2);
}

#[test]
fn explain_says_of_a_refused_user_what_is_so() {
    let world = World::of(&CALENDAR, 1, 3);
    let user = users(&world).remove(0);
    world.sync_all().expect(0);
    world.sim.admin("revoke", json!({ "user": user }));
    world.sim.admin("expire", json!({ "what": "access_tokens" }));
    world.sync_all().expect(77);
    let text = explained(&world, &user);
    assert!(text.contains("not polled: the account has been revoked since"), "{text}");
    assert!(text.contains("a new token is requested at") && text.contains("have the user consent again"), "{text}");
    assert!(!text.contains("retried after") && !text.contains("next at"), "{text}");
    let answer = world.syncctl(&["sync", "explain", &user, "--json"]).expect(0).json();
    assert_eq!(answer[0]["account_state"], "revoked", "{answer}");
}

/// This many users with a service account, which may no longer act for one of them.
fn delegated(count: u32) -> (World, String) {
    let mut world = World::empty();
    world.set("SYNCCTL_DRIVE_ENABLED", "false");
    world.sim.generate(count, 2);
    world.syncctl_with_input(&["accounts", "import", "-"], &world.sim.text("accounts?kind=service_account")).expect(0);
    let user = users(&world).remove(0);
    world.sim.admin("scopes", json!({ "user": user, "scopes": [] }));
    (world, user)
}

/// What an administrator enters, and where.
#[track_caller]
fn assert_delegation(text: &str) {
    let scopes = "https://www.googleapis.com/auth/calendar.readonly,https://www.googleapis.com/auth/gmail.readonly";
    for part in ["client id 1 ", scopes, "Manage domain-wide delegation", "accounts check --all --failing"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(!text.contains("consent"), "there is no consent: {text}");
    assert!(!text.contains("drive.readonly"), "drive is switched off: {text}");
}

fn remedies(world: &World) -> Vec<String> {
    let doctor = world.syncctl(&["doctor", "--all-users", "--json"]).json();
    let lines = doctor["checks"].as_array().expect("checks").clone();
    let relevant = lines.iter().filter(|line| ["credentials", "streams"].contains(&line["check"].as_str().unwrap_or_default()));
    relevant.filter_map(|line| line["remedy"].as_str().map(str::to_owned)).collect()
}

#[test]
fn the_remedy_of_a_service_account_names_what_to_enter_and_where() {
    let (world, user) = delegated(2);
    world.syncctl(&["calendar", "cron"]).expect(1);
    let remedies_found = remedies(&world);
    assert!(remedies_found.len() >= 2, "{remedies_found:?}");
    remedies_found.iter().for_each(|remedy| assert_delegation(remedy));
    let answer: Value = world.syncctl(&["accounts", "list", "--json"]).expect(0).json();
    assert_delegation(answer[0]["remedy"].as_str().unwrap_or_default());
    assert_eq!(answer[1]["remedy"], Value::Null);
    // A day of refusals later.
    world.execute(
        "UPDATE accounts SET refused_at = refused_at - interval '25 hours', ask_at = now() WHERE refused_at IS NOT NULL",
    );
    world.syncctl(&["calendar", "poll", &user]);
    assert_eq!(world.accounts_in("revoked"), 1);
    assert_delegation(&explained(&world, &user));
    remedies(&world).iter().for_each(|remedy| assert_delegation(remedy));
    assert_delegation(&world.syncctl(&["status"]).expect(0).stdout);
    let check = world.syncctl(&["accounts", "check", &user, "--json"]).expect(77).json();
    assert_delegation(check[0]["remedy"].as_str().unwrap_or_default());
}

#[test]
fn a_check_of_the_failing_ones_checks_no_other() {
    let (world, user) = delegated(4);
    world.syncctl(&["calendar", "cron"]).expect(1);
    world.sim.reset_ledger();
    let check = world.syncctl(&["accounts", "check", "--all", "--failing", "--json"]).expect(77).json();
    assert_eq!((check.as_array().map(Vec::len), &check[0]["email"]), (Some(1), &json!(user)), "{check}");
    assert_eq!(world.sim.ledger()["by_user"], json!({}), "no other user was called");
    let all = ["calendar", "drive", "gmail"].map(|name| format!("https://www.googleapis.com/auth/{name}.readonly"));
    world.sim.admin("scopes", json!({ "user": user, "scopes": all }));
    world.syncctl(&["accounts", "check", "--all", "--failing"]).expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
    let none = world.syncctl(&["accounts", "check", "--failing"]).expect(0);
    assert!(none.stdout.contains("no account fails"), "{none:?}");
}

/// This many users in sync. From now on the token endpoint refuses all of them, and no cached token is left.
fn refused(users: u32) -> World {
    let world = World::with_users(users, 3);
    world.sync_all().expect(0);
    world.forget_access_tokens();
    world.make_all_due();
    world.sim.fault(json!({ "fault": "invalid_grant", "probability": 1.0, "method": "token" }));
    world
}

#[test]
fn a_domain_whose_accounts_are_all_refused_fails_every_run_and_is_reported_everywhere() {
    let mut world = refused(12);
    let receiver = Receiver::start();
    world.set("SYNCCTL_HEALTHCHECKS_URL", format!("{}/ping/{{job}}", receiver.url().replace("/hook", "")));
    let success = |world: &World| -> SystemTime {
        world.query("SELECT max(ended_at) FROM runs WHERE job = 'calendar cron' AND status = 'completed'")[0].get(0)
    };
    let before = success(&world);
    for number in 1..=3 {
        let run = world.syncctl(&["calendar", "cron"]).expect(77);
        assert!(run.stdout.starts_with("calendar cron: failed"), "run {number}: {run:#?}");
        assert!(run.stderr.contains("12 of 12 accounts are refused"), "run {number}: {run:#?}");
        assert!(run.stderr.lines().count() <= 3 && !run.stderr.contains('@'), "run {number}: {run:#?}");
        let end = receiver.take().pop().expect("the end is pinged");
        assert!(end.path.starts_with("/ping/calendar-cron/77?") && end.body.contains("12 of 12"), "{end:?}");
    }
    assert_eq!(success(&world), before, "last success moved on");
    let status = world.syncctl(&["status"]).expect(0).stdout;
    assert!(status.contains("12 of 12 accounts are refused") && !status.contains("no streams yet"), "{status}");
    let doctor = world.syncctl(&["doctor", "--offline"]).expect(1).stdout;
    assert!(doctor.lines().any(|line| line.starts_with("FAIL") && line.contains("12 of 12 accounts are refused")), "{doctor}");
    let metrics = world.syncctl(&["metrics", "--prometheus"]).expect(0).stdout;
    assert!(metrics.contains("syncctl_accounts{} 12.0\n") && metrics.contains("syncctl_accounts_refused{} 12.0\n"), "{metrics}");
    // They work again, and so do the runs.
    world.sim.clear_faults();
    world.import();
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_few_refused_accounts_are_no_failure_of_a_run_and_more_than_the_share_are() {
    let mut world = refused(12);
    let revoke = |count: u32| {
        world.execute(&format!(
            "WITH few AS (SELECT user_id FROM accounts ORDER BY user_id LIMIT {count}),
               of_few AS (UPDATE streams SET state = 'revoked' WHERE user_id IN (SELECT user_id FROM few))
             UPDATE accounts SET state = 'revoked', state_reason = 'invalid_grant', ask_at = now() + interval '1 day' WHERE user_id IN (SELECT user_id FROM few)"
        ));
    };
    world.sim.clear_faults();
    revoke(1);
    let run = world.syncctl(&["calendar", "cron"]).expect(0);
    assert!(run.stdout.contains("1 of 12 accounts are refused"), "{run:#?}");
    revoke(2);
    let run = world.syncctl(&["calendar", "cron", "--json"]).expect(1);
    assert_eq!(run.json()["status"], "partial");
    assert!(run.stderr.contains("2 of 12 accounts are refused"), "{run:#?}");
    let failed = |world: &World| world.syncctl(&["doctor", "--offline"]).stdout.contains("FAIL  credentials");
    assert!(failed(&world));
    world.set("SYNCCTL_ENGINE_REFUSED_SHARE", "0.5");
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert!(!failed(&world));
}

#[test]
fn accounts_that_wait_after_a_refusal_are_refused_too() {
    let world = refused(2);
    world.sim.clear_faults();
    world.sim.fault(json!({
        "fault": "answer", "probability": 1.0, "method": "token", "status": 401,
        "body": { "error": "unauthorized_client", "error_description": "Client is unauthorized to retrieve access tokens using this method." },
    }));
    world.syncctl(&["calendar", "cron"]).expect(77);
    // Their streams are not due for a while.
    let run = world.syncctl(&["calendar", "cron"]).expect(77);
    assert!(run.stderr.contains("2 of 2 accounts are refused"), "{run:#?}");
}

#[test]
fn accounts_that_were_ended_on_purpose_are_not_refused() {
    let world = World::with_users(2, 3);
    world.sync_all().expect(0);
    let user = world.first_user();
    world.syncctl(&["accounts", "revoke", &user]).expect(0);
    let run = world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    assert!(!run.stdout.contains("refused"), "{run:#?}");
    let doctor = world.syncctl(&["doctor", "--offline"]).stdout;
    assert!(!doctor.contains("FAIL  credentials"), "{doctor}");
}

/// Their streams are postponed by a day, and not due before.
#[test]
fn a_service_that_no_account_may_use_fails_every_run_too() {
    let world = refused(3);
    world.sim.clear_faults();
    world.sim.admin("api", json!({ "enabled": false }));
    world.syncctl(&["calendar", "cron"]).expect(1);
    let run = world.syncctl(&["calendar", "cron"]).expect(1);
    assert!(run.stdout.starts_with("calendar cron: failed"), "{run:#?}");
    assert!(run.stderr.contains("3 of 3 accounts are refused") && run.stderr.contains("accessNotConfigured"), "{run:#?}");
    world.sim.admin("api", json!({ "enabled": true }));
    world.syncctl(&["accounts", "check"]).expect(0);
    world.syncctl(&["calendar", "cron"]).expect(0);
}

#[test]
fn a_comparison_that_left_refused_accounts_out_is_not_in_step() {
    let world = refused(2);
    world.syncctl(&["calendar", "cron"]).expect(77);
    let run = world.syncctl(&["verify", "calendar", "--all"]).expect(77);
    assert!(
        run.stdout.contains("2 of 2 accounts are refused") && run.stdout.ends_with("not everything was compared\n"),
        "{run:#?}"
    );
}
