//! A service is named in its folder, its settings and one line of the registry: no other code has its name in a string.

use std::path::{Path, PathBuf};

/// Files that name services for a reason that the registry cannot serve.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("db/migrate.rs", "the names of migrations"),
    ("db/classify/queue.rs", "adding a user's first project creates the stream, in a transaction of the database layer"),
    ("webhook/writer.rs", "the senders of notifications (`notifications.source`), each with a path of `webhook serve`"),
];

/// Verbs that make a job of a service's name, such as `calendar cron`.
const VERBS: [&str; 9] =
    ["cron", "batch-poll", "poll", "smart-poll", "schedule", "renew-watches", "renew-webhooks", "stop-channels", "verify"];

/// The services: the folders in `src/services`.
fn services(src: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(src.join("services")).expect("services is readable").flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// The string literals of a line of code.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

/// Whether a text is the name of a service, or of a job of one.
fn is_name(text: &str, services: &[String]) -> bool {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    services.iter().any(|service| service == first) && (rest.is_empty() || VERBS.contains(&rest))
}

/// `file:line: text` of every literal outside unit tests that names a service.
fn names(src: &Path, services: &[String]) -> Vec<String> {
    let mut paths = Vec::new();
    sources(src, &mut paths);
    let mut found = Vec::new();
    for path in paths {
        let shown = path.strip_prefix(src).expect("a path under src").display().to_string();
        let is_test = shown.ends_with("/tests.rs") || shown.ends_with("_tests.rs");
        if is_test || shown.starts_with("services/") || EXCEPTIONS.iter().any(|(file, _)| *file == shown) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        let code = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
        for (index, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let named = literals(line).filter(|literal| is_name(literal, services));
            found.extend(named.map(|literal| format!("{shown}:{}: {literal:?}", index + 1)));
        }
    }
    found
}

#[test]
fn a_service_is_named_in_one_place() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let services = services(&src);
    assert!(services.len() >= 5, "{services:?}");
    assert_eq!(names(&src, &services), Vec::<String>::new(), "read `services::registry` instead");
}

#[test]
fn every_folder_has_a_line_in_the_registry() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let registry = std::fs::read_to_string(src.join("services/registry.rs")).expect("the registry");
    for service in services(&src) {
        assert!(registry.contains(&format!("use super::{service}::")), "{service} is in no line of services/registry.rs");
    }
}

#[test]
fn a_name_in_code_is_seen_and_one_in_a_test_is_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let code = "fn f() { poll(\"a\", \"calendar\"); job(\"drive cron\"); say(\"drive carefully\") }";
    let text = format!("{code}\n// \"gmail\"\n#[cfg(test)]\nmod tests {{ const A: &str = \"gmail\"; }}\n");
    std::fs::write(folder.path().join("named.rs"), text).expect("writing");
    let services = ["calendar", "drive", "gmail"].map(str::to_owned);
    assert_eq!(names(folder.path(), &services), ["named.rs:1: \"calendar\"", "named.rs:1: \"drive cron\""]);
}
