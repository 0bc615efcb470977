//! Finds the parts of a text that count towards a label. The model stores hashes only, so the document's words are hashed again.

use std::collections::HashMap;

use super::Label;
use super::features::{Part, Text, features, walk};
use super::linear::Model;

/// A part of a text and how much it adds to a label's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// A word, a word of the title, two words, or `from` and a sender or its domain; in lower case.
    pub part: String,
    /// Greater than 0; a term of the score before the logistic function.
    pub weight: f32,
}

/// Maximum number of characters shown of a word.
const MAX_CHARACTERS: usize = 40;

/// Returns the `max` parts of a text that contribute most to a label, strongest first.
pub fn contributions(model: &Model, text: &Text, label: Label, max: usize) -> Vec<Contribution> {
    let mut weights: HashMap<u32, f32> = model.positive_weights(&features(text), label).collect();
    let mut contributions = Vec::new();
    walk(text, &mut |bucket, part| {
        // A bucket is named after its first part.
        if let Some(weight) = weights.remove(&bucket) {
            contributions.push(Contribution { part: shown(part), weight });
        }
    });
    contributions.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.part.cmp(&b.part)));
    contributions.truncate(max);
    contributions
}

fn shown(part: Part) -> String {
    let cut = |word: &str| word.chars().take(MAX_CHARACTERS).collect::<String>().to_lowercase();
    match part {
        Part::Word(word) => cut(word),
        Part::TitleWord(word) => format!("{} in the title", cut(word)),
        Part::Pair(first, second) => format!("{} {}", cut(first), cut(second)),
        Part::Sender(address) => format!("from {}", address.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn explanations_use_words_of_the_document() {
        let (bridge, garden) = (Label::Project(Uuid::from_u128(1)), Label::Project(Uuid::from_u128(2)));
        let sent = |body| Text { title: "", sender: "Ada <ada@example.com>", body };
        let mut model = Model::default();
        for _ in 0..10 {
            model.learn(&features(&sent("the Bridge of steel")), bridge).expect("a free label");
            model.learn(&features(&Text { sender: "", ..sent("the garden of roses") }), garden).expect("a free label");
        }
        let text = sent("STEEL Bridge the garden");
        let shown = contributions(&model, &text, bridge, 100);
        let parts: Vec<&str> = shown.iter().map(|one| one.part.as_str()).collect();
        for part in ["bridge", "steel", "from ada@example.com", "from @example.com"] {
            assert!(parts.contains(&part), "{part} in {shown:?}");
        }
        assert!(!parts.contains(&"garden") && shown.iter().all(|one| one.weight > 0.0), "{shown:?}");
        assert!(shown.is_sorted_by(|a, b| a.weight >= b.weight));
        let titled = Text { title: "Steel", ..text };
        model.learn(&features(&titled), bridge).expect("a free label");
        let shown = contributions(&model, &titled, bridge, 100);
        assert!(shown.iter().any(|one| one.part == "steel in the title"), "{shown:?}");
        assert_eq!(contributions(&model, &text, bridge, 1).len(), 1);
        assert_eq!(contributions(&model, &text, Label::NoneOfThem, 5), []);
    }
}
