//! Accounts that are not called: refused by the provider, or ended here on purpose; what is said of each, and what there is to do.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::CALENDAR;

fn users(world: &World) -> Vec<String> {
    world.sim.users().into_iter().collect()
}

fn explained(world: &World, user: &str) -> String {
    world.syncctl(&["sync", "explain", user]).expect(0).stdout
}

#[test]
fn an_account_that_was_revoked_on_purpose_is_no_alarm_and_a_state_of_its_own() {
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
    assert!(!text.contains("next at") && !text.contains("tried again"), "{text}");
    // Nothing asks for it, whatever a check says, until there are new credentials.
    world.syncctl(&["accounts", "check", &user]).expect(77);
    assert_eq!(world.count("SELECT count(*) FROM accounts WHERE state = 'ended'"), 1);
    world.sim.admin("restore", json!({ "user": user }));
    world.import();
    world.sync_all().expect(0);
    world.assert_in_step();
    assert_eq!(world.count("SELECT count(*) FROM accounts WHERE state = 'active'"), 2);
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
    assert!(text.contains("not polled: the account is revoked since"), "{text}");
    assert!(text.contains("asked for a token again at") && text.contains("let the user consent anew"), "{text}");
    assert!(!text.contains("tried again after") && !text.contains("next at"), "{text}");
    let told = world.syncctl(&["sync", "explain", &user, "--json"]).expect(0).json();
    assert_eq!(told[0]["account_state"], "revoked", "{told}");
}

/// So many users for whom a service account acts, one of whom it may not act for any more.
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
    assert!(!text.contains("consent"), "nobody consents: {text}");
    assert!(!text.contains("drive.readonly"), "drive is switched off: {text}");
}

fn remedies(world: &World) -> Vec<String> {
    let doctor = world.syncctl(&["doctor", "--all-users", "--json"]).json();
    let lines = doctor["checks"].as_array().expect("checks").clone();
    let wanted = lines.iter().filter(|line| ["credentials", "streams"].contains(&line["check"].as_str().unwrap_or_default()));
    wanted.filter_map(|line| line["remedy"].as_str().map(str::to_owned)).collect()
}

#[test]
fn the_remedy_of_a_service_account_names_what_to_enter_and_where() {
    let (world, user) = delegated(2);
    world.syncctl(&["calendar", "cron"]).expect(1);
    let found = remedies(&world);
    assert!(found.len() >= 2, "{found:?}");
    found.iter().for_each(|remedy| assert_delegation(remedy));
    let told: Value = world.syncctl(&["accounts", "list", "--json"]).expect(0).json();
    assert_delegation(told[0]["remedy"].as_str().unwrap_or_default());
    assert_eq!(told[1]["remedy"], Value::Null);
    // A day of refusals later.
    world.execute(
        "UPDATE accounts SET refused_at = refused_at - interval '25 hours', ask_at = now() WHERE refused_at IS NOT NULL",
    );
    world.syncctl(&["calendar", "poll", &user]);
    assert_eq!(world.count("SELECT count(*) FROM accounts WHERE state = 'revoked'"), 1);
    assert_delegation(&explained(&world, &user));
    remedies(&world).iter().for_each(|remedy| assert_delegation(remedy));
    assert_delegation(&world.syncctl(&["status"]).expect(0).stdout);
    let check = world.syncctl(&["accounts", "check", &user, "--json"]).expect(77).json();
    assert_delegation(check[0]["remedy"].as_str().unwrap_or_default());
}

#[test]
fn a_check_of_the_failing_ones_asks_for_nobody_else() {
    let (world, user) = delegated(4);
    world.syncctl(&["calendar", "cron"]).expect(1);
    world.sim.reset_ledger();
    let check = world.syncctl(&["accounts", "check", "--all", "--failing", "--json"]).expect(77).json();
    assert_eq!((check.as_array().map(Vec::len), &check[0]["email"]), (Some(1), &json!(user)), "{check}");
    assert_eq!(world.sim.ledger()["by_user"], json!({}), "nobody else was asked");
    let all = ["calendar", "drive", "gmail"].map(|name| format!("https://www.googleapis.com/auth/{name}.readonly"));
    world.sim.admin("scopes", json!({ "user": user, "scopes": all }));
    world.syncctl(&["accounts", "check", "--all", "--failing"]).expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
    let none = world.syncctl(&["accounts", "check", "--failing"]).expect(0);
    assert!(none.stdout.contains("no account fails"), "{none:?}");
}
