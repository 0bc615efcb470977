//! What in a text speaks for a label: a model has no words, so the document's own are hashed again. Decides nothing.

use std::collections::HashMap;

use super::Label;
use super::features::{Part, Text, features, walk};
use super::linear::Model;

/// A part of a text and how much it adds to a label's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// A word, a word of the title, two words, or `from` and a sender or its domain; in lower case.
    pub part: String,
    /// More than 0; the score is a sum of these, before the logistic function.
    pub weight: f32,
}

/// Characters of a word that are shown.
const MOST_CHARACTERS: usize = 40;

/// The parts of a text that speak for a label, the strongest first, at most so many.
pub fn contributions(model: &Model, text: &Text, label: Label, most: usize) -> Vec<Contribution> {
    let mut weights: HashMap<u32, f32> = model.speaks_for(&features(text), label).collect();
    let mut found = Vec::new();
    walk(text, &mut |bucket, part| {
        // The first part in a bucket gives its name.
        if let Some(weight) = weights.remove(&bucket) {
            found.push(Contribution { part: shown(part), weight });
        }
    });
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.part.cmp(&b.part)));
    found.truncate(most);
    found
}

fn shown(part: Part) -> String {
    let cut = |word: &str| word.chars().take(MOST_CHARACTERS).collect::<String>().to_lowercase();
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
    fn the_words_that_speak_for_a_project_are_the_documents_own() {
        let (bridge, garden) = (Label::Project(Uuid::from_u128(1)), Label::Project(Uuid::from_u128(2)));
        let sent = |body| Text { title: "", sender: "Ada <ada@example.com>", body };
        let mut model = Model::default();
        for _ in 0..10 {
            model.learn(&features(&sent("the Bridge of steel")), bridge).expect("room");
            model.learn(&features(&Text { sender: "", ..sent("the garden of roses") }), garden).expect("room");
        }
        let text = sent("STEEL Bridge the garden");
        let told = contributions(&model, &text, bridge, 100);
        let parts: Vec<&str> = told.iter().map(|one| one.part.as_str()).collect();
        for part in ["bridge", "steel", "from ada@example.com", "from @example.com"] {
            assert!(parts.contains(&part), "{part} in {told:?}");
        }
        assert!(!parts.contains(&"garden") && told.iter().all(|one| one.weight > 0.0), "{told:?}");
        assert!(told.is_sorted_by(|a, b| a.weight >= b.weight));
        let titled = Text { title: "Steel", ..text };
        model.learn(&features(&titled), bridge).expect("room");
        let told = contributions(&model, &titled, bridge, 100);
        assert!(told.iter().any(|one| one.part == "steel in the title"), "{told:?}");
        assert_eq!(contributions(&model, &text, bridge, 1).len(), 1);
        assert_eq!(contributions(&model, &text, Label::NoneOfThem, 5), []);
    }
}
