//! How well documents were decided on, where it is known what they are: precision and coverage. Knows no model.

use std::collections::HashMap;

use super::Label;

/// What was decided, and what of it was right.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// All documents.
    pub documents: usize,
    /// Those that belong into a project.
    pub belong: usize,
    /// Of those, given a project.
    pub covered: usize,
    /// Given a project, and the right one.
    pub given: usize,
    pub right: usize,
    /// Decided on, "none of them" included, and rightly.
    pub decided: usize,
    pub decided_right: usize,
    /// Decided on and right, by way.
    ways: HashMap<&'static str, (usize, usize)>,
}

impl Score {
    /// Counts a document that is `truth`; `decided`: the label that it was given, and by what.
    pub fn add(&mut self, truth: Label, decided: Option<(Label, &'static str)>) {
        self.documents += 1;
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

    /// Of all documents, how many nothing was decided on.
    pub fn undecided(&self) -> f64 {
        1.0 - self.decided as f64 / self.documents as f64
    }

    /// Of the documents that were given a project, how many were given the right one; NaN where none was.
    pub fn precision(&self) -> f64 {
        self.right as f64 / self.given as f64
    }

    /// The same with "none of them" counted as well.
    pub fn precision_with_none(&self) -> f64 {
        self.decided_right as f64 / self.decided as f64
    }

    /// Of the documents that belong into a project, how many were given one, right or wrong; NaN where none does.
    pub fn coverage(&self) -> f64 {
        self.covered as f64 / self.belong as f64
    }

    /// As in `kin 1657 of 1663, sender 1319 of 1332`.
    pub fn by_way(&self) -> String {
        let told = |way: &&str| self.ways.get(*way).map(|(decided, right)| format!("{way} {right} of {decided}"));
        ["kin", "sender", "model"].iter().filter_map(told).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn precision_is_of_what_was_given_and_coverage_of_what_belongs() {
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
        assert_eq!(score.by_way(), "kin 1 of 1, sender 0 of 1, model 1 of 3");
    }
}
