//! A strict parser of Prometheus's text format, as in https://prometheus.io/docs/instrumenting/exposition_formats: it refuses everything
//! unknown.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

/// The content of a text.
#[derive(Debug, Default)]
pub struct Exposition {
    /// Value by name and labels as written, labels by name: `syncctl_runs{service="gmail",status="failed"}`.
    pub values: BTreeMap<String, f64>,
    /// Names that have a help text and a type.
    pub families: BTreeSet<String>,
}

impl Exposition {
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.values))
    }
}

/// Parses a text; each error in it fails the test.
#[track_caller]
pub fn read(text: &str) -> Exposition {
    let sample = Regex::new(r#"^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)$"#).expect("a pattern");
    let label = Regex::new(r#"^([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)"#).expect("a pattern");
    let (mut read, mut helped, mut current) = (Exposition::default(), BTreeSet::new(), String::new());
    assert!(text.ends_with('\n'), "the last line does not end");
    for line in text.lines() {
        if line == "# EOF" {
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            assert!(!help.trim().is_empty() && helped.insert(name.to_owned()), "no help, or a second one: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
            assert!(matches!(kind, "gauge" | "counter" | "histogram" | "summary" | "untyped"), "{line}");
            assert!(helped.contains(name) && read.families.insert(name.to_owned()), "no help, or a second type: {line}");
            name.clone_into(&mut current);
        } else {
            let parts = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
            assert_eq!(parts[1], current, "a sample outside of its family: {line}");
            let mut rest = parts.get(2).map_or("", |labels| labels.as_str());
            let mut labels = BTreeMap::new();
            while !rest.is_empty() {
                let captures = label.captures(rest).unwrap_or_else(|| panic!("no label at {rest:?}: {line}"));
                assert!(labels.insert(captures[1].to_owned(), captures[2].to_owned()).is_none(), "a label twice: {line}");
                rest = &rest[captures[0].len()..];
            }
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let series = if labels.is_empty() { current.clone() } else { format!("{current}{{{}}}", labels.join(",")) };
            let value = parts[3].parse().expect("a number");
            assert!(read.values.insert(series, value).is_none(), "a series twice: {line}");
        }
    }
    read
}
