//! The words of the project: turns of phrase that read as riddles, and names that mean too many things, stay out of sources and pages.
//!
//! `docs/contributing/glossary.md` has the words to use instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::{files, root};

/// Turns of phrase, as regular expressions over text in lower case, each with what to write instead.
const PHRASES: &[(&str, &str)] = &[
    (r"\b(is|are|was|were|be|been|gets?) told\b", "is reported, is notified, learns"),
    (r"\btold (of|apart)\b|\btells? of\b", "reports, describes, distinguishes"),
    (r"\bthat (is|are|was|were) none\b", "does not exist, is missing, is not a …"),
    (r"\bcomes? to (nothing|is|what|be)\b", "results in"),
    (r"\bnobody\b|\bwhoever\b|\bsomebody\b", "no one, anyone, or the actor itself: no user, another process"),
    (r"\bmend(s|ed|ing)?\b", "fix, repair"),
    (r"\banew\b", "again, from scratch"),
    (r"\bof late\b", "recently"),
    (r"\ball the same\b", "anyway"),
    (r"\bany more\b", "no longer"),
    (r"\bsays? so\b|\bsaid so\b", "says that …"),
    (r"\b(person|human|people|user|google|feed)('s|s')? word\b", "assignment, answer, notification"),
    (r"\b(is|are|was) at it\b", "is running, holds it"),
    (r"\bso many (bytes|seconds|rows|calls|times)\b", "this many, or the parameter's name"),
    (r"\bknows no\b", "does not use, has no access to"),
    (r"\bhow (things|everything|matters) stands?\b", "current state"),
    (r"\bwhat there is\b", "the existing …"),
    (r"\bput aside\b", "quarantined, skipped"),
];

/// Lines that need such a word: PostgreSQL's folder can belong to Unix' user `nobody`, and the prompt was measured as it is.
const EXCEPTIONS: &[(&str, &str)] = &[("owner.rs", "nobody"), ("local.rs", "nobody"), ("prompt.rs", "whoever")];

/// Names of functions, types, modules and files that said nothing, or five things.
const NAMES: &[&str] = &[
    "desk", "told", "together", "soon", "wanted", "steps", "settle", "over", "covers", "place", "judge", "asked", "found",
    "standing", "ran", "whole", "thing", "apart", "again", "left", "bury", "hasten",
];

/// Everything that people read: sources with their help texts and messages, statements, pages.
fn read_by_people() -> Vec<PathBuf> {
    let mut all = files("src", &["rs", "sql", "css"]);
    all.extend(files("crates", &["rs"]));
    all.extend(
        ["docs", "systemd", "schemas", "prometheus"]
            .iter()
            .flat_map(|folder| files(folder, &["md", "service", "timer", "json", "yml"])),
    );
    let pages = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "crontab.example",
        "sql/roles.sql",
        "sql/relations.sql",
        "tests/google-sim/README.md",
    ];
    all.extend(pages.map(|page| root().join(page)));
    all
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Turns of phrase in a line of a file: the words, and what to write instead.
fn phrases_in<'a>(path: &'a Path, line: &'a str) -> impl Iterator<Item = (&'a str, &'static str)> {
    static COMPILED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        PHRASES.iter().map(|(phrase, instead)| (Regex::new(phrase).expect("a regular expression"), *instead)).collect()
    });
    let found = COMPILED.iter().filter_map(move |(phrase, instead)| Some((phrase.find(line)?.as_str(), *instead)));
    found.filter(move |(words, _)| !EXCEPTIONS.iter().any(|(file, word)| path.ends_with(file) && words == word))
}

#[test]
fn pages_and_sources_are_written_in_plain_words() {
    let mut problems = Vec::new();
    for path in read_by_people() {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.strip_prefix(root()).expect("a file of the project").display();
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let bad = phrases_in(&path, &line);
            problems.extend(bad.map(|(words, instead)| format!("{name}:{}: \"{words}\"; write: {instead}", number + 1)));
        }
    }
    report(&problems);
}

/// The name of a test is a sentence.
#[test]
fn names_of_tests_are_in_plain_words() {
    let function = Regex::new(r"\bfn ([a-z0-9_]+)").expect("a regular expression");
    let mut problems = Vec::new();
    for path in files("tests", &["rs"]) {
        let text = fs::read_to_string(&path).expect("a source file");
        for found in function.captures_iter(&text) {
            let sentence = found[1].replace('_', " ");
            let bad = phrases_in(&path, &sentence);
            problems.extend(bad.map(|(words, instead)| format!("{}: \"{words}\"; write: {instead}", &found[1])));
        }
    }
    report(&problems);
}

#[test]
fn names_say_what_they_are_for() {
    let defined = Regex::new(r"\b(?:fn|struct|enum|trait|mod|type)\s+([A-Za-z_]+)").expect("a regular expression");
    let mut problems = Vec::new();
    for path in [files("src", &["rs"]), files("crates", &["rs"])].concat() {
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let names = code.flat_map(|line| defined.captures_iter(line)).map(|found| found[1].to_lowercase());
        let shown = path.strip_prefix(root()).expect("a file of the project").display();
        problems.extend(names.filter(|name| NAMES.contains(&name.as_str())).map(|name| format!("{shown}: {name}")));
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if NAMES.contains(&stem) || stem == "mod" {
            problems.push(format!("{shown}: a file named {stem}"));
        }
    }
    report(&problems);
}
