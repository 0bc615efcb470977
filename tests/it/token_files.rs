//! `accounts import` of a token file that Google's own tools wrote for one user.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::world::RunResult;

const SCOPES: [&str; 3] = ["calendar", "drive", "gmail"];

/// A Google with one user, whose token a program already has.
struct Owner {
    world: World,
    email: String,
    /// What google-auth's `credentials.to_json()` writes.
    token: Value,
}

impl Owner {
    fn new() -> Self {
        let world = World::empty();
        world.sim.generate(1, 3);
        let account: Value = serde_json::from_str(world.sim.text("accounts").trim()).expect("an account");
        let credentials = &account["credentials"];
        let token = json!({
            "token": "ya29.sim-outdated", "refresh_token": credentials["refresh_token"],
            "token_uri": "https://oauth2.googleapis.com/token", "client_id": credentials["client_id"],
            "client_secret": credentials["client_secret"], "scopes": SCOPES.map(scope), "universe_domain": "googleapis.com",
            "account": "", "expiry": "2026-11-30T09:12:44.123456Z",
        });
        Self { email: account["email"].as_str().expect("an address").to_owned(), token, world }
    }

    /// Imports a file with this content. No output ever shows a secret.
    fn import_text(&self, content: impl AsRef<[u8]>, arguments: &[&str], code: i32) -> RunResult {
        let file = self.world.folder.path().join("token.json");
        std::fs::write(&file, content).expect("writing the file");
        let file = file.display().to_string();
        let ran = self.world.syncctl(&[&["accounts", "import", &file, "--json"], arguments].concat()).expect(code);
        for secret in ["1//sim", "ya29", "sim-client-secret", "hunter2"] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret}: {ran:?}");
        }
        if code != 0 {
            assert!(!ran.stderr.contains("panic"), "{}", ran.stderr);
            assert_eq!(self.world.count("SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM accounts)"), 0, "{ran:?}");
        }
        ran
    }

    fn import(&self, arguments: &[&str], code: i32) -> RunResult {
        self.import_text(self.token.to_string(), arguments, code)
    }

    fn limit_scopes(&self, scopes: &[String]) {
        self.world.sim.admin("scopes", json!({ "user": self.email, "scopes": scopes }));
    }
}

fn scope(service: &str) -> String {
    format!("https://www.googleapis.com/auth/{service}.readonly")
}

#[test]
fn a_token_file_of_googles_python_client_adds_its_user_who_is_then_synced() {
    let owner = Owner::new();
    let added = owner.import(&[], 0).json();
    assert_eq!((&added["email"], &added["added"]), (&json!(owner.email), &json!(true)), "{added}");
    assert_eq!((&added["services"], &added["missing"]), (&json!(SCOPES), &json!([])));
    owner.world.syncctl(&["calendar", "cron"]).expect(0);
    owner.world.assert_in_step();
    let again = owner.import(&["--email", &owner.email.to_uppercase()], 0).json();
    assert_eq!((&again["added"], owner.world.users()), (&json!(false), 1));
}

#[test]
fn gclouds_default_credentials_are_read_from_standard_input_as_gcloud_formats_them() {
    let owner = Owner::new();
    let token = &owner.token;
    let default = json!({ "account": "", "client_id": token["client_id"], "client_secret": token["client_secret"],
        "quota_project_id": "my-project", "refresh_token": token["refresh_token"], "type": "authorized_user" });
    let text = serde_json::to_string_pretty(&default).expect("JSON");
    let added = owner.world.syncctl_with_input(&["accounts", "import", "-"], &text).expect(0);
    assert!(added.stdout.contains(&format!("added {}: calendar, drive, gmail", owner.email)), "{}", added.stdout);
}

#[test]
fn a_service_that_the_tokens_scopes_do_not_include_is_named_and_the_others_sync() {
    let owner = Owner::new();
    owner.limit_scopes(&[scope("calendar")]);
    let ran = owner.import(&[], 0);
    let added = ran.json();
    assert_eq!((&added["services"], &added["missing"]), (&json!(["calendar"]), &json!(["drive", "gmail"])));
    for service in ["drive", "gmail"] {
        assert!(ran.stderr.contains(&format!("{service} is not synced for this user")), "{}", ran.stderr);
        assert!(ran.stderr.contains(&scope(service)), "{}", ran.stderr);
    }
    owner.world.syncctl(&["sync", "cron"]).expect(0);
    assert_eq!(owner.world.events(), 3);
}

#[test]
fn a_token_whose_scopes_suffice_for_nothing_is_refused_with_those_that_are_needed() {
    let owner = Owner::new();
    let other = "https://www.googleapis.com/auth/cloud-platform".to_owned();
    owner.limit_scopes(std::slice::from_ref(&other));
    let ran = owner.import(&[], 77);
    for name in SCOPES.map(scope).iter().chain([&other]) {
        assert!(ran.stderr.contains(name), "{name}: {}", ran.stderr);
    }
}

#[test]
fn a_token_of_another_user_or_of_another_client_is_refused() {
    let mut owner = Owner::new();
    let ran = owner.import(&["--email", "ben@example.com"], 77);
    assert!(ran.stderr.contains(&format!("belongs to {}, not to ben@example.com", owner.email)), "{}", ran.stderr);
    let client = owner.world.folder.path().join("client.json");
    std::fs::write(&client, r#"{"installed":{"client_id":"777-other.apps.example.com","client_secret":"hunter2"}}"#)
        .expect("writing");
    owner.world.set("SYNCCTL_GOOGLE_CLIENT_FILE", client.display().to_string());
    let ran = owner.import(&[], 2);
    let theirs = owner.token["client_id"].as_str().expect("a client");
    assert!(ran.stderr.contains(theirs) && ran.stderr.contains("777-other") && ran.stderr.contains("--set"), "{}", ran.stderr);
    owner.import(&["--set", "google.client_file="], 0);
}

#[test]
fn a_file_that_is_no_users_token_is_named_for_what_it_is() {
    let owner = Owner::new();
    let with = |field: &str, value: Value| {
        let mut token = owner.token.clone();
        token[field] = value;
        token.to_string()
    };
    let without = |field: &str| {
        let mut token = owner.token.clone();
        token.as_object_mut().expect("an object").remove(field);
        token.to_string()
    };
    let key = r#"{"type":"service_account","private_key":"hunter2","client_email":"a@b","token_uri":"https://oauth2.googleapis.com/token"}"#;
    let files = [
        ("{\n  \"token\": hunter2\n}".to_owned(), "not the JSON of a token (line 2"),
        (key.to_owned(), "accounts add-domain --key"),
        (r#"{"installed":{"client_id":"c","client_secret":"hunter2"}}"#.to_owned(), "accounts login --client"),
        (r#"{"web":{"client_id":"c","client_secret":"hunter2"}}"#.to_owned(), "accounts login --client"),
        (r#"{"access_token":"hunter2","refresh_token":"hunter2","expires_in":3599}"#.to_owned(), "no client_id, client_secret"),
        (without("refresh_token"), "no refresh_token"),
        (with("refresh_token", json!("")), "no refresh_token"),
        (with("refresh_token", json!({ "oops": "hunter2" })), "wrong type, expected a string"),
        (with("client_id", json!(null)), "no client_id"),
        (with("type", json!("external_account_authorized_user")), "type: must be"),
        (with("token_uri", json!("https://example.org/token")), "google.token_hosts"),
        (with("token_uri", json!("https://ann:hunter2@example.org/token")), "token_uri"),
    ];
    for (file, words) in &files {
        let ran = owner.import_text(file, &[], 2);
        assert!(ran.stderr.contains(words) && ran.stderr.contains("nothing was stored"), "{words}: {}", ran.stderr);
    }
    let pickled = owner.import_text(b"\x80\x04\x95\xff\x00hunter2", &[], 2);
    assert!(pickled.stderr.contains("to_json"), "{}", pickled.stderr);
    let account = json!({ "email": owner.email, "credentials": {} }).to_string();
    let ran = owner.import_text(account, &["--email", &owner.email], 2);
    assert!(ran.stderr.contains("leave out --email"), "{}", ran.stderr);
}

#[test]
fn a_grant_that_has_ended_and_a_google_that_does_not_answer_store_nothing() {
    let owner = Owner::new();
    owner.world.sim.fault(json!({ "fault": "connection_reset", "method": "token", "probability": 1.0 }));
    owner.import(&[], 69);
    owner.world.sim.clear_faults();
    owner.world.sim.admin("revoke", json!({ "user": owner.email }));
    let ended = owner.import(&[], 77);
    assert!(ended.stderr.contains("has ended") && ended.stderr.contains("\"Testing\""), "{}", ended.stderr);
    owner.world.sim.admin("restore", json!({ "user": owner.email }));
    owner.world.sim.admin("api", json!({ "enabled": false }));
    let off = owner.import(&[], 1);
    assert!(off.stderr.contains("enable the API"), "{}", off.stderr);
}
