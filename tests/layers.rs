//! The layers of the source: an import may go down, never up and never sideways into another service.

#[path = "layers/circles.rs"]
mod circles;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Layers from the top. Modules on one layer may import each other only if `MAY_MEET` lists them.
const LAYERS: [&[&str]; 7] = [
    &["main", "cli", "fuzz"],
    &["commands"],
    &["services"],
    &["engine", "outbox", "webhook"],
    &["google", "db", "telemetry"],
    &["http"],
    &[
        "address",
        "charset",
        "classify",
        "config",
        "error",
        "links",
        "log_lines",
        "nul",
        "progress",
        "recurrence",
        "seal",
        "similar",
        "state",
        "trusted",
        "zone",
    ],
];

/// Modules on one layer that may import each other: the command line is one unit in two files, and the base modules are independent of the
/// rest.
const MAY_MEET: [(&str, &str); 10] = [
    ("main", "cli"),
    ("address", "error"),
    ("config", "error"),
    ("config", "similar"),
    ("config", "trusted"),
    ("log_lines", "config"),
    ("log_lines", "progress"),
    ("recurrence", "zone"),
    ("seal", "error"),
    ("seal", "trusted"),
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The paths from the root of the crate that a file names: in imports, over however many lines, and in code. Comments are left out.
fn paths(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        tree(&code[at + "crate::".len()..], &[], &mut paths);
    }
    for (at, _) in code.match_indices("super::").filter(|(at, _)| !code[..*at].ends_with("super::")) {
        let mut rest = &code[at..];
        let mut up = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, up) = (next, up + 1);
        }
        // In a file's unit tests the first `super` is the file itself.
        up -= usize::from(code[..at].contains("mod tests {"));
        tree(rest, &module[..module.len().saturating_sub(up)], &mut paths);
    }
    paths.into_iter().map(|(path, _)| path).collect()
}

/// The words of a path, and the name after `as`.
type Named = (Vec<String>, Option<String>);

/// Adds the paths of a tree like `google::{client, list::Item as One}` to `paths`, each after `prefix`; returns the text after the tree.
fn tree<'a>(text: &'a str, prefix: &[String], paths: &mut Vec<Named>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => rest = tree(rest, prefix, paths),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = [prefix, &[name.to_owned()]].concat();
    match rest.strip_prefix("::") {
        Some(rest) => tree(rest, &path, paths),
        None => {
            // After `*`, or the name after `as`.
            let end = rest.find([',', '}', ';', '(', '\n']).unwrap_or(rest.len());
            paths.push((path, rest[..end].trim().strip_prefix("as ").map(str::to_owned)));
            &rest[end..]
        }
    }
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// The path of the module in a file: `services`, `calendar`, `list` for `src/services/calendar/list.rs`.
fn module(src: &Path, path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(src).expect("a path under src").with_extension("");
    inside.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// Every file with its module and the paths that it names. `lib.rs`, which only declares modules, is left out.
fn files(src: &Path) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
    let mut files = Vec::new();
    sources(src, &mut files);
    let modules = files.into_iter().map(|path| (module(src, &path), path)).filter(|(module, _)| *module != ["lib"]);
    modules
        .map(|(module, path)| {
            let paths = paths(&std::fs::read_to_string(path).expect("a source file"), &module);
            (module, paths)
        })
        .collect()
}

fn faults(src: &Path) -> Vec<String> {
    let mut faults = BTreeSet::new();
    for (module, paths) in files(src) {
        let (shown, own) = (module.join("::"), &module[0]);
        let from = layer(own).unwrap_or_else(|| panic!("{shown} is on no layer: add {own} to LAYERS"));
        for import in paths.iter().map(|path| &path[0]) {
            let Some(to) = layer(import) else { continue };
            let allowed = import == own || to > from || MAY_MEET.contains(&(own.as_str(), import.as_str()));
            if !allowed {
                faults.insert(format!("{shown} imports {import}"));
            }
        }
    }
    faults.into_iter().collect()
}

/// Imports of one service by another.
fn strangers(src: &Path) -> Vec<String> {
    let mut faults = BTreeSet::new();
    // What is no folder, such as a list of all services, is of none.
    let is_of_service = |path: &[String]| path.len() > 1 && path[0] == "services" && src.join("services").join(&path[1]).is_dir();
    for (module, paths) in files(src).iter().filter(|(module, _)| is_of_service(module)) {
        for path in paths.iter().filter(|path| is_of_service(path) && path[1] != module[1]) {
            faults.insert(format!("{} imports services::{}", module.join("::"), path[1]));
        }
    }
    faults.into_iter().collect()
}

#[test]
fn imports_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(faults(&src), Vec::<String>::new());
}

#[test]
fn no_service_knows_another() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(strangers(&src), Vec::<String>::new());
}

/// Every transaction of a run sets timeouts: one without them can outlive its host for hours, with all its locks.
#[test]
fn transactions_are_begun_with_bounds() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    let begun = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a source file");
        ["client.transaction()", "build_transaction()"].iter().any(|how| text.contains(how))
    };
    paths.retain(begun);
    paths.sort();
    // Where they get their timeouts, and the schema migration, which sets its own.
    assert_eq!(paths, [src.join("db/connection.rs"), src.join("db/migrate.rs")]);
}

/// A folder like `src`, with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("making a folder");
        std::fs::write(path, text).expect("writing");
    }
    folder
}

#[test]
fn an_import_that_runs_up_or_sideways_is_seen() {
    let src = folder(&[
        ("db/up.rs", "use crate::{engine::pace, error};\n"),
        ("db/sideways.rs", "fn f() { crate::google::get() }\n"),
        (
            "db/over_lines.rs",
            "use crate::{\n    config::{self, Settings as Set},\n    engine::{\n        pace, queue,\n    },\n};\n",
        ),
        ("db/by_super.rs", "use super::super::webhook;\n"),
        ("db/down.rs", "use crate::error::Fault;\n// crate::engine in a comment\nuse crate::{config::google, error};\n"),
        ("db/tests_of_a_file.rs", "mod tests {\n    use super::super::outbox;\n}\n"),
    ]);
    let seen =
        ["db::by_super imports webhook", "db::over_lines imports engine", "db::sideways imports google", "db::up imports engine"];
    assert_eq!(faults(src.path()), seen);
}

#[test]
fn a_service_that_imports_another_is_seen() {
    let src = folder(&[
        ("services/drive/store.rs", "use super::files;\n"),
        ("services/gmail/over_lines.rs", "use crate::{\n    services::{\n        drive::store,\n    },\n};\n"),
        ("services/gmail/by_super.rs", "use super::super::drive;\n"),
        ("services/gmail/own.rs", "use crate::services::{gmail, Registered};\n"),
        ("services/all.rs", "use crate::services::{drive, gmail};\n"),
    ]);
    let seen = ["services::gmail::by_super imports services::drive", "services::gmail::over_lines imports services::drive"];
    assert_eq!(strangers(src.path()), seen);
}
