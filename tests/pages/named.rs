//! Pages that name tests: `docs/google.md` claims a test for each behaviour, `docs/security.md` for each attack, `SECURITY.md` for each
//! promise and `docs/contributing/invariants.md` for each invariant, and each of them must exist.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{files, root};

/// The names that follow `keyword ` in a text.
fn names<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(keyword).skip(1).map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

#[test]
fn every_test_that_a_page_names_exists() {
    assert_named("docs/google.md", 4, 50);
    assert_named("docs/security.md", 3, 8);
    assert_named("SECURITY.md", 4, 8);
    assert_named("docs/contributing/invariants.md", 3, 15);
}

/// Asserts that the last cell of each row of the page's tables names tests that exist, of which there are at least so many.
#[track_caller]
fn assert_named(page: &str, columns: usize, least: usize) {
    let root = root();
    let rust: Vec<PathBuf> = ["src", "crates", "tests"].iter().flat_map(|folder| files(folder, &["rs"])).collect();
    let mut known: HashSet<String> = HashSet::new();
    for path in &rust {
        let text = fs::read_to_string(path).expect("a source file");
        known.extend(names(&text, "fn "));
    }
    let text = fs::read_to_string(root.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), columns, "{page}: a row has {columns} cells: {row}");
        // The head of a table.
        if cells[columns - 1] == "test" {
            continue;
        }
        for test in cells[columns - 1].split(", ") {
            let test =
                test.strip_prefix('`').and_then(|test| test.strip_suffix('`')).unwrap_or_else(|| panic!("{test:?} in {row}"));
            assert!(exists(root, &known, &rust, test), "{page}: {test} does not exist, in the row of {}", cells[0]);
            count += 1;
        }
    }
    assert!(count >= least, "only {count} tests on {page}: has its form changed?");
}

/// Whether a test is there: a function, a module of unit tests, a file of Google's Python client, or a class or method in one.
fn exists(root: &Path, known: &HashSet<String>, rust: &[PathBuf], test: &str) -> bool {
    if let Some(rest) = test.strip_prefix("tests/official-client/") {
        let (file, name) = rest.split_once("::").map_or((rest, None), |(file, name)| (file, Some(name)));
        let Ok(text) = fs::read_to_string(root.join("tests/official-client").join(file)) else { return false };
        let parts = name.into_iter().flat_map(|name| name.split('.'));
        let found: HashSet<String> = names(&text, "def ").chain(names(&text, "class ")).collect();
        return parts.into_iter().all(|part| found.contains(part));
    }
    let path = test.strip_suffix("::tests").unwrap_or(test).replace("::", "/");
    let is_module =
        || rust.iter().any(|file| file.with_extension("").ends_with(&path) || file.ends_with(format!("{path}/mod.rs")));
    known.contains(test.rsplit("::").next().unwrap_or(test)) || is_module()
}
