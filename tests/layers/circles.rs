//! Files that import each other in a circle cannot be read, or moved, one without the other.
//!
//! A file may use what its ancestors define: a folder is one unit with the file of the same name. Every other import counts, and so does a path that begins
//! with a child. Tests are left out; a name that a file only hands on (`pub use`) is followed to where it is defined.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `["engine", "poll"]`, or an item of it.
type Name = Vec<String>;

#[derive(Default)]
struct File {
    children: Vec<String>,
    /// Absolute paths that it uses itself.
    uses: BTreeSet<Name>,
    /// Absolute paths, by the names that they have in this file.
    imports: BTreeMap<String, Name>,
}

type Files = BTreeMap<Name, File>;

/// The absolute form of a path in a file; `None` if it is of another crate.
fn absolute(path: &[String], of: &Name, file: &File) -> Option<Name> {
    // `*` has no name.
    let words: Vec<&str> = path.iter().map(String::as_str).filter(|word| *word != "self" && !word.is_empty()).collect();
    let ups = words.iter().take_while(|word| **word == "super").count();
    let base: Name = match *words.first()? {
        "super" => of[..of.len().checked_sub(ups)?].to_vec(),
        "crate" => Vec::new(),
        first if path[0] == "self" || file.children.iter().any(|child| child == first) => of.clone(),
        first => return file.imports.get(first).map(|base| [base.as_slice(), &owned(&words[1..])].concat()),
    };
    Some([base, owned(&words[ups.max(usize::from(words[0] == "crate"))..])].concat())
}

fn owned(words: &[&str]) -> Name {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What follows a word that begins a statement, such as `use`, if this one does; `true`: for other files too.
fn after<'a>(statement: &'a str, word: &str) -> Option<(bool, &'a str)> {
    let (before, after) = statement.rsplit_once(word)?;
    let before = before.rsplit('\n').next().unwrap_or_default().trim();
    (before.is_empty() || before.starts_with("pub")).then_some((!before.is_empty(), after))
}

fn read(text: &str, of: &Name) -> File {
    let mut file = File::default();
    let code = ["#[cfg(test)]\nmod", "#[cfg(test)]\n#[path"]
        .iter()
        .fold(text, |code, tests| code.split(tests).next().unwrap_or_default());
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    for statement in lines.join("\n").split(';') {
        if let Some((_, child)) = after(statement, "mod ").filter(|(_, child)| !child.contains(char::is_whitespace)) {
            file.children.push(child.to_owned());
        } else if let Some((for_others, imported)) = after(statement, "use ") {
            let mut paths = Vec::new();
            super::tree(imported, &[], &mut paths);
            for (path, name) in paths {
                let Some(absolute) = absolute(&path, of, &file) else { continue };
                let name = name.or_else(|| absolute.last().cloned()).unwrap_or_default();
                file.uses.extend((!for_others).then(|| absolute.clone()));
                file.imports.insert(name, absolute);
            }
        } else {
            let begins = |child: &&String| {
                statement
                    .match_indices(&format!("{child}::"))
                    .any(|(at, _)| !statement[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            };
            let used: Vec<Name> =
                file.children.iter().filter(begins).map(|child| [of.as_slice(), std::slice::from_ref(child)].concat()).collect();
            file.uses.extend(used);
        }
    }
    file
}

/// The file that defines this name.
fn definition<'a>(files: &'a Files, name: &[String], hops: usize) -> Option<&'a Name> {
    let (file, contents) = (0..=name.len()).rev().find_map(|end| files.get_key_value(&name[..end]))?;
    let rest = &name[file.len()..];
    match rest.first().and_then(|first| contents.imports.get(first)) {
        Some(other) if hops > 0 => definition(files, &[other, &rest[1..]].concat(), hops - 1),
        _ => Some(file),
    }
}

/// The arrows of all circles: `a -> b`.
fn circles(src: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    super::sources(src, &mut paths);
    let mut files = Files::new();
    for path in paths {
        let inside = path.strip_prefix(src).expect("a path under src").with_extension("");
        let name: Name = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        files.insert(name.clone(), read(&std::fs::read_to_string(&path).expect("a source file"), &name));
    }
    files.remove(&owned(&["lib"]));
    let mut arrows: BTreeSet<(&Name, &Name)> = BTreeSet::new();
    for (name, file) in &files {
        let used = file.uses.iter().filter_map(|used| definition(&files, used, 5));
        arrows.extend(used.filter(|other| !name.starts_with(other)).map(|other| (name, other)));
    }
    // What has no arrow out, or none in, is part of no circle.
    loop {
        let (from, to): (BTreeSet<&Name>, BTreeSet<&Name>) = arrows.iter().copied().unzip();
        let count = arrows.len();
        arrows.retain(|(a, b)| to.contains(a) && from.contains(b));
        if arrows.len() == count {
            break;
        }
    }
    let circular = arrows.iter().filter(|(a, b)| reaches(&arrows, b, a));
    circular.map(|(a, b)| format!("{} -> {}", a.join("/"), b.join("/"))).collect()
}

fn reaches(arrows: &BTreeSet<(&Name, &Name)>, from: &Name, to: &Name) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(name) = next.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            next.extend(arrows.iter().filter(|(a, _)| *a == name).map(|(_, b)| *b));
        }
    }
    false
}

#[test]
fn no_files_import_each_other() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(circles(&src), Vec::<String>::new());
}

#[test]
fn a_circle_is_seen_over_several_lines_and_through_another_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let src = folder.path();
    std::fs::create_dir_all(src.join("db/pool")).expect("making folders");
    let write = |name: &str, text: &str| std::fs::write(src.join(name), text).expect("writing");
    write("db.rs", "mod pool;\nmod rows;\nmod runs;\npub use rows::Row;\n");
    write("db/pool.rs", "mod idle;\nuse super::{\n    Row,\n    runs::{self as all, Run},\n};\nfn f() { idle::close() }\n");
    write("db/pool/idle.rs", "use super::Pool;\nuse crate::db::rows::Row;\n");
    write("db/rows.rs", "use serde::Serialize;\n#[cfg(test)]\nmod tests {\n    use crate::db::pool::Pool;\n}\n");
    write("db/runs.rs", "// use super::pool::Pool;\n");
    assert_eq!(circles(src), Vec::<String>::new());
    write("db/rows.rs", "use crate::db::{pool::Pool, runs::Run};\n");
    assert_eq!(circles(src), ["db/pool -> db/pool/idle", "db/pool -> db/rows", "db/pool/idle -> db/rows", "db/rows -> db/pool"]);
}
