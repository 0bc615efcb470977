//! What was learnt from one user's assignments: a model, and how often each kind of evidence predicted an assignment before it was learnt.
//! Learns from people only, never from automatic decisions.

use std::sync::OnceLock;

use super::Label;
use super::decide::{Decision, May, Neighbours, Opinion, Tallies, decide, is_refuted};
use super::features::Features;
use super::linear::{Model, Weight};
use super::threshold::{Past, Record};

/// What was learnt from one user's assignments, in the order in which they were made. It cannot unlearn: when an assignment is withdrawn or
/// changed, start from an empty learner and learn all current assignments again.
#[derive(Debug, Clone, Default)]
pub struct Learner {
    pub(super) model: Model,
    pub(super) past: Past,
    pub(super) tallies: Tallies,
    threshold: OnceLock<Option<f32>>,
}

impl Learner {
    pub(super) fn of(model: Model, past: Past, tallies: Tallies) -> Self {
        Self { model, past, tallies, threshold: OnceLock::new() }
    }

    /// Decides on a document. `may` returns whether a label may be given to it.
    pub fn decide(&self, features: &Features, neighbours: &Neighbours, may: impl Fn(Label) -> May) -> Decision {
        let opinion = Opinion {
            ranked: &self.model.rank(features, |label| may(label) != May::Refused),
            assignments: self.model.documents(),
            projects: self.model.projects(),
            threshold: self.threshold(),
        };
        decide(neighbours, &opinion, &self.tallies, may)
    }

    /// Learns a person's assignment of a document. `neighbours` are the assignments made before it.
    ///
    /// # Errors
    ///
    /// Returns an error and changes nothing if the label is new and there are already 10,000 labels.
    pub fn learn(&mut self, features: &Features, neighbours: &Neighbours, label: Label) -> anyhow::Result<()> {
        let (kin, sender) = (neighbours.kin().map(|(_, label)| label), neighbours.sender().map(|(_, label)| label));
        let by_kin = kin.is_some() && !is_refuted(self.tallies.kin);
        let by_sender = !by_kin && sender.is_some() && !is_refuted(self.tallies.sender);
        // Measure the model only by the documents it would decide on: those with kin are easier.
        let best = if by_kin || by_sender { None } else { self.model.rank(features, |_| true).first().copied() };
        self.model.learn(features, label)?;
        if let Some(kin) = kin {
            self.tallies.kin.push(kin == label);
        }
        if let Some(sender) = sender.filter(|_| !by_kin) {
            self.tallies.sender.push(sender == label);
        }
        if let Some(best) = best {
            self.past.push(Record { confidence: best.confidence, is_right: best.label == label });
            self.threshold = OnceLock::new();
        }
        Ok(())
    }

    /// The lowest confidence at which the model decides; `None` if it does not decide at all.
    pub fn threshold(&self) -> Option<f32> {
        *self.threshold.get_or_init(|| self.past.threshold())
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Approximate memory use in bytes.
    pub fn bytes(&self) -> usize {
        let Model { rows, classes, weights, .. } = &self.model;
        size_of_val(rows.as_slice()) + size_of_val(classes.as_slice()) + weights * size_of::<Weight>()
    }

    /// The model's latest predictions, and whether each was right.
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// How often kin and senders were right.
    pub fn tallies(&self) -> Tallies {
        self.tallies
    }
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::super::decide::{Evidence, Kinship, Outcome};
    use super::super::features::{Text, features};
    use super::super::threshold::Tally;
    use super::*;

    pub const WORDS: [&str; 3] = ["steel of the bridge", "roses in the garden", "a lottery ticket"];

    pub fn label(number: usize) -> Label {
        [Label::Project(Uuid::from_u128(1)), Label::Project(Uuid::from_u128(2)), Label::NoneOfThem][number % 3]
    }

    pub fn of(body: &str) -> Features {
        features(&Text { body, ..Text::default() })
    }

    /// Returns a learner that has learnt this many documents of three kinds.
    pub fn taught(documents: usize) -> Learner {
        let mut learner = Learner::default();
        for number in 0..documents {
            let text = of(&format!("{} {number}", WORDS[number % 3]));
            learner.learn(&text, &Neighbours::default(), label(number)).expect("a free label");
        }
        learner
    }

    #[test]
    fn the_model_decides_once_it_has_been_right_often_enough() {
        let outcome = |documents| taught(documents).decide(&of(WORDS[1]), &Neighbours::default(), |_| May::Given).outcome;
        assert_eq!(outcome(29), Outcome::Unsure);
        assert_eq!(outcome(60), Outcome::Unsure);
        assert!(matches!(outcome(200), Outcome::Decided { label: given, by: Evidence::Model, .. } if given == label(1)));
    }

    #[test]
    fn predictions_are_measured_before_learning() {
        let mut learner = Learner::default();
        // Labels that the text does not predict: right every time after learning, half of the time before.
        for number in 0..400_usize {
            let text = of(&format!("word{number} word{}", number + 1_000));
            learner.learn(&text, &Neighbours::default(), label(number * number % 7 % 2)).expect("a free label");
        }
        assert_eq!(learner.threshold(), None);
    }

    #[test]
    fn decisions_by_kin_or_sender_are_not_credited_to_the_model() {
        let mut learner = taught(100);
        let seen = learner.past().records().len();
        let kin = Neighbours { kin: &[(Kinship::Thread, label(0))], sender: &[label(1); 3] };
        learner.learn(&of(WORDS[0]), &kin, label(0)).expect("a free label");
        let sender = Neighbours { kin: &[], sender: &[label(1); 3] };
        learner.learn(&of(WORDS[0]), &sender, label(0)).expect("a free label");
        let (right, wrong) = (Tally { right: 1, total: 1 }, Tally { right: 0, total: 1 });
        assert_eq!(learner.tallies(), Tallies { kin: right, sender: wrong });
        assert_eq!(learner.past().records().len(), seen);
        assert_eq!(learner.model().documents(), 102);
    }

    #[test]
    fn a_sender_rule_that_is_always_wrong_yields_to_the_model() {
        let mut learner = taught(300);
        let sender = Neighbours { kin: &[], sender: &[label(1); 3] };
        let by = |learner: &Learner| match learner.decide(&of(WORDS[0]), &sender, |_| May::Given).outcome {
            Outcome::Decided { label, by, .. } => (label, by),
            Outcome::Unsure => panic!("unsure"),
        };
        assert_eq!(by(&learner), (label(1), Evidence::Sender));
        for number in 0..40 {
            learner.learn(&of(&format!("{} {number}", WORDS[0])), &sender, label(0)).expect("a free label");
        }
        assert_eq!(by(&learner), (label(0), Evidence::Model));
        // The model now decides on these documents, so it is measured by them.
        assert!(learner.past().records().len() > 300);
    }
}
