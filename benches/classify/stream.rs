//! Documents in order: each is decided based on earlier ones, then its own label becomes known.

use std::collections::HashMap;

use syncctl::classify::Label;
use syncctl::classify::decide::{Evidence as By, Kinship, LATEST_OF_SENDER, May, Neighbours, Outcome};
use syncctl::classify::features::Features;
use syncctl::classify::learner::Learner;
use syncctl::classify::linear::Model;
use syncctl::classify::score::Score;

use crate::corpus::Document;

/// A decision rule; the second part names the deciding step.
pub type Rule = fn(&Learner, &Features, &Neighbours) -> Option<(Label, &'static str)>;

/// The product's rule.
pub fn product_rule(learner: &Learner, features: &Features, neighbours: &Neighbours) -> Option<(Label, &'static str)> {
    match learner.decide(features, neighbours, |_| May::Given).outcome {
        Outcome::Decided { label, by: By::Kin, .. } => Some((label, "kin")),
        Outcome::Decided { label, by: By::Sender, .. } => Some((label, "sender")),
        Outcome::Decided { label, by: By::Model, .. } => Some((label, "model")),
        Outcome::Unsure => None,
    }
}

pub fn sender_alone(_: &Learner, _: &Features, neighbours: &Neighbours) -> Option<(Label, &'static str)> {
    neighbours.sender().map(|(_, label)| (label, "sender"))
}

pub fn kin_alone(_: &Learner, _: &Features, neighbours: &Neighbours) -> Option<(Label, &'static str)> {
    neighbours.kin().map(|(_, label)| (label, "kin"))
}

pub fn model_alone(learner: &Learner, features: &Features, _: &Neighbours) -> Option<(Label, &'static str)> {
    product_rule(learner, features, &Neighbours::default())
}

pub fn without_threshold(learner: &Learner, features: &Features, neighbours: &Neighbours) -> Option<(Label, &'static str)> {
    let best = || learner.model().rank(features, |_| true).first().map(|best| (best.label, "model"));
    kin_alone(learner, features, neighbours).or_else(|| sender_alone(learner, features, neighbours)).or_else(best)
}

pub fn replay(documents: &[Document], rule: Rule) -> Score {
    replay_from(documents, 0, rule)
}

/// All documents are learnt; those before `from` are not counted.
pub fn replay_from(documents: &[Document], from: usize, rule: Rule) -> Score {
    let mut learner = Learner::default();
    let mut threads: HashMap<&str, Vec<(Kinship, Label)>> = HashMap::new();
    // Newest first.
    let mut senders: HashMap<&str, Vec<Label>> = HashMap::new();
    let mut score = Score::default();
    for (number, document) in documents.iter().enumerate() {
        let (features, label) = (document.features(), document.label());
        let thread = document.thread.as_deref().map(|thread| threads.entry(thread).or_default());
        let sender =
            Some(document.sender.as_str()).filter(|sender| !sender.is_empty()).map(|sender| senders.entry(sender).or_default());
        let neighbours = Neighbours {
            kin: thread.as_deref().map_or(&[], Vec::as_slice),
            sender: sender.as_deref().map_or(&[], Vec::as_slice),
        };
        let decided = rule(&learner, &features, &neighbours);
        if number >= from {
            score.add(label, decided);
        }
        learner.learn(&features, &neighbours, label).expect("room for a label");
        if let Some(thread) = thread {
            thread.push((Kinship::Thread, label));
        }
        if let Some(sender) = sender {
            sender.insert(0, label);
            sender.truncate(LATEST_OF_SENDER);
        }
    }
    score
}

/// The share of all others that the model ranks correctly after learning the first ones.
pub fn cold(documents: &[Document], learnt: usize) -> f64 {
    let mut model = Model::default();
    for document in &documents[..learnt] {
        model.learn(&document.features(), document.label()).expect("room for a label");
    }
    let others = &documents[learnt..];
    let is_right = |document: &&Document| {
        model.rank(&document.features(), |_| true).first().is_some_and(|best| best.label == document.label())
    };
    others.iter().filter(is_right).count() as f64 / others.len() as f64
}
