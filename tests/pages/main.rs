//! Pages held to what they speak of: tests, commands and settings that they name exist, links lead somewhere, and words are those of the glossary.

mod commands;
mod links;
mod named;
mod shell;
mod wording;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the project.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the project with one of these extensions.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    fn below(folder: &Path, extensions: &[&str], all: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                below(&path, extensions, all);
            } else if path.extension().is_some_and(|own| extensions.iter().any(|extension| own == *extension)) {
                all.push(path);
            }
        }
    }
    let mut all = Vec::new();
    below(&root().join(folder), extensions, &mut all);
    all
}
