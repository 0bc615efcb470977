//! Derives the confidence a model needs before it may decide from its predictions for documents it had not learnt yet. Pure.

use std::collections::VecDeque;

/// The share of decisions that must be right.
pub const TARGET: f64 = 0.97;
/// Minimum threshold: even a model that was always right may not have met a document between two projects yet.
pub const LEAST: f32 = 0.5;
/// Number of past predictions kept.
pub const LATEST: usize = 1_000;
/// Standard deviations of a one-sided 95 % bound.
const DEVIATIONS: f64 = 1.645;

/// A model's prediction for a document it had not learnt, compared with a person's assignment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// From 0 to 1.
    pub confidence: f32,
    pub is_right: bool,
}

/// The latest 1,000 predictions, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past(VecDeque<Record>);

impl Past {
    /// Adds the newest prediction and drops the oldest beyond 1,000.
    pub fn push(&mut self, record: Record) {
        if self.0.len() == LATEST {
            self.0.pop_front();
        }
        self.0.push_back(record);
    }

    /// The predictions, oldest first.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record> + '_ {
        self.0.iter().copied()
    }

    /// Returns the lowest confidence at or above which the lower bound of the share of right predictions reaches the target. `None` if there is
    /// no such confidence, or too few predictions: it takes 88 without an error, more with one.
    pub fn threshold(&self) -> Option<f32> {
        let mut records: Vec<Record> = self.records().collect();
        records.sort_unstable_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let mut lowest = None;
        let mut tally = Tally::default();
        for equal in records.chunk_by(|a, b| a.confidence == b.confidence) {
            tally.total += equal.len() as u32;
            tally.right += equal.iter().filter(|record| record.is_right).count() as u32;
            if tally.lower_bound() >= TARGET {
                lowest = Some(equal[0].confidence);
            }
        }
        lowest.map(|confidence: f32| confidence.max(LEAST))
    }
}

/// Counts of right answers and of all answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub right: u32,
    pub total: u32,
}

impl Tally {
    /// Adds one. At 1,000 both counts are halved, so that older answers weigh less.
    pub fn push(&mut self, is_right: bool) {
        if self.total as usize >= LATEST {
            *self = Self { right: self.right / 2, total: self.total / 2 };
        }
        self.total += 1;
        self.right += u32::from(is_right);
    }

    /// The expected share of right answers by Laplace's rule of succession; 0.5 without data.
    pub fn expected(self) -> f64 {
        (f64::from(self.right) + 1.0) / (f64::from(self.total) + 2.0)
    }

    /// The lower bound of the share of right answers (Wilson score interval); 0 without data.
    pub fn lower_bound(self) -> f64 {
        let (centre, margin) = self.interval();
        (centre - margin).max(0.0)
    }

    /// The upper bound of the share of right answers (Wilson score interval); 1 without data.
    pub fn upper_bound(self) -> f64 {
        let (centre, margin) = self.interval();
        (centre + margin).min(1.0)
    }

    fn interval(self) -> (f64, f64) {
        let total = f64::from(self.total);
        let square = DEVIATIONS * DEVIATIONS;
        let share = if self.total == 0 { 0.5 } else { f64::from(self.right) / total };
        let centre = (share * total + square / 2.0) / (total + square);
        let margin = DEVIATIONS * (total * share * (1.0 - share) + square / 4.0).sqrt() / (total + square);
        (centre, margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(records: impl IntoIterator<Item = (f32, bool)>) -> Past {
        let mut past = Past::default();
        records.into_iter().for_each(|(confidence, is_right)| past.push(Record { confidence, is_right }));
        past
    }

    #[test]
    fn few_predictions_give_no_threshold_even_if_all_were_right() {
        assert_eq!(past([]).threshold(), None);
        assert_eq!(past(vec![(0.9, true); 87]).threshold(), None);
        assert_eq!(past(vec![(0.9, true); 88]).threshold(), Some(0.9));
    }

    #[test]
    fn the_threshold_is_where_predictions_start_to_fail() {
        let sure = (0..300).map(|number| (0.8 + number as f32 / 2_000.0, true));
        let doubtful = (0..300).map(|number| (0.3 + number as f32 / 2_000.0, number % 3 != 0));
        let threshold = past(sure.chain(doubtful)).threshold().expect("enough was right");
        assert!((0.43..=0.8).contains(&threshold), "{threshold}");
    }

    #[test]
    fn a_confidently_wrong_model_has_no_threshold() {
        assert_eq!(past((0..1_000).map(|number| (0.5 + number as f32 / 2_000.0, number % 20 != 0))).threshold(), None);
    }

    #[test]
    fn equal_confidences_are_taken_together() {
        let equal = (0..500).map(|number| (0.7, number < 400));
        assert_eq!(past(equal).threshold(), None);
    }

    #[test]
    fn only_the_latest_thousand_count() {
        let wrong = vec![(0.9, false); 1_000];
        let right = vec![(0.9, true); 1_000];
        let both = past(wrong.into_iter().chain(right));
        assert_eq!((both.records().len(), both.threshold()), (LATEST, Some(0.9)));
    }

    #[test]
    fn wilson_bounds_narrow_with_more_observations() {
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-3, "{value} {expected}");
        let few = Tally { right: 8, total: 10 };
        near(few.lower_bound(), 0.541);
        near(few.upper_bound(), 0.931);
        near(few.expected(), 0.75);
        let many = Tally { right: 800, total: 1_000 };
        assert!(many.lower_bound() > few.lower_bound() && many.upper_bound() < few.upper_bound());
        let none = Tally::default();
        assert_eq!((none.lower_bound(), none.upper_bound(), none.expected()), (0.0, 1.0, 0.5));
    }

    #[test]
    fn a_tally_forgets_old_observations() {
        let mut tally = Tally::default();
        (0..5_000).for_each(|_| tally.push(false));
        (0..2_000).for_each(|_| tally.push(true));
        assert!(tally.total as usize <= LATEST && tally.expected() > 0.85, "{tally:?}");
    }
}
