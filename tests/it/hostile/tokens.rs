//! Malicious credentials: the token address that they name, and the tokens it returns.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::receiver::{Receiver, Reply};

/// The fixed boundary of batches before it became random.
const FIXED: &str = "syncctl_batch_5f1c2c0e";

/// Users with calendars in step; the first of them is the stranger.
fn synced(users: u32) -> (World, String) {
    let mut world = World::with_users(users, 3);
    world.sync_all().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    let stranger = world.first_user();
    (world, stranger)
}

/// Makes the token endpoint return this token to the stranger; all users need a new token.
fn answers_with(world: &World, stranger: &str, token: &str) {
    let body = json!({ "access_token": token, "expires_in": 3_599, "token_type": "Bearer" });
    world.sim.clear_faults();
    world.sim.fault(json!({ "fault": "answer", "status": 200, "body": body, "method": "token", "user": stranger }));
    world.forget_access_tokens();
}

/// A valid token of the user, which any user can get.
fn own_token(world: &World, user: &str) -> String {
    let accounts = world.sim.text("accounts");
    let lines = accounts.lines().map(|line| serde_json::from_str::<Value>(line).expect("an account line"));
    let account = lines.into_iter().find(|line| line["email"] == *user).expect("the user");
    let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
    let fields = ["client_id", "client_secret", "refresh_token"].map(|name| (name, field(name)));
    let form = fields.iter().map(|(name, value)| (*name, value.as_str())).chain([("grant_type", "refresh_token")]);
    let mut answer = ureq::post(field("token_uri")).send_form(form).expect("an answer");
    let answer: Value = answer.body_mut().read_json().expect("a token");
    answer["access_token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_token_with_parts_of_a_batch_in_it_plants_nothing_in_the_calendars_of_others() {
    let (world, stranger) = synced(12);
    let token = own_token(&world, &stranger);
    // A forged answer for each call of the batch: the stranger's own events. The end of the batch after it drops the true answers.
    let part = |nth: usize| {
        format!(
            "--{FIXED}\r\nContent-Type: application/http\r\nContent-ID: <{nth}>\r\n\r\nGET /calendar/v3/calendars/primary/events HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n\r\n"
        )
    };
    let parts: String = (0..60).map(part).collect();
    answers_with(&world, &stranger, &format!("{token}\r\n\r\n\r\n{parts}--{FIXED}--\r\n"));
    // Twice: tokens accepted by the first run are cached for the next one, which batches its calls.
    for _ in 0..2 {
        let run = world.sync_all();
        world.assert_in_step();
        assert_eq!(run.code, 1, "{run:#?}");
    }
    // Only the stranger's calendars fail.
    let failed = world.query("SELECT DISTINCT u.email FROM streams s JOIN users u ON u.id = s.user_id WHERE s.failures > 0");
    assert_eq!(failed.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), [stranger]);
}

#[test]
fn an_invalid_token_is_neither_stored_nor_sent_and_the_next_valid_one_is_used() {
    let (world, stranger) = synced(2);
    for token in ["", "two words", "a\nb", "ünïcode", "a\u{0}b", "\"quoted\"", &"x".repeat(10_000)] {
        answers_with(&world, &stranger, token);
        world.sync_all().expect(1);
        assert_eq!(world.rows("accounts WHERE access_token IS NULL"), 1, "{token:?}");
    }
    let messages = world.query("SELECT DISTINCT failed_message FROM streams WHERE failures > 0");
    assert!(messages.iter().all(|row| row.get::<_, &str>(0).contains("RFC 6750")), "{messages:?}");
    world.sim.clear_faults();
    world.churn(6, 1);
    world.sync_all().expect(0);
    world.assert_in_step();
}

/// Account lines of one user that name this address.
fn at(world: &World, token_uri: &str) -> String {
    world.accounts_of_both_kinds().replace(&format!("{}/token", world.sim.url), token_uri)
}

#[test]
fn an_import_that_names_a_token_address_elsewhere_is_refused_and_the_address_is_not_asked() {
    let mut world = World::empty();
    world.sim.generate(2, 1);
    let inside = Receiver::start();
    let shown = r#"{"error":"invalid_grant","error_description":"what only the inner network sees"}"#;
    inside.answer(move |_| Reply::Full(400, vec![("content-type", "application/json".into())], shown.into()));
    for elsewhere in [
        inside.url().as_str(),
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost:8443/token",
        "https://oauth2.googleapis.com.example.org/token",
        "https://oauth2.googleapis.com@127.0.0.1/token",
        "http://oauth2.googleapis.com/token",
        "file:///etc/passwd",
    ] {
        let run = world.syncctl_with_input(&["accounts", "import", "-"], &at(&world, elsewhere)).expect(1);
        assert_eq!(run.stderr.matches("token_uri").count(), 2, "{elsewhere}: {}", run.stderr);
    }
    assert_eq!(world.users(), 0);

    // Credentials stored before this check existed, or with other settings.
    let allowed = world.sim.url.clone();
    world.set("SYNCCTL_GOOGLE_ROOT", format!("http://127.0.0.1:{}", inside.port));
    world.syncctl_with_input(&["accounts", "import", "-"], &at(&world, &inside.url())).expect(0);
    world.set("SYNCCTL_GOOGLE_ROOT", allowed);
    world.sync_all().expect(77);
    world.syncctl(&["accounts", "check", "--all"]);
    let listed = world.syncctl(&["accounts", "list"]).expect(0).stdout;
    assert!(listed.contains("google.token_hosts") || listed.contains("token_uri must be"), "{listed}");
    assert!(inside.requests().is_empty() && !listed.contains("what only"), "{:?} {listed}", inside.requests());
}

#[test]
fn hosts_that_the_settings_name_may_give_tokens_by_https_alone() {
    let mut world = World::empty();
    world.sim.generate(2, 1);
    world.set("SYNCCTL_GOOGLE_TOKEN_HOSTS", "sts.example.com, proxy.example.com:8443");
    for (uri, code) in [
        ("https://oauth2.googleapis.com/token", 0),
        ("https://sts.example.com/token", 0),
        ("https://proxy.example.com:8443/google/token", 0),
        ("http://sts.example.com/token", 1),
        ("https://sts.example.com:8443/token", 1),
        ("https://other.example.com/token", 1),
    ] {
        world.syncctl_with_input(&["accounts", "import", "-"], &at(&world, uri)).expect(code);
    }
    world.set("SYNCCTL_GOOGLE_TOKEN_HOSTS", "https://sts.example.com");
    let run = world.syncctl(&["status"]).expect(78);
    assert!(run.stderr.contains("google.token_hosts") && run.stderr.contains("without https://"), "{}", run.stderr);
}
