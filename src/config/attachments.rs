//! Which attachments are stored: by patterns of file names and MIME types. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of patterns, and maximum length of each in bytes.
const MAX_PATTERNS: usize = 100;
const MAX_PATTERN: usize = 200;

/// `none`, `all`, or a list of patterns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attachments(Vec<String>);

// The forms in a settings file, for its JSON schema. A doc comment would replace that of the setting.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum Forms {
    One(String),
    List(Vec<String>),
}

impl Attachments {
    /// No attachment.
    pub fn none() -> Self {
        Self(vec!["none".into()])
    }

    /// Every attachment.
    pub fn all() -> Self {
        Self(vec!["all".into()])
    }

    /// Whether no attachment is to be stored.
    pub fn is_none(&self) -> bool {
        self.0.iter().all(|word| word == "none")
    }

    /// Whether an attachment with this file name and MIME type is to be stored, regardless of case. A pattern with a slash is compared with the MIME type,
    /// another one with the file name.
    pub fn include(&self, name: Option<&str>, mime_type: &str) -> bool {
        let (name, mime_type) = (name.map(str::to_lowercase), mime_type.to_lowercase());
        self.0.iter().map(|pattern| pattern.to_lowercase()).any(|pattern| match pattern.as_str() {
            "none" => false,
            "all" => true,
            pattern if pattern.contains('/') => fits(pattern, &mime_type),
            pattern => name.as_deref().is_some_and(|name| fits(pattern, name)),
        })
    }

    /// Whether the words make sense together.
    pub(super) fn is_valid(&self) -> bool {
        let is_word = |word: &String| ["none", "all"].contains(&word.as_str());
        match self.0.as_slice() {
            [word] if is_word(word) => true,
            patterns => {
                let is_pattern = |text: &String| (1..=MAX_PATTERN).contains(&text.len()) && !is_word(text);
                patterns.len() <= MAX_PATTERNS && patterns.iter().all(is_pattern)
            }
        }
    }
}

/// Whether a text fits a pattern, in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Attachments {
        Attachments(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn patterns_fit_names_or_types_regardless_of_case() {
        for (words, name, mime_type, is_included) in [
            (&["none"][..], Some("a.pdf"), "application/pdf", false),
            (&[], Some("a.pdf"), "application/pdf", false),
            (&["all"], None, "x/y", true),
            (&["*.pdf"], Some("Offer.PDF"), "application/octet-stream", true),
            (&["*.pdf"], Some("offer.pdf.exe"), "application/pdf", false),
            (&["*.pdf"], None, "application/pdf", false),
            (&["image/*", "*.pdf"], None, "image/png", true),
            (&["Image/*"], Some("image/a"), "text/plain", false),
            (&["*/*"], None, "text/calendar", true),
            (&["invoice*2026*.pdf"], Some("Invoice 4711 of 2026-11.pdf"), "x/y", true),
            (&["invoice*2026*.pdf"], Some("invoice 4711.pdf"), "x/y", false),
            (&["a*a"], Some("a"), "x/y", false),
            (&["a"], Some("ab"), "x/y", false),
            (&["*.ÜBER"], Some("x.über"), "x/y", true),
        ] {
            assert_eq!(of(words).include(name, mime_type), is_included, "{words:?} {name:?} {mime_type}");
        }
    }

    #[test]
    fn words_that_exclude_each_other_are_refused() {
        let long = "x".repeat(201);
        for (words, is_valid) in [
            (&["none"][..], true),
            (&["all"], true),
            (&[], true),
            (&["*.pdf", "image/*"], true),
            (&["all", "*.pdf"], false),
            (&["none", "all"], false),
            (&[""], false),
            (&[long.as_str()], false),
        ] {
            assert_eq!(of(words).is_valid(), is_valid, "{words:?}");
        }
        assert!(of(&["none"]).is_none() && of(&[]).is_none() && !of(&["*"]).is_none());
    }

    #[test]
    fn hostile_names_take_linear_time_per_piece() {
        assert!(!fits(&"a*".repeat(100), &"b".repeat(1_000_000)));
        assert!(!fits(&format!("*{}x", "a*".repeat(90)), &"a".repeat(1_000_000)));
    }
}
