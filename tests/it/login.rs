//! `accounts login`: a real browser on the consent page, and the resulting terminal output and database rows.

mod pasted;
mod refused;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use serde_json::json;

use crate::support::World;
use crate::support::browser::Browser;
use crate::support::world::RunResult;

const ANN: &str = "ann@example.com";
const BEN: &str = "ben@example.com";
const ALLOW: &str = "button[value=allow]";

/// A Google with two users, both unknown here, and an OAuth client.
fn world() -> World {
    let mut world = World::empty();
    let day = (chrono::Utc::now() + chrono::Duration::days(1)).format("%F").to_string();
    for email in [ANN, BEN] {
        world.sim.admin("users", json!({ "email": email }));
        world.sim.admin(
            "events",
            json!({ "user": email, "calendar": "primary", "event": { "summary": "Tea",
            "start": { "date": day }, "end": { "date": day } } }),
        );
    }
    let file = world.folder.path().join("client.json");
    let client = json!({ "installed": { "client_id": "123456789012-sim.apps.example.com", "client_secret": "sim-client-secret",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token" } });
    std::fs::write(&file, client.to_string()).expect("writing the client");
    world.set("SYNCCTL_GOOGLE_CLIENT_FILE", file.display().to_string());
    world
}

/// A login that waits for its consent.
struct Login {
    child: Child,
    errors: BufReader<std::process::ChildStderr>,
    printed: String,
    /// The address of the consent page.
    page: String,
}

impl Login {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command(&[&["accounts", "login", "--json"], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut login = Self {
            errors: BufReader::new(child.stderr.take().expect("a pipe")),
            child,
            printed: String::new(),
            page: String::new(),
        };
        while login.page.is_empty() {
            let mut line = String::new();
            assert_ne!(login.errors.read_line(&mut line).expect("a line"), 0, "no address was printed: {}", login.printed);
            login.printed.push_str(&line);
            if line.starts_with("http") {
                login.page = line.trim().to_owned();
            }
        }
        login
    }

    fn paste(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{line}").expect("pasting");
    }

    fn end(mut self) -> RunResult {
        let mut stdout = String::new();
        self.child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("its results");
        self.errors.read_to_string(&mut self.printed).expect("its errors");
        let code = self.child.wait().expect("it ends").code().unwrap_or(-1);
        RunResult { code, stdout, stderr: self.printed }
    }

    /// A parameter of the consent page's address.
    fn parameter(&self, name: &str) -> String {
        let (_, query) = self.page.split_once('?').expect("a query");
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in {}", self.page)).replace("%3A", ":").replace("%2F", "/")
    }
}

fn nothing_is_stored(world: &World) {
    assert_eq!(world.count("SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM accounts)"), 0);
}

#[test]
fn a_person_allows_everything_in_the_browser_and_is_synced() {
    let world = world();
    let login = Login::start(&world, &["--email", ANN]);
    let browser = Browser::start();
    browser.goto(&login.page);
    browser.click("#all");
    browser.click(ALLOW);
    assert_eq!(browser.text("main h1"), "Access granted");
    let page = browser.text("main p");
    for word in [ANN, "calendar", "drive", "gmail"] {
        assert!(page.contains(word), "{page}");
    }
    // It is readable on a phone, too.
    browser.resize(500, 800);
    assert_eq!(browser.script("return document.documentElement.scrollWidth <= window.innerWidth"), true);
    let ran = login.end().expect(0);
    let printed = ran.json();
    assert_eq!((&printed["email"], &printed["added"], &printed["missing"]), (&json!(ANN), &json!(true), &json!([])), "{printed}");
    world.syncctl(&["accounts", "check", "--all"]).expect(0);
    world.syncctl(&["calendar", "cron"]).expect(0);
    assert_eq!(world.events(), 1);
    for secret in ["1//sim", "ya29", "sim-client-secret"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret) && !page.contains(secret), "{ran:?}");
    }
}

#[test]
fn a_second_login_renews_the_account_and_keeps_what_was_synced() {
    let world = world();
    let browser = Browser::start();
    for added in [true, false] {
        let login = Login::start(&world, &[]);
        browser.goto(&login.page);
        browser.click(&format!("input[value='{BEN}']"));
        browser.click("#all");
        browser.click(ALLOW);
        assert_eq!(browser.text("main h1"), "Access granted");
        assert_eq!(login.end().expect(0).json()["added"], added);
        world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    }
    assert_eq!(world.users(), 1);
    assert_eq!(world.rows("calendar_events"), 1);
}

#[test]
fn an_exchange_without_a_refresh_token_or_without_google_stores_nothing() {
    let world = world();
    let browser = Browser::start();
    let login = |code: i32| {
        let login = Login::start(&world, &[]);
        browser.goto(&login.page);
        browser.click("#all");
        browser.click(ALLOW);
        assert_eq!(browser.text("main h1"), "Nothing was stored");
        nothing_is_stored(&world);
        login.end().expect(code).stderr
    };
    world.sim.admin("consent", json!({ "refresh_token": false }));
    assert!(login(77).contains("no refresh token"));
    world.sim.admin("consent", json!({ "refresh_token": true }));
    world.sim.fault(json!({ "fault": "connection_reset", "method": "token", "probability": 1.0 }));
    login(69);
    world.sim.clear_faults();
    world.sim.admin("api", json!({ "enabled": false }));
    assert!(login(1).contains("finding out who consented"));
}

#[test]
fn an_unanswered_login_ends_by_itself_or_by_a_signal() {
    let world = world();
    let ran = Login::start(&world, &["--timeout", "1ms"]).end().expect(69);
    assert!(ran.stderr.contains("no consent within 1ms"), "{}", ran.stderr);
    Login::start(&world, &["--no-browser", "--timeout", "1ms"]).end().expect(69);
    for arguments in [&[][..], &["--no-browser"]] {
        let login = Login::start(&world, arguments);
        let pid = rustix::process::Pid::from_child(&login.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
        let ran = login.end().expect(130);
        assert!(ran.stderr.contains("nothing was stored"), "{}", ran.stderr);
    }
    nothing_is_stored(&world);
}

#[test]
fn a_client_that_is_missing_or_of_another_kind_is_explained() {
    let mut world = world();
    let file = world.folder.path().join("web.json");
    std::fs::write(&file, r#"{"web":{"client_id":"c","client_secret":"hunter2"}}"#).expect("writing");
    let web = world.syncctl(&["accounts", "login", "--client", &file.display().to_string()]).expect(2);
    assert!(web.stderr.contains("Desktop app") && !web.stderr.contains("hunter2"), "{}", web.stderr);
    world.set("SYNCCTL_GOOGLE_CLIENT_FILE", "");
    let none = world.syncctl(&["accounts", "login"]).expect(78);
    assert!(
        none.stderr.contains("https://console.cloud.google.com/auth/clients") && none.stderr.contains("--client"),
        "{}",
        none.stderr
    );
    world.set("SYNCCTL_GOOGLE_CLIENT_FILE", file.display().to_string());
    world.syncctl(&["accounts", "login"]).expect(78);
}
