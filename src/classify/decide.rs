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
    /// The best first, of the labels that nobody took away from the document.
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
pub enum Evidence {
    Kin,
    Sender,
    Model,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Confidence from 0 to 1: the share of this way's decisions that was right, or the model's own.
    Decided { label: Label, by: Evidence, confidence: f32 },
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

/// Whether a label may be given to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    Given,
    /// The project was closed or deleted: nothing else is guessed in its place.
    Closed,
    /// A person took it away from this document: any other label may be given.
    Refused,
}

/// Decides on one document. `may`: whether a label may be given to it. The opinion knows none that is refused.
pub fn decide(neighbours: &Neighbours, opinion: &Opinion, tallies: &Tallies, may: impl Fn(Label) -> May) -> Decision {
    let (outcome, reason) = outcome(neighbours, opinion, tallies, &may);
    let is_other = |label| !matches!(outcome, Outcome::Decided { label: decided, .. } if decided == label);
    let is_offered = |one: &&Candidate| may(one.label) == May::Given && is_other(one.label);
    let alternatives = opinion.ranked.iter().filter(is_offered).copied().collect();
    Decision { outcome, reason, alternatives }
}

fn outcome(neighbours: &Neighbours, opinion: &Opinion, tallies: &Tallies, may: &impl Fn(Label) -> May) -> (Outcome, String) {
    let kin = neighbours.kin().filter(|_| !is_refuted(tallies.kin)).map(|(kinship, label)| (kinship, label, may(label)));
    match kin {
        Some((kinship, label, May::Given)) => {
            let confidence = tallies.kin.expected() as f32;
            let reason = format!("a person assigned a document of the same {kinship}");
            return (Outcome::Decided { label, by: Evidence::Kin, confidence }, reason);
        }
        Some((kinship, _, May::Closed)) => return (Outcome::Unsure, format!("the project of the same {kinship} is closed")),
        Some((_, _, May::Refused)) | None => {}
    }
    if let Some((count, label)) = neighbours.sender()
        && !is_refuted(tallies.sender)
        && may(label) == May::Given
    {
        let confidence = tallies.sender.expected() as f32;
        let reason = format!("the last {count} assignments of this sender are the same");
        return (Outcome::Decided { label, by: Evidence::Sender, confidence }, reason);
    }
    let (outcome, reason) = model(opinion, may);
    match (kin, outcome) {
        (Some((kinship, _, May::Refused)), Outcome::Unsure) => {
            (outcome, format!("a person took the project of the same {kinship} away from this document, and {reason}"))
        }
        _ => (outcome, reason),
    }
}

/// The model's decision, or why it makes none.
fn model(opinion: &Opinion, may: &impl Fn(Label) -> May) -> (Outcome, String) {
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
    if may(best.label) != May::Given {
        return unsure("the best project is closed".into());
    }
    let reason = format!("confidence {confidence:.2}, threshold {threshold:.2}");
    (Outcome::Decided { label: best.label, by: Evidence::Model, confidence }, reason)
}

#[cfg(test)]
mod tests;
