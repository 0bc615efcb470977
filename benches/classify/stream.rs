//! Documents in their order: each is decided on by what is known of those before it, then its own label becomes known.

use std::collections::HashMap;

use syncctl::classify::Label;
use syncctl::classify::decide::{Kinship, LATEST_OF_SENDER, Neighbours, Outcome, Way as By};
use syncctl::classify::features::Features;
use syncctl::classify::learner::Learner;
use syncctl::classify::linear::Model;

use crate::corpus::Document;

/// How a document is decided on; the second part says by what.
pub type Way = fn(&Learner, &Features, &Neighbours) -> Option<(Label, &'static str)>;

/// As the product decides.
pub fn whole(learner: &Learner, features: &Features, neighbours: &Neighbours) -> Option<(Label, &'static str)> {
    match learner.judge(features, neighbours, |_| true).outcome {
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
    whole(learner, features, &Neighbours::default())
}

pub fn without_threshold(learner: &Learner, features: &Features, neighbours: &Neighbours) -> Option<(Label, &'static str)> {
    let best = || learner.model().rank(features).first().map(|best| (best.label, "model"));
    kin_alone(learner, features, neighbours).or_else(|| sender_alone(learner, features, neighbours)).or_else(best)
}

/// What was decided, and what of it was right.
#[derive(Default)]
pub struct Score {
    /// Documents that belong into a project.
    pub belong: usize,
    /// Of those, given a project.
    pub covered: usize,
    /// Given a project, and the right one.
    pub given: usize,
    pub right: usize,
    /// Decided on, "none of them" included, and rightly.
    decided: usize,
    decided_right: usize,
    /// Decided on and right, by way.
    ways: HashMap<&'static str, (usize, usize)>,
}

impl Score {
    pub fn add(&mut self, truth: Label, decided: Option<(Label, &'static str)>) {
        self.belong += usize::from(truth != Label::NoneOfThem);
        let Some((label, way)) = decided else { return };
        let is_right = usize::from(label == truth);
        self.decided += 1;
        self.decided_right += is_right;
        let way = self.ways.entry(way).or_default();
        *way = (way.0 + 1, way.1 + is_right);
        if label != Label::NoneOfThem {
            self.given += 1;
            self.right += is_right;
            self.covered += usize::from(truth != Label::NoneOfThem);
        }
    }

    pub fn precision(&self) -> f64 {
        self.right as f64 / self.given as f64
    }

    pub fn precision_with_none(&self) -> f64 {
        self.decided_right as f64 / self.decided as f64
    }

    pub fn coverage(&self) -> f64 {
        self.covered as f64 / self.belong as f64
    }

    /// As in `kin 1657 of 1663, sender 1319 of 1332`.
    pub fn by_way(&self) -> String {
        let told = |way: &&str| self.ways.get(*way).map(|(decided, right)| format!("{way} {right} of {decided}"));
        ["kin", "sender", "model"].iter().filter_map(told).collect::<Vec<_>>().join(", ")
    }
}

pub fn replay(documents: &[Document], way: Way) -> Score {
    replay_from(documents, 0, way)
}

/// All documents are learnt; those before `from` are not counted.
pub fn replay_from(documents: &[Document], from: usize, way: Way) -> Score {
    let mut learner = Learner::default();
    let mut threads: HashMap<&str, Vec<(Kinship, Label)>> = HashMap::new();
    // The newest first.
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
        let decided = way(&learner, &features, &neighbours);
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

/// The share of all others that the model ranks rightly once it has learnt the first ones.
pub fn cold(documents: &[Document], learnt: usize) -> f64 {
    let mut model = Model::default();
    for document in &documents[..learnt] {
        model.learn(&document.features(), document.label()).expect("room for a label");
    }
    let others = &documents[learnt..];
    let is_right =
        |document: &&Document| model.rank(&document.features()).first().is_some_and(|best| best.label == document.label());
    others.iter().filter(is_right).count() as f64 / others.len() as f64
}
