//! Texts sorted by people, prepared by `scripts/corpora`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use serde::Deserialize;
use syncctl::classify::Label;
use syncctl::classify::features::{Features, Text, features};
use uuid::Uuid;

/// A line of a corpus.
#[derive(Deserialize)]
pub struct Document {
    /// The assigned project; `None`: none of them.
    pub label: Option<String>,
    pub thread: Option<String>,
    pub sender: String,
    pub title: String,
    pub body: String,
}

impl Document {
    /// Projects with the same name always have the same ID.
    pub fn label(&self) -> Label {
        let mut id = [0_u8; 16];
        let Some(name) = &self.label else { return Label::NoneOfThem };
        name.bytes().enumerate().for_each(|(at, byte)| id[at % 16] = id[at % 16].rotate_left(3) ^ byte);
        Label::Project(Uuid::from_bytes(id))
    }

    pub fn features(&self) -> Features {
        features(&Text { title: &self.title, sender: &self.sender, body: &self.body })
    }
}

/// Iterates over the documents.
pub fn lines(name: &str) -> impl Iterator<Item = Document> {
    let path = figures_path(&format!("corpora/{name}.jsonl"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error} (scripts/corpora fetches it)"));
    BufReader::new(file).lines().map(|line| serde_json::from_str(&line.expect("a line")).expect("a document"))
}

pub fn read(name: &str) -> Vec<Document> {
    lines(name).collect()
}

/// In cargo's target folder.
pub fn figures_path(file: &str) -> String {
    crate::shared::figures::path(file)
}
