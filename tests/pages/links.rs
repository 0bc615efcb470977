//! Links of the pages: each leads to a file of the project and to a heading of it, and each source that a page names is there.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::{files, root};

fn pages() -> Vec<PathBuf> {
    let outside = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/google-sim/README.md"];
    outside.iter().map(|page| root().join(page)).chain(files("docs", &["md"])).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text without blocks of code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let outside = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// Anchors of a page, as forges make them of headings.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
            let slug = kept.replace(' ', "-");
            let times = seen.entry(slug.clone()).or_default();
            *times += 1;
            if *times == 1 { slug } else { format!("{slug}-{}", *times - 1) }
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a regular expression");
    let (mut dead, mut count) = (Vec::new(), 0);
    for page in pages() {
        let text = read(&page);
        let shown = page.strip_prefix(root()).expect("a page of the project").display();
        for target in link.captures_iter(&prose(&text)).map(|captures| captures[1].to_owned()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = target.split_once('#').map_or((target.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let file = if path.is_empty() { page.clone() } else { page.parent().expect("a folder").join(path) };
            let is_there = file.exists() && anchor.is_none_or(|anchor| anchors(&read(&file)).iter().any(|own| own == anchor));
            if !is_there {
                dead.push(format!("{shown}: {target}"));
            }
        }
    }
    assert!(count > 50, "only {count} links were found: has their form changed?");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_source_that_a_page_names_is_there() {
    let source = Regex::new(r"`((?:src/|tests/|benches/|scripts/|sql/|docs/)?[a-z0-9_-]+(?:/[a-z0-9_-]+)*\.(?:rs|sql|md|sh))`")
        .expect("a regular expression");
    let mut missing = Vec::new();
    for page in pages().into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = read(&page);
        for path in source.captures_iter(&text).map(|captures| captures[1].to_owned()).filter(|path| path.contains('/')) {
            let bases = [root().to_owned(), root().join("src"), page.parent().expect("a folder").to_owned()];
            if !bases.iter().any(|base| base.join(&path).exists()) {
                missing.push(format!("{}: {path}", page.strip_prefix(root()).expect("a page of the project").display()));
            }
        }
    }
    assert!(missing.is_empty(), "sources that are not there:\n{}", missing.join("\n"));
}
