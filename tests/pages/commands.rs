//! Commands and settings that pages quote: each command line of `syncctl` parses, and each setting exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use regex::Regex;
use syncctl::cli::Cli;
use syncctl::services::registry;

use crate::shell::{self, Split};
use crate::{files, root};

/// The pages that users and developers read.
fn pages() -> Vec<PathBuf> {
    let outside = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/google-sim/README.md"];
    outside.iter().map(|page| root().join(page)).chain(files("docs", &["md"])).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("a page of the project").display().to_string()
}

/// The shell commands in a page's blocks of code, each with the number of its line. In `console` blocks, those after a prompt: the rest is output.
fn scripts(text: &str) -> Vec<(usize, String)> {
    let mut scripts: Vec<(usize, String)> = Vec::new();
    let (mut block, mut open) = (None, false);
    for (number, line) in text.lines().enumerate() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(kind.trim()) };
            open = false;
            continue;
        }
        let command = match block {
            _ if open => Some(line),
            Some("console") => ["$ ", "# "].iter().find_map(|prompt| line.trim_start().strip_prefix(prompt)),
            Some("sh" | "bash") => Some(line).filter(|line| !line.trim_start().starts_with('#')),
            _ => None,
        };
        match (command, scripts.last_mut()) {
            (None, _) => {}
            (Some(line), Some((_, last))) if open => *last = format!("{last}\n{line}"),
            (Some(line), _) => scripts.push((number + 1, line.to_owned())),
        }
        open = command.is_some() && scripts.last().is_some_and(|(_, script)| shell::is_open(script));
    }
    scripts
}

/// The arguments of `syncctl` in a simple command, if it runs syncctl: directly, or through a program that runs others.
fn arguments(words: &[String]) -> Option<&[String]> {
    const RESERVED: [&str; 8] = ["do", "then", "else", "if", "while", "until", "!", "exec"];
    let is_assignment = |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.starts_with('-') && !name.contains('/'));
    let start = words.iter().position(|word| !RESERVED.contains(&word.as_str()) && !is_assignment(word))?;
    let is_syncctl = |word: &str| word == "syncctl" || word.ends_with("/syncctl") || word.starts_with("syncctl:");
    let words = &words[start..];
    let at = match words[0].as_str() {
        first if is_syncctl(first) => 0,
        "xargs" | "sudo" | "env" | "nice" | "timeout" | "watch" | "time" => words.iter().position(|word| is_syncctl(word))?,
        // The name of a service or an image, after the options of `run`.
        "docker" | "podman" => {
            let run = words.iter().position(|word| word == "run")?;
            run + words[run..].iter().position(|word| is_syncctl(word))?
        }
        _ => return None,
    };
    Some(&words[at + 1..])
}

/// Why the command line does not parse; `None` if it does. A placeholder such as `DOCUMENT` or `0197c9a2-…` can be any value.
fn problem(arguments: &[String]) -> Option<String> {
    let placeholder = Regex::new(r"^([A-Z][A-Z_]+|[0-9a-f]{8}-…)$").expect("a regular expression");
    let parse = |value: Option<&str>| {
        let words = arguments.iter().map(|word| match value {
            Some(value) if placeholder.is_match(word) => value,
            _ => word.as_str(),
        });
        match Cli::command().try_get_matches_from(std::iter::once("syncctl").chain(words)) {
            Ok(_) => None,
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => None,
            Err(error) => Some(error.to_string()),
        }
    };
    let first = parse(None)?;
    let values = ["0197c9a2-0000-7000-8000-000000000000", "1", "ann@example.com"];
    if values.into_iter().any(|value| parse(Some(value)).is_none()) { None } else { Some(first) }
}

#[test]
fn every_command_line_that_a_page_shows_parses() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        for (number, script) in scripts(&read(&page)) {
            let Split { commands, .. } = shell::split(&script);
            for arguments in commands.iter().filter_map(|words| arguments(words)) {
                count += 1;
                if let Some(problem) = problem(arguments) {
                    wrong.push(format!("{}:{number}: syncctl {}\n{problem}", shown(&page), arguments.join(" ")));
                }
            }
        }
    }
    assert!(count > 80, "only {count} command lines were found: has their form changed?");
    assert!(wrong.is_empty(), "{} command lines do not parse:\n{}", wrong.len(), wrong.join("\n"));
}

/// Last words of OAuth scopes that begin like a section of the settings, such as `calendar.readonly`.
const SCOPES: [&str; 4] = ["readonly", "modify", "metadata", "metadata.readonly"];

/// Names that look like settings and are not: a domain, and one that was removed.
const EXCEPTIONS: [&str; 2] = ["gmail.com", "engine.first_sync_concurrency"];

#[test]
fn every_setting_that_a_page_names_exists() {
    let row = Regex::new(r"(?m)^\| `([a-z0-9_.]+)` \|").expect("a regular expression");
    let reference = read(&root().join("docs/settings.md"));
    let keys: BTreeSet<&str> = row.captures_iter(&reference).map(|found| found.extract::<1>().1[0]).collect();
    let sections: BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    let events: BTreeSet<&str> = registry::event_types().iter().flat_map(|types| types.all().collect::<Vec<_>>()).collect();
    let named =
        Regex::new(r"`([a-z_]+(?:\.(?:[a-z0-9_]+|\*))*(?:\.[a-z0-9_]+\*?|\.\*))(?: = [^`]*)?`").expect("a regular expression");
    let (mut unknown, mut count) = (Vec::new(), 0);
    for page in pages().into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = read(&page);
        for key in named.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            let (section, rest) = key.split_once('.').expect("a dot");
            if !sections.contains(section) || events.contains(key) || SCOPES.contains(&rest) || EXCEPTIONS.contains(&key) {
                continue;
            }
            count += 1;
            let pattern = format!("^{}(\\.|$)", regex::escape(key).replace("\\*", ".*"));
            let pattern = Regex::new(&pattern).expect("a regular expression");
            if !keys.iter().any(|known| pattern.is_match(known)) {
                unknown.push(format!("{}: {key}", shown(&page)));
            }
        }
    }
    assert!(count > 100, "only {count} settings were found: has their form changed?");
    assert!(unknown.is_empty(), "settings that do not exist:\n{}", unknown.join("\n"));
}
