//! Accounts: imports, checks, seals.

use serde_json::{Value, json};

use crate::support::World;

#[test]
fn a_bad_line_is_reported_by_number_and_never_stops_the_good_ones() {
    let world = World::empty();
    world.sim.generate(2, 1);
    let accounts = world.sim.text("accounts");
    let mut lines: Vec<&str> = accounts.lines().collect();
    lines.insert(1, r#"{"email":"x"#);
    lines.insert(2, r#"{"email":"no-address","credentials":{}}"#);
    lines.insert(3, r#"{"email":"a@example.com","credentials":{"type":"api_key","key":"hunter2"}}"#);
    lines.push(r#"{"email":"b@example.com","credentials":{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":{"oops":"hunter2"}}}"#);
    let output = world.syncctl_with_input(&["accounts", "import", "-", "--json"], &lines.join("\n")).expect(1);
    let imported = output.json();
    assert_eq!(imported["added"], 2);
    let numbers: Vec<u64> = imported["bad"].as_array().expect("a list").iter().filter_map(|bad| bad[0].as_u64()).collect();
    assert_eq!(numbers, [2, 3, 4, 6]);
    assert!(!output.stdout.contains("hunter2") && !output.stderr.contains("hunter2"), "a secret was printed: {output:?}");
    assert!(output.stderr.contains("line 2:"), "{}", output.stderr);
}

#[test]
fn an_import_again_renews_and_keeps_what_was_synced() {
    let world = World::with_users(2, 5);
    world.sync_all().expect(0);
    let again = world.syncctl_with_input(&["accounts", "import", "-", "--json"], &world.sim.text("accounts")).expect(0).json();
    assert_eq!((&again["added"], &again["renewed"]), (&json!(0), &json!(2)));
    let report = world.sync_all().expect(0).json();
    assert_eq!(report["idle_streams"], report["streams"]);
    world.assert_in_step();
}

#[test]
fn a_service_account_acts_for_its_subjects() {
    let world = World::empty();
    world.sim.generate(3, 5);
    let accounts = world.sim.text("accounts?kind=service_account");
    world.syncctl_with_input(&["accounts", "import", "-"], &accounts).expect(0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
    let kinds = world.rows("accounts WHERE kind = 'service_account'");
    assert_eq!(kinds, 3);
}

#[test]
fn secrets_are_sealed_in_the_database_and_stay_out_of_logs() {
    let world = World::with_users(2, 2);
    let output = world.syncctl(&["calendar", "cron", "-vv"]).expect(0);
    let accounts = world.sim.text("accounts");
    let first: Value = serde_json::from_str(accounts.lines().next().expect("a line")).expect("JSON");
    let secret = first["credentials"]["refresh_token"].as_str().expect("a token");
    assert!(!output.stderr.contains(secret) && !output.stderr.contains("Bearer"), "{}", output.stderr);
    assert!(!output.stderr.contains('@'), "an address in the log: {}", output.stderr);
    let matches = world.rows(&format!("accounts WHERE position('{secret}'::bytea IN credentials) > 0"));
    assert_eq!(matches, 0);
}

#[test]
fn a_swapped_or_truncated_blob_names_the_account_and_stops_no_other() {
    let world = World::with_users(3, 3);
    world.execute(
        "UPDATE accounts a SET credentials = b.credentials FROM (SELECT user_id, credentials FROM accounts ORDER BY user_id LIMIT 1) b
         WHERE a.user_id = (SELECT user_id FROM accounts ORDER BY user_id OFFSET 1 LIMIT 1)",
    );
    world.execute(
        "UPDATE accounts SET credentials = substring(credentials FROM 1 FOR 20)
         WHERE user_id = (SELECT user_id FROM accounts ORDER BY user_id OFFSET 2 LIMIT 1)",
    );
    let run = world.syncctl(&["calendar", "cron", "--json"]).expect(1);
    let users = world.query("SELECT user_id::text FROM accounts ORDER BY user_id");
    let second: String = users[1].get(0);
    assert!(run.stderr.contains(&second), "{}", run.stderr);
    assert_eq!(run.json()["successful_users"], 1);
}

#[test]
fn rekey_seals_everything_with_the_new_key_and_the_old_one_can_go() {
    let world = World::with_users(4, 2);
    world.sync_all().expect(0);
    world.syncctl(&["accounts", "rekey", "--new-key"]).expect(0);
    let keys = world.folder.path().join("seal.keys");
    let text = std::fs::read_to_string(&keys).expect("the key file");
    assert_eq!(text.lines().count(), 2);
    let newest = text.lines().next().expect("a key");
    std::fs::write(&keys, format!("{newest}\n")).expect("forgetting the old key");
    world.sync_all().expect(0);
    world.execute("UPDATE accounts SET access_token = NULL");
    world.sync_all().expect(0);
}

#[test]
fn check_names_the_missing_scope_and_finds_a_revoked_grant_renewed() {
    let mut world = World::with_users(1, 2);
    // Disabled services need no scope.
    world.set("SYNCCTL_DRIVE_ENABLED", "false");
    world.set("SYNCCTL_GMAIL_ENABLED", "false");
    let user = world.first_user();
    world.syncctl(&["accounts", "check", &user]).expect(0);
    world.sim.admin("scopes", json!({ "user": user, "scopes": ["https://www.googleapis.com/auth/drive.readonly"] }));
    world.execute("UPDATE accounts SET access_token = NULL");
    let missing = world.syncctl(&["accounts", "check", &user]).expect(77);
    assert!(missing.stdout.contains("auth/calendar.readonly"), "{}", missing.stdout);
    world.sim.admin("scopes", json!({ "user": user, "scopes": ["https://www.googleapis.com/auth/calendar.readonly"] }));
    world.sim.admin("revoke", json!({ "user": user }));
    world.syncctl(&["accounts", "check", &user]).expect(77);
    assert_eq!(world.accounts_in("revoked"), 1);
    world.sim.admin("restore", json!({ "user": user }));
    world.syncctl(&["accounts", "check"]).expect(0);
    assert_eq!(world.accounts_in("revoked"), 0);
}

#[test]
fn removing_a_user_removes_everything_of_that_user_only() {
    let world = World::with_users(2, 5);
    world.sync_all().expect(0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.syncctl(&["accounts", "remove", &users[0], "--yes"]).expect(0);
    assert!(world.stored().keys().all(|(user, _, _)| *user == users[1]));
    assert_eq!(world.stored().len(), 5);
    let leftover = "SELECT count(*) FROM (SELECT stream_id FROM calendar_events UNION ALL SELECT stream_id FROM meetings) r
      WHERE stream_id NOT IN (SELECT id FROM streams)";
    assert_eq!(world.count(leftover), 0);
    world.syncctl(&["accounts", "remove", &users[0], "--yes"]).expect(2);
}

#[test]
fn a_revoked_grant_is_dead_at_google_and_only_new_credentials_bring_the_account_back() {
    let world = World::with_users(2, 2);
    world.sync_all().expect(0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.syncctl(&["accounts", "revoke", &users[0]]).expect(0);
    // The imported credentials are useless now.
    let check = world.syncctl(&["accounts", "check", &users[0]]).expect(77);
    assert!(check.stdout.contains("ended with `syncctl accounts revoke`"), "{}", check.stdout);
    let again = world.syncctl(&["accounts", "revoke", &users[0], "--json"]).expect(0).json();
    assert_eq!(again["grant"], "gone_before");
    world.import();
    let check = world.syncctl(&["accounts", "check", &users[0]]).expect(77);
    assert!(check.stdout.contains("invalid_grant"), "{}", check.stdout);
    world.sim.admin("restore", json!({ "user": users[0] }));
    world.syncctl(&["accounts", "check", "--all"]).expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_grant_that_google_could_not_end_stays_an_account() {
    let world = World::with_users(1, 2);
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "unavailable_503", "method": "revoke", "probability": 1.0 }));
    for verb in [&["accounts", "revoke"][..], &["accounts", "remove", "--revoke", "--yes"]] {
        let output = world.syncctl(&[verb, &[&user]].concat()).expect(69);
        assert!(output.stderr.contains("may still live"), "{}", output.stderr);
    }
    assert_eq!(world.accounts_in("active"), 1);
    world.sim.clear_faults();
    let report = world.syncctl(&["accounts", "remove", "--revoke", &user, "--json", "--yes"]).expect(0).json();
    assert_eq!((&report["grant"], world.users()), (&json!("revoked"), 0));
}

#[test]
fn a_delegated_user_is_stopped_here_and_learns_where_the_delegation_ends() {
    let world = World::empty();
    world.sim.generate(1, 2);
    world.syncctl_with_input(&["accounts", "import", "-"], &world.sim.text("accounts?kind=service_account")).expect(0);
    let user = world.first_user();
    let output = world.syncctl(&["accounts", "revoke", &user]).expect(0);
    assert!(output.stdout.contains("Manage domain-wide delegation"), "{}", output.stdout);
    // Google would still issue a token: a check must not reactivate an account that was ended on purpose.
    world.syncctl(&["accounts", "check", &user]).expect(77);
    // An ended account is not a failure when all are checked.
    let all = world.syncctl(&["accounts", "check", "--all"]).expect(0).stdout;
    assert!(all.contains("0 of 1 accounts ok, 1 ended on purpose"), "{all}");
    assert_eq!(world.accounts_in("ended"), 1);
    assert_eq!(world.syncctl(&["calendar", "cron", "--json"]).expect(0).json()["streams"], 0);
}

#[test]
fn why_a_grant_died_is_guessed_from_its_age() {
    let world = World::with_users(1, 2);
    let user = world.first_user();
    world.sim.admin("revoke", json!({ "user": user }));
    let young = world.syncctl(&["accounts", "check"]).expect(77);
    assert!(young.stdout.contains("\"Testing\""), "{}", young.stdout);
    world.execute("UPDATE accounts SET imported_at = now() - interval '9 days'");
    let old = world.syncctl(&["accounts", "check"]).expect(77);
    assert!(old.stdout.contains("6 months") && !old.stdout.contains("Testing"), "{}", old.stdout);
}

#[test]
fn a_check_of_all_users_runs_in_parallel_and_reports_each_service() {
    let world = World::with_users(12, 1);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.sim.admin("revoke", json!({ "user": users[3] }));
    world.sim.fault(json!({ "fault": "access_not_configured", "method": "about.get", "user": users[5], "probability": 1.0 }));
    // Answers arrive out of order, rows are in order.
    world.sim.fault(json!({ "fault": "slow_headers", "seconds": 0.3, "user": users[0], "probability": 1.0 }));
    let rows = world.syncctl(&["accounts", "check", "--all", "--json"]).expect(1).json();
    let emails: Vec<&str> = rows.as_array().expect("a list").iter().filter_map(|row| row["email"].as_str()).collect();
    assert_eq!(emails, users);
    assert_eq!(rows[0]["services"], json!({ "calendar": "ok", "drive": "ok", "gmail": "ok" }));
    assert_eq!((&rows[3]["token"], &rows[3]["services"]["gmail"]), (&json!("auth_revoked"), &json!("-")));
    assert_eq!(rows[5]["services"], json!({ "calendar": "ok", "drive": "api_disabled", "gmail": "ok" }));
    assert!(world.sim.ledger()["max_concurrent"].as_u64().is_some_and(|most| most > 1));
    let table = world.syncctl(&["accounts", "check", "--all"]).expect(1).stdout;
    assert!(table.starts_with("email") && table.contains("10 of 12 accounts ok"), "{table}");
    world.syncctl(&["accounts", "check", "--all", &users[0]]).expect(2);
}

#[test]
fn a_host_whose_clock_is_wrong_revokes_no_account_for_the_others() {
    let world = World::empty();
    world.sim.generate(2, 3);
    let accounts = world.sim.text("accounts?kind=service_account");
    world.syncctl_with_input(&["accounts", "import", "-"], &accounts).expect(0);
    world.sim.admin("clock", json!({ "advance": 7200 }));
    let run = world.sync_all().expect(1);
    assert!(run.stderr.contains("this machine's clock is wrong"), "{}", run.stderr);
    assert_eq!(world.accounts_in("revoked"), 0);
    world.sim.admin("clock", json!({ "advance": -7200 }));
    world.sync_all().expect(0);
    world.assert_in_step();
}
