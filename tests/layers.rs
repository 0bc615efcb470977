//! The layers of the source: an import may go down, never up and never sideways into another service.

#[path = "layers/circles.rs"]
mod circles;

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
        "nul",
        "progress",
        "recurrence",
        "seal",
        "state",
        "trusted",
        "zone",
    ],
];

/// Modules on one layer that may import each other: the command line is one unit in two files, and the base modules are independent of the
/// rest.
const MAY_MEET: [(&str, &str); 7] = [
    ("main", "cli"),
    ("address", "error"),
    ("config", "error"),
    ("config", "trusted"),
    ("recurrence", "zone"),
    ("seal", "error"),
    ("seal", "trusted"),
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every `crate::` path in the code of a file, including its tests.
fn imports(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut rest = line;
        while let Some(at) = rest.find("crate::") {
            rest = &rest[at + "crate::".len()..];
            let braced = rest.strip_prefix('{');
            match braced {
                // `use crate::{google, seal};`: the first word of each part.
                Some(list) => problems.extend(
                    list.split(['{', '}', ','])
                        .filter_map(|part| part.trim().split("::").next())
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned),
                ),
                None => problems.extend(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)),
            }
        }
    }
    problems
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

/// `src/services/calendar/list.rs` belongs to `services`, and to the service `calendar`.
fn location(src: &Path, path: &Path) -> (String, Option<String>) {
    let inside = path.strip_prefix(src).expect("a path under src").with_extension("");
    let mut parts = inside.iter().map(|part| part.to_string_lossy().into_owned());
    let module = parts.next().expect("a file has a name");
    (module, parts.next())
}

fn faults(src: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    sources(src, &mut paths);
    let mut faults = Vec::new();
    for path in paths {
        let (module, _) = location(src, &path);
        if module == "lib" {
            continue;
        }
        let shown = path.strip_prefix(src).expect("a path under src").display().to_string();
        let from = layer(&module).unwrap_or_else(|| panic!("{shown}: the module {module} is on no layer: add it to LAYERS"));
        let text = std::fs::read_to_string(&path).expect("a source file");
        for import in imports(&text) {
            let Some(to) = layer(&import) else { continue };
            let allowed = import == module || to > from || MAY_MEET.contains(&(module.as_str(), import.as_str()));
            if !allowed {
                faults.push(format!("{shown} ({module}) imports crate::{import}"));
            }
        }
    }
    faults
}

/// `crate::services::calendar` inside the folder of another service.
fn strangers(src: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    sources(&src.join("services"), &mut paths);
    let services: Vec<String> = std::fs::read_dir(src.join("services"))
        .expect("services is readable")
        .filter_map(|entry| {
            entry.ok().filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    let mut faults = Vec::new();
    for path in paths {
        let (_, own) = location(src, &path);
        let text = std::fs::read_to_string(&path).expect("a source file");
        for other in services.iter().filter(|other| Some(*other) != own.as_ref() && own.as_deref() != Some("mod")) {
            if text.contains(&format!("services::{other}")) || text.contains(&format!("super::super::{other}")) {
                faults.push(format!("{} knows the service {other}", path.display()));
            }
        }
    }
    faults
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

#[test]
fn an_import_that_runs_up_or_sideways_is_seen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let src = folder.path();
    std::fs::create_dir_all(src.join("db")).expect("making db");
    std::fs::write(src.join("db/up.rs"), "use crate::{engine::pace, error};\n").expect("writing");
    std::fs::write(src.join("db/sideways.rs"), "fn f() { crate::google::get() }\n").expect("writing");
    std::fs::write(src.join("db/down.rs"), "use crate::error::Fault;\n// crate::engine in a comment\n").expect("writing");
    let mut problems = faults(src);
    problems.sort();
    assert_eq!(problems, ["db/sideways.rs (db) imports crate::google", "db/up.rs (db) imports crate::engine"]);
}
