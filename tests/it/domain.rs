//! `accounts add-domain`: many users with one service account.

use serde_json::{Value, json};

use crate::support::World;

/// A domain with this many users, the first of whom is its administrator, and the key of a service account.
struct Domain {
    world: World,
    users: Vec<String>,
    key: String,
}

impl Domain {
    fn of(users: u32) -> Self {
        let world = World::empty();
        world.sim.generate(users, 1);
        let accounts = world.sim.text("accounts?kind=service_account");
        let lines: Vec<Value> = accounts.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let key = world.folder.path().join("key.json");
        std::fs::write(&key, lines[0]["credentials"].to_string()).expect("writing the key");
        let users: Vec<String> = world.sim.users().into_iter().collect();
        world.sim.admin("directory", json!({ "user": users[0], "admin": true }));
        Self { key: key.display().to_string(), users, world }
    }

    fn add(&self, arguments: &[&str], code: i32) -> (Value, String) {
        let output =
            self.world.syncctl(&[&["accounts", "add-domain", "--json", "--key", &self.key], arguments].concat()).expect(code);
        (output.json(), output.stderr)
    }

    fn directory(&self, arguments: &[&str], code: i32) -> (Value, String) {
        self.add(&[&["--directory", "--admin", &self.users[0]], arguments].concat(), code)
    }

    fn stored(&self) -> i64 {
        self.world.rows("accounts WHERE kind = 'service_account' AND state = 'active'")
    }
}

#[test]
fn the_whole_directory_is_added_over_several_pages_and_renewed_the_second_time() {
    let domain = Domain::of(1_203);
    let (report, _) = domain.directory(&["--dry-run"], 0);
    assert_eq!((report["would"].as_array().map(Vec::len), domain.stored()), (Some(1_203), 0));
    assert_eq!(report["would"][7], json!([domain.users[7], "add"]));
    let (report, _) = domain.directory(&[], 0);
    assert_eq!((&report["added"], &report["renewed"]), (&json!(1_203), &json!(0)));
    let stored = domain.world.emails();
    assert_eq!(stored, domain.users);
    let (report, _) = domain.directory(&[], 0);
    assert_eq!((&report["added"], &report["renewed"]), (&json!(0), &json!(1_203)));
    let (report, _) = domain.directory(&["--dry-run"], 0);
    assert_eq!(report["would"][7], json!([domain.users[7], "renew"]));
}

#[test]
fn who_was_added_is_synced() {
    let domain = Domain::of(3);
    domain.directory(&[], 0);
    domain.world.syncctl(&["accounts", "check", "--all"]).expect(0);
    domain.world.sync_all().expect(0);
    domain.world.assert_in_step();
}

#[test]
fn suspended_and_archived_users_are_left_out_and_those_who_left_are_named_and_kept() {
    let domain = Domain::of(5);
    let Domain { world, users, .. } = &domain;
    world.sim.admin("directory", json!({ "user": users[1], "suspended": true }));
    let (report, _) = domain.directory(&[], 0);
    assert_eq!((&report["added"], &report["left_out"], &report["gone"]), (&json!(4), &json!(1), &json!([])));
    world.sim.admin("directory", json!({ "user": users[2], "archived": true }));
    world.execute("UPDATE users SET email = 'moved@example.com' WHERE email = (SELECT max(email) FROM users)");
    let (report, errors) = domain.directory(&[], 0);
    let gone = json!([["moved@example.com", "no longer in the directory"], [users[2], "archived at Google"]]);
    assert_eq!((&report["left_out"], &report["gone"]), (&json!(2), &gone));
    assert!(errors.contains(&format!("syncctl accounts remove {}", users[2])), "{errors}");
    // The renamed user still exists, and was added again under the address in the directory.
    assert_eq!(world.users(), 5);
    // The directory does not cover users of another project.
    world.execute("UPDATE accounts SET project = 'other'");
    assert_eq!(domain.directory(&["--dry-run"], 0).0["gone"], json!([]));
}

#[test]
fn with_a_unit_a_domain_or_a_query_no_user_is_reported_as_missing() {
    let domain = Domain::of(4);
    domain.directory(&[], 0);
    for (user, unit) in [(1, "/Sales"), (2, "/Sales/North"), (3, "/Salesforce")] {
        domain.world.sim.admin("directory", json!({ "user": domain.users[user], "org_unit": unit }));
    }
    let renewed = |arguments: &[&str]| {
        let (report, _) = domain.directory(arguments, 0);
        assert_eq!(report["gone"], json!([]), "{arguments:?}");
        report["renewed"].as_u64().expect("a number")
    };
    assert_eq!(renewed(&["--org-unit", "/Sales"]), 2);
    assert_eq!(renewed(&["--query", "isAdmin=true"]), 1);
    assert_eq!(renewed(&["--domain", "example.com"]), 4);
    assert_eq!(renewed(&["--domain", "example.org"]), 0);
}

#[test]
fn a_list_is_taken_from_a_file_or_standard_input_and_its_bad_lines_are_named() {
    let domain = Domain::of(3);
    let list = format!("# staff\n{}\nnobody\n\n{} # lead\n", domain.users[0], domain.users[1]);
    let file = domain.world.folder.path().join("list");
    std::fs::write(&file, &list).expect("writing the list");
    let (report, errors) = domain.add(&["--subjects", &file.display().to_string()], 1);
    assert_eq!((&report["added"], &report["bad"][0][0]), (&json!(2), &json!(3)));
    assert!(errors.contains("line 3: not an address"), "{errors}");
    let arguments = ["accounts", "add-domain", "--json", "--key", &domain.key, "--subjects", "-"];
    let output = domain.world.syncctl_with_input(&arguments, &domain.users[2]).expect(0);
    assert_eq!(output.json()["added"], 1);
    for arguments in [
        &["--directory"][..],
        &[],
        &["--subjects", "-", "--directory", "--admin", "a@b.c"],
        &["--subjects", "-", "--domain", "b.c"],
    ] {
        domain.world.syncctl(&[&["accounts", "add-domain", "--key", &domain.key], arguments].concat()).expect(2);
    }
}

#[test]
fn a_missing_delegation_stops_before_any_user_is_stored() {
    let domain = Domain::of(4);
    // The delegation lacks a scope that a service needs.
    for user in &domain.users {
        domain
            .world
            .sim
            .admin("scopes", json!({ "user": user, "scopes": ["https://www.googleapis.com/auth/calendar.readonly"] }));
    }
    let list = domain.users.join("\n");
    let arguments = ["accounts", "add-domain", "--key", &domain.key, "--subjects", "-"];
    let output = domain.world.syncctl_with_input(&arguments, &list).expect(77);
    assert!(output.stderr.contains("auth/gmail.readonly") && output.stderr.contains("no user was added"), "{}", output.stderr);
    let output = domain
        .world
        .syncctl(&["accounts", "add-domain", "--key", &domain.key, "--directory", "--admin", &domain.users[0]])
        .expect(77);
    assert!(output.stderr.contains("admin.directory.user.readonly"), "{}", output.stderr);
    assert_eq!(domain.stored(), 0);
    // A user who is not an administrator cannot read the directory, although the scope is delegated.
    domain.world.sim.admin(
        "scopes",
        json!({ "user": domain.users[1], "scopes": ["https://www.googleapis.com/auth/admin.directory.user.readonly"] }),
    );
    let output = domain
        .world
        .syncctl(&["accounts", "add-domain", "--key", &domain.key, "--directory", "--admin", &domain.users[1]])
        .expect(77);
    assert!(output.stderr.contains("--admin must be an administrator"), "{}", output.stderr);
}

#[test]
fn one_invalid_user_stops_no_other_and_is_not_stored_with_check() {
    let domain = Domain::of(3);
    let list = format!("aaa@example.com\n{}", domain.users.join("\n"));
    let base = ["accounts", "add-domain", "--json", "--key", &domain.key, "--subjects", "-"];
    let output = domain.world.syncctl_with_input(&[&base[..], &["--check"]].concat(), &list).expect(1);
    let report = output.json();
    assert_eq!((&report["added"], &report["refused"][0][0]), (&json!(3), &json!("aaa@example.com")));
    assert!(output.stderr.contains("aaa@example.com not added: token: unauthorized_client"), "{}", output.stderr);
    assert_eq!(domain.stored(), 3);
    // Without it, the first user whom Google accepts is sufficient proof.
    assert_eq!(domain.world.syncctl_with_input(&base, &list).expect(0).json()["added"], 1);
    domain.world.syncctl_with_input(&[&base[..], &["--check"]].concat(), "aaa@example.com").expect(77);
}

#[test]
fn a_bad_minute_of_the_directory_is_waited_out() {
    let domain = Domain::of(2);
    domain
        .world
        .sim
        .fault(json!({ "fault": "unavailable_503", "method": "directory.users.list", "times": 2, "probability": 1.0 }));
    assert_eq!(domain.directory(&[], 0).0["added"], 2);
    domain.world.sim.fault(json!({ "fault": "unavailable_503", "method": "directory.users.list", "probability": 1.0 }));
    domain
        .world
        .syncctl(&["accounts", "add-domain", "--key", &domain.key, "--directory", "--admin", &domain.users[0]])
        .expect(69);
}

#[test]
fn a_failure_on_a_later_page_says_what_is_stored_already() {
    let domain = Domain::of(501);
    domain.world.sim.fault(json!({ "fault": "bad_request_400", "method": "directory.users.list", "at_call": 2 }));
    let (report, said) = domain.directory(&[], 1);
    assert!(report["error"].as_str().is_some_and(|error| error.contains("500 users were added and 0 renewed")), "{report}");
    assert!(said.contains("run it again"), "{said}");
    assert_eq!(domain.stored(), 500);
}
