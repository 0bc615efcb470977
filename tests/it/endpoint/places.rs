//! The endpoint's address, and its settings.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use syncctl::error::Class;

use super::{Desk, KEY, project};
use crate::support::World;

#[test]
fn a_name_that_leads_into_the_private_network_is_not_called_unless_that_is_allowed() {
    // The binary does this at start-up. Another test may have done it in this process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut desk = Desk::new();
    let port = desk.world.sim.url.rsplit(':').next().expect("a port").to_owned();
    desk.settings.url = format!("https://localhost:{port}/v1");
    desk.settings.allow_private = false;
    let failure = desk.host().ask_about("a drill").expect_err("it is private");
    assert_eq!(failure.class, Class::Settings, "{failure}");
    assert!(failure.message.contains("on loopback or in a private network"), "{failure}");
    // It was not called, so nothing was used.
    assert_eq!(desk.ledger()["requests"], 0);
    assert_eq!(desk.world.budget_tokens(), 0);
    desk.settings.url = format!("http://localhost:{port}/v1");
    desk.settings.allow_private = true;
    assert_eq!(desk.host().ask_about("a drill").expect("an answer").choice, project(1));
}

#[test]
fn an_endpoint_that_is_not_there_uses_no_tokens() {
    let mut desk = Desk::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    desk.settings.url = format!("http://{nobody}/v1");
    desk.settings.timeout = Duration::from_secs(5);
    let failure = desk.host().ask_about("a drill").expect_err("no server");
    assert_eq!(failure.class, Class::Transient, "{failure}");
    assert_eq!(desk.world.budget_tokens(), 0);
    assert_eq!(desk.world.count("SELECT failures FROM model_usage"), 1);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_what_is_allowed() {
    let world = World::empty();
    let refused = |settings: &[(&str, &str)]| {
        let set = |(key, value): &(&str, &str)| ["--set".to_owned(), format!("classify.{key}={value}")];
        let arguments: Vec<String> =
            ["config", "show"].map(str::to_owned).into_iter().chain(settings.iter().flat_map(set)).collect();
        world.syncctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect(78).stderr
    };
    let url = ("endpoint.url", "https://api.example.com/v1");
    for (settings, says) in [
        (&[url][..], "classify.endpoint.model"),
        (&[("endpoint.url", "api.example.com")], "must be the base of an API"),
        (&[("endpoint.url", "http://api.example.com/v1"), ("endpoint.model", "m")], "classify.endpoint.allow_private=true"),
        (&[("endpoint.cost_per_day", "2")], "0 unless classify.endpoint.cost_per_million_prompt_tokens"),
        (&[("endpoint.requests_per_minute", "0")], "must be 1 to 100000"),
        (&[("endpoint.tokens_per_day", "10")], "0 (no limit), or 50000 or more"),
        (&[("endpoint.timeout", "0s")], "must be 1s to 10m"),
        (&[("endpoint.key_file", "/nowhere/key")], "/nowhere/key"),
        (&[("never_senders", "not a sender")], "addresses, or domains"),
    ] {
        let said = refused(settings);
        assert!(said.contains(says), "{settings:?}: {said}");
    }
}

#[test]
fn the_key_is_read_from_a_private_file_and_never_shown() {
    let mut world = World::empty();
    let file = world.folder.path().join("endpoint.key");
    std::fs::write(&file, format!("{KEY}\n")).expect("writing the key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("the mode");
    world.set("SYNCCTL_CLASSIFY_ENDPOINT_KEY_FILE", file.display().to_string());
    let refused = world.syncctl(&["config", "show"]).expect(78);
    assert!(refused.stderr.contains("endpoint.key"), "{}", refused.stderr);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("the mode");
    let shown = world.syncctl(&["config", "show"]).expect(0);
    assert!(shown.stdout.contains("classify.endpoint.key_file") && !shown.stdout.contains(KEY), "{}", shown.stdout);
    std::fs::write(&file, "\n").expect("writing the key");
    let empty = world.syncctl(&["config", "show"]).expect(78);
    assert!(empty.stderr.contains("is empty"), "{}", empty.stderr);
}
