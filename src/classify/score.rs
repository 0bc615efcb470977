//! Precision and coverage of decisions on documents whose correct label is known.

use std::collections::HashMap;

use super::Label;

/// Counts of decisions and of correct ones.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// All documents.
    pub documents: usize,
    /// Documents that belong to a project.
    pub belong: usize,
    /// Of those, documents that were given a project.
    pub covered: usize,
    /// Documents that were given a project, and of those, the right one.
    pub given: usize,
    pub right: usize,
    /// Decisions, "none of them" included, and of those, correct ones.
    pub decided: usize,
    pub decided_right: usize,
    /// Decisions and correct ones, by kind of evidence.
    by_evidence: HashMap<&'static str, (usize, usize)>,
}

impl Score {
    /// Counts a document whose correct label is `truth`. `decided` is the label it was given, and the evidence.
    pub fn add(&mut self, truth: Label, decided: Option<(Label, &'static str)>) {
        self.documents += 1;
        self.belong += usize::from(truth != Label::NoneOfThem);
        let Some((label, evidence)) = decided else { return };
        let is_right = usize::from(label == truth);
        self.decided += 1;
        self.decided_right += is_right;
        let count = self.by_evidence.entry(evidence).or_default();
        *count = (count.0 + 1, count.1 + is_right);
        if label != Label::NoneOfThem {
            self.given += 1;
            self.right += is_right;
            self.covered += usize::from(truth != Label::NoneOfThem);
        }
    }

    /// The share of documents without a decision.
    pub fn undecided(&self) -> f64 {
        1.0 - self.decided as f64 / self.documents as f64
    }

    /// The share of correct projects among the given ones; NaN if none was given.
    pub fn precision(&self) -> f64 {
        self.right as f64 / self.given as f64
    }

    /// Like `precision`, but also counts "none of them".
    pub fn precision_with_none(&self) -> f64 {
        self.decided_right as f64 / self.decided as f64
    }

    /// The share of the documents belonging to a project that were given one, right or wrong; NaN if none belongs to a project.
    pub fn coverage(&self) -> f64 {
        self.covered as f64 / self.belong as f64
    }

    /// Such as `kin 1657 of 1663, sender 1319 of 1332`.
    pub fn by_method(&self) -> String {
        let shown = |kind: &&str| self.by_evidence.get(*kind).map(|(decided, right)| format!("{kind} {right} of {decided}"));
        ["kin", "sender", "model"].iter().filter_map(shown).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn precision_counts_assigned_and_coverage_counts_relevant_documents() {
        let (a, b) = (Label::Project(Uuid::from_u128(1)), Label::Project(Uuid::from_u128(2)));
        let mut score = Score::default();
        score.add(a, Some((a, "kin")));
        score.add(a, Some((b, "model")));
        score.add(b, None);
        score.add(b, Some((Label::NoneOfThem, "model")));
        score.add(Label::NoneOfThem, Some((Label::NoneOfThem, "model")));
        score.add(Label::NoneOfThem, Some((a, "sender")));
        assert_eq!((score.given, score.right, score.belong, score.covered), (3, 1, 4, 2));
        assert_eq!((score.decided, score.decided_right), (5, 2));
        assert_eq!(score.by_method(), "kin 1 of 1, sender 0 of 1, model 1 of 3");
    }
}
