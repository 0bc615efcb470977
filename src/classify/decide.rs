//! The decision on one document: what people said of its kin, then of its sender, then the model where it is sure enough, else nothing. A wrong
//! project costs more than none. Reads and writes nothing.

use std::fmt;

use super::Label;
use super::linear::Candidate;
use super::threshold::{TARGET, Tally};

/// Below so many assignments by people, or so many projects among them, the model says nothing.
pub const LEAST_ASSIGNMENTS: u32 = 30;
pub const LEAST_PROJECTS: usize = 2;
/// Assignments of a sender that are looked at, and how many there must be.
pub const LATEST_OF_SENDER: usize = 10;
pub const LEAST_OF_SENDER: usize = 3;

/// What a document has in common with its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinship {
    /// A thread of mail.
    Thread,
    /// The instances of a recurring event.
    Series,
    /// A folder, the root of a drive excepted.
    Folder,
}

impl fmt::Display for Kinship {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "thread",
            Self::Series => "series",
            Self::Folder => "folder",
        })
    }
}

/// What people, and people alone, said of documents near this one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Neighbours<'a> {
    /// Of its kin, in any order.
    pub kin: &'a [(Kinship, Label)],
    /// Of documents by the same sender, the newest first; more than ten are not looked at.
    pub sender: &'a [Label],
}

impl Neighbours<'_> {
    /// What all kin of the closest kind that has any were assigned to; a thread is closer than a series, a series closer than a folder.
    pub fn kin(&self) -> Option<(Kinship, Label)> {
        let of = |kinship| self.kin.iter().filter(move |(other, _)| *other == kinship).map(|(_, label)| *label);
        let kinship =
            [Kinship::Thread, Kinship::Series, Kinship::Folder].into_iter().find(|kinship| of(*kinship).next().is_some())?;
        Some((kinship, common(of(kinship))?))
    }

    /// What the last three or more, up to ten, of its sender were all assigned to, and how many these are.
    pub fn sender(&self) -> Option<(usize, Label)> {
        let latest = &self.sender[..self.sender.len().min(LATEST_OF_SENDER)];
        let label = common(latest.iter().copied())?;
        (latest.len() >= LEAST_OF_SENDER).then_some((latest.len(), label))
    }
}

/// The label that all of them are.
fn common(mut labels: impl Iterator<Item = Label>) -> Option<Label> {
    let first = labels.next()?;
    labels.all(|label| label == first).then_some(first)
}

/// The model's part: its word on the document, and what speaks for believing it.
#[derive(Debug, Clone, Copy)]
pub struct Opinion<'a> {
    /// The best first.
    pub ranked: &'a [Candidate],
    /// Assignments by people that were learnt, and projects among them.
    pub assignments: u32,
    pub projects: usize,
    /// The confidence from which on it was right often enough.
    pub threshold: Option<f32>,
}

/// How often each way was right, by what people said later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallies {
    pub kin: Tally,
    pub sender: Tally,
}

/// Whether a way was wrong so often that it cannot be chance: it is left out until it does better.
pub fn is_refuted(tally: Tally) -> bool {
    tally.total >= LEAST_ASSIGNMENTS && tally.upper_bound() < TARGET
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Kin,
    Sender,
    Model,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Confidence from 0 to 1: the share of this way's decisions that was right, or the model's own.
    Decided { label: Label, by: Way, confidence: f32 },
    /// It stays without a project.
    Unsure,
}

/// An outcome, and what a person sees of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub outcome: Outcome,
    /// A clause, without a full stop.
    pub reason: String,
    /// What the model would offer besides, the best first; open projects and "none of them" only.
    pub alternatives: Vec<Candidate>,
}

/// Decides on one document. `is_open`: whether a label may be given; a project that was closed or deleted may not, and then nothing else is
/// guessed in its place.
pub fn decide(neighbours: &Neighbours, opinion: &Opinion, tallies: &Tallies, is_open: impl Fn(Label) -> bool) -> Decision {
    let (outcome, reason) = outcome(neighbours, opinion, tallies, &is_open);
    let is_other = |label| !matches!(outcome, Outcome::Decided { label: decided, .. } if decided == label);
    let alternatives = opinion.ranked.iter().filter(|one| is_open(one.label) && is_other(one.label)).copied().collect();
    Decision { outcome, reason, alternatives }
}

fn outcome(neighbours: &Neighbours, opinion: &Opinion, tallies: &Tallies, is_open: &impl Fn(Label) -> bool) -> (Outcome, String) {
    if let Some((kinship, label)) = neighbours.kin()
        && !is_refuted(tallies.kin)
    {
        if !is_open(label) {
            return (
                Outcome::Unsure,
                format!("the project of the same {kinship} is closed, or a person took it away from this document"),
            );
        }
        let confidence = tallies.kin.expected() as f32;
        return (
            Outcome::Decided { label, by: Way::Kin, confidence },
            format!("a person assigned a document of the same {kinship}"),
        );
    }
    if let Some((count, label)) = neighbours.sender()
        && !is_refuted(tallies.sender)
        && is_open(label)
    {
        let confidence = tallies.sender.expected() as f32;
        let reason = format!("the last {count} assignments of this sender are the same");
        return (Outcome::Decided { label, by: Way::Sender, confidence }, reason);
    }
    model(opinion, is_open)
}

/// The model's decision, or why it makes none.
fn model(opinion: &Opinion, is_open: &impl Fn(Label) -> bool) -> (Outcome, String) {
    let unsure = |reason: String| (Outcome::Unsure, reason);
    if opinion.assignments < LEAST_ASSIGNMENTS {
        return unsure(format!("too few assignments by people: {} of {LEAST_ASSIGNMENTS}", opinion.assignments));
    }
    if opinion.projects < LEAST_PROJECTS {
        return unsure(format!("assignments to {LEAST_PROJECTS} projects are needed, there are {}", opinion.projects));
    }
    let Some(best) = opinion.ranked.first() else { return unsure("the document has no text".into()) };
    let Some(threshold) = opinion.threshold else {
        return unsure(format!("no confidence has kept {:.0} % right so far", TARGET * 100.0));
    };
    let confidence = best.confidence;
    if confidence < threshold {
        return unsure(format!("confidence {confidence:.2} is below the threshold {threshold:.2}"));
    }
    if !is_open(best.label) {
        return unsure("the best project is closed, or a person took it away from this document".into());
    }
    let reason = format!("confidence {confidence:.2}, threshold {threshold:.2}");
    (Outcome::Decided { label: best.label, by: Way::Model, confidence }, reason)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const A: Label = Label::Project(Uuid::from_u128(1));
    const B: Label = Label::Project(Uuid::from_u128(2));
    const NONE: Label = Label::NoneOfThem;
    const RANKED: [Candidate; 3] = [
        Candidate { label: A, confidence: 0.9 },
        Candidate { label: NONE, confidence: 0.05 },
        Candidate { label: B, confidence: 0.01 },
    ];
    const SURE: Opinion = Opinion { ranked: &RANKED, assignments: 200, projects: 2, threshold: Some(0.8) };
    const RIGHT: Tallies = Tallies { kin: Tally { right: 98, total: 98 }, sender: Tally { right: 8, total: 8 } };

    fn decided(neighbours: Neighbours, opinion: Opinion, tallies: &Tallies) -> (Option<(Label, Way)>, String) {
        let decision = decide(&neighbours, &opinion, tallies, |_| true);
        let by = match decision.outcome {
            Outcome::Decided { label, by, .. } => Some((label, by)),
            Outcome::Unsure => None,
        };
        (by, decision.reason)
    }

    #[track_caller]
    fn assert_decided(neighbours: Neighbours, by: Option<(Label, Way)>, reason: &str) {
        assert_eq!(decided(neighbours, SURE, &RIGHT), (by, reason.to_owned()));
    }

    #[test]
    fn kin_come_first_then_the_sender_then_the_model() {
        let (kin, sender) = ([(Kinship::Thread, B)], [NONE; 12]);
        let model = "confidence 0.90, threshold 0.80";
        assert_decided(
            Neighbours { kin: &kin, sender: &sender },
            Some((B, Way::Kin)),
            "a person assigned a document of the same thread",
        );
        let reason = "the last 10 assignments of this sender are the same";
        assert_decided(Neighbours { kin: &[], sender: &sender }, Some((NONE, Way::Sender)), reason);
        assert_decided(Neighbours::default(), Some((A, Way::Model)), model);
        assert_decided(Neighbours { kin: &[], sender: &[B, B] }, Some((A, Way::Model)), model);
    }

    #[test]
    fn kin_and_senders_that_disagree_say_nothing() {
        let model = Some((A, Way::Model));
        let reason = "confidence 0.90, threshold 0.80";
        // A thread in two projects is no reason to look at the folder.
        let kin = [(Kinship::Folder, B), (Kinship::Thread, B), (Kinship::Thread, NONE)];
        assert_decided(Neighbours { kin: &kin, sender: &[B, B, B, A] }, model, reason);
        let kin = [(Kinship::Folder, A), (Kinship::Series, B), (Kinship::Series, B)];
        assert_decided(
            Neighbours { kin: &kin, sender: &[] },
            Some((B, Way::Kin)),
            "a person assigned a document of the same series",
        );
        // The eleventh is too long ago.
        let sender = [B, B, B, B, B, B, B, B, B, B, A];
        let reason = "the last 10 assignments of this sender are the same";
        assert_decided(Neighbours { kin: &[], sender: &sender }, Some((B, Way::Sender)), reason);
    }

    #[test]
    fn a_way_that_was_often_wrong_is_left_out() {
        let neighbours = Neighbours { kin: &[(Kinship::Folder, B)], sender: &[NONE; 3] };
        let wrong = Tally { right: 80, total: 100 };
        let by = |tallies| decided(neighbours, SURE, &tallies).0;
        assert_eq!(by(Tallies { kin: wrong, ..RIGHT }), Some((NONE, Way::Sender)));
        assert_eq!(by(Tallies { kin: wrong, sender: wrong }), Some((A, Way::Model)));
        // That may have been chance.
        assert_eq!(by(Tallies { kin: Tally { right: 95, total: 100 }, ..RIGHT }), Some((B, Way::Kin)));
        assert_eq!(by(Tallies { kin: Tally { right: 0, total: 29 }, ..RIGHT }), Some((B, Way::Kin)));
    }

    #[test]
    fn the_model_is_silent_for_a_reason() {
        let reason = |opinion| match decided(Neighbours::default(), opinion, &RIGHT) {
            (None, reason) => reason,
            decided => panic!("{decided:?}"),
        };
        assert_eq!(reason(Opinion { assignments: 29, ..SURE }), "too few assignments by people: 29 of 30");
        assert_eq!(reason(Opinion { projects: 1, ..SURE }), "assignments to 2 projects are needed, there are 1");
        assert_eq!(reason(Opinion { ranked: &[], ..SURE }), "the document has no text");
        assert_eq!(reason(Opinion { threshold: None, ..SURE }), "no confidence has kept 97 % right so far");
        assert_eq!(reason(Opinion { threshold: Some(0.95), ..SURE }), "confidence 0.90 is below the threshold 0.95");
        assert_eq!(decided(Neighbours::default(), Opinion { assignments: 30, ..SURE }, &RIGHT).0, Some((A, Way::Model)));
    }

    #[test]
    fn a_project_that_is_not_open_is_neither_given_nor_replaced_by_the_next() {
        let open = |label| label != A;
        let decide = |neighbours| decide(&neighbours, &SURE, &RIGHT, open);
        let decision = decide(Neighbours { kin: &[(Kinship::Thread, A)], sender: &[B; 3] });
        assert_eq!(
            (decision.outcome, decision.reason.as_str()),
            (Outcome::Unsure, "the project of the same thread is closed, or a person took it away from this document")
        );
        let decision = decide(Neighbours { kin: &[], sender: &[A; 3] });
        assert_eq!(
            (decision.outcome, decision.reason.as_str()),
            (Outcome::Unsure, "the best project is closed, or a person took it away from this document")
        );
        assert_eq!(decision.alternatives, RANKED[1..]);
    }

    #[test]
    fn alternatives_leave_out_what_was_decided_and_confidence_is_what_was_measured() {
        let decision = decide(&Neighbours { kin: &[(Kinship::Thread, B)], sender: &[] }, &SURE, &RIGHT, |_| true);
        assert_eq!(decision.outcome, Outcome::Decided { label: B, by: Way::Kin, confidence: 0.99 });
        assert_eq!(decision.alternatives, RANKED[..2]);
        let decision = decide(&Neighbours::default(), &SURE, &RIGHT, |_| true);
        assert_eq!(decision.outcome, Outcome::Decided { label: A, by: Way::Model, confidence: 0.9 });
    }
}
