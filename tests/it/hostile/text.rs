//! Spoofed names and terminal escape sequences: shown escaped in tables, lines and JSON.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::library::email;

/// A name that looks like `exe.jpg`, one that hides a part, marks within a tag, and the C1 spelling of "clear the screen".
const NAMES: [(&str, &str); 4] = [
    ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
    ("in\u{200b}vo\u{2066}ice\u{feff}", "in\\u{200b}vo\\u{2066}ice\\u{feff}"),
    ("tag\u{e0041}\u{2028}x", "tag\\u{e0041}\\u{2028}x"),
    ("clear\u{9b}2J\u{85}\u{7f}", "clear 2J  "),
];

fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || NAMES.iter().any(|(name, _)| name.contains(c) && !c.is_ascii())
}

#[test]
fn invisible_characters_are_shown_and_control_characters_are_escaped() {
    let world = World::empty();
    let user = world.user("ann@example.com");
    for (nth, (name, seen)) in NAMES.iter().enumerate() {
        let text = format!("noodles {name} end");
        let id = world.document(&email(user, &format!("m{nth}"), name, &text)).to_string();
        for arguments in [&["documents", "list"][..], &["documents", "show", &id], &["documents", "search", "noodles"]] {
            let plain = world.syncctl(arguments).expect(0).stdout;
            assert!(!plain.contains(is_harmful), "{arguments:?}: {plain:?}");
            assert!(plain.contains(seen.trim_end()), "{arguments:?}: {plain:?}");
            let json = world.syncctl(&[arguments, &["--json"]].concat()).expect(0);
            assert!(!json.stdout.contains(is_harmful), "{arguments:?}: {:?}", json.stdout);
            // It is still the same value.
            let value = json.json();
            let entries = value.as_array().cloned().unwrap_or_else(|| vec![value]);
            assert!(entries.iter().any(|entry| entry["title"] == *name), "{entries:?}");
        }
    }
}

#[test]
fn errors_and_log_lines_show_it_too() {
    let world = World::empty();
    let name = "a\u{202e}b\u{9b}2J";
    let plain = world.syncctl(&["calendar", "poll", name]).expect(2).stderr;
    assert!(plain.contains("a\\u{202e}b") && !plain.contains(is_harmful), "{plain:?}");
    let stdout = world.syncctl(&["calendar", "poll", name, "--json"]).expect(2).stdout;
    assert!(stdout.contains("a\\u202eb") && !stdout.contains(is_harmful), "{stdout:?}");
    let value: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(value["exit_code"], json!(2));
}
