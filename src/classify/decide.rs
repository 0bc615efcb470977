//! Decides on one document: by the assignments of its kin, then of its sender, then by the model if it is confident enough, else not at all.
//! A wrong project costs more than none. Pure.

use std::fmt;

use super::Label;
use super::linear::Candidate;
use super::threshold::{TARGET, Tally};

/// The model makes no decisions below this number of assignments by people, or of projects among them.
pub const MIN_ASSIGNMENTS: u32 = 30;
pub const MIN_PROJECTS: usize = 2;
/// Number of latest assignments considered per sender, and the minimum needed to decide.
pub const LATEST_OF_SENDER: usize = 10;
pub const MIN_OF_SENDER: usize = 3;

/// What a document has in common with its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinship {
    /// A thread of mail.
    Thread,
    /// The instances of a recurring event.
    Series,
    /// A folder other than the root of a drive.
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

/// Assignments, by people only, of related documents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Neighbours<'a> {
    /// Of its kin, in any order.
    pub kin: &'a [(Kinship, Label)],
    /// Of documents by the same sender, newest first; only the first ten count.
    pub sender: &'a [Label],
}

impl Neighbours<'_> {
    /// The label shared by all kin of the closest kind that has any. A thread is closer than a series, a series closer than a folder.
    pub fn kin(&self) -> Option<(Kinship, Label)> {
        let of = |kinship| self.kin.iter().filter(move |(other, _)| *other == kinship).map(|(_, label)| *label);
        let kinship =
            [Kinship::Thread, Kinship::Series, Kinship::Folder].into_iter().find(|kinship| of(*kinship).next().is_some())?;
        Some((kinship, common(of(kinship))?))
    }

    /// The label shared by the sender's last three to ten documents, and the number of those documents.
    pub fn sender(&self) -> Option<(usize, Label)> {
        let latest = &self.sender[..self.sender.len().min(LATEST_OF_SENDER)];
        let label = common(latest.iter().copied())?;
        (latest.len() >= MIN_OF_SENDER).then_some((latest.len(), label))
    }
}

/// The label, if all are equal.
fn common(mut labels: impl Iterator<Item = Label>) -> Option<Label> {
    let first = labels.next()?;
    labels.all(|label| label == first).then_some(first)
}

/// The model's ranking for a document, and the figures that decide whether to trust it.
#[derive(Debug, Clone, Copy)]
pub struct Opinion<'a> {
    /// Best first, without the labels that a person removed from the document.
    pub ranked: &'a [Candidate],
    /// Assignments by people that the model has learnt, and projects among them.
    pub assignments: u32,
    pub projects: usize,
    /// The lowest confidence at which the model has been right often enough.
    pub threshold: Option<f32>,
}

/// How often each kind of evidence was right, compared with people's later assignments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallies {
    pub kin: Tally,
    pub sender: Tally,
}

/// Whether this evidence was wrong more often than chance explains. It is not used until it does better.
pub fn is_refuted(tally: Tally) -> bool {
    tally.total >= MIN_ASSIGNMENTS && tally.upper_bound() < TARGET
}

/// What a decision is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    Kin,
    Sender,
    Model,
}

/// The result for a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// `confidence` is between 0 and 1: the share of decisions on this evidence that were right, or the model's own confidence.
    Decided { label: Label, by: Evidence, confidence: f32 },
    /// The document stays without a project.
    Unsure,
}

/// An outcome with its explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub outcome: Outcome,
    /// A clause, without a full stop.
    pub reason: String,
    /// The model's other candidates, best first; only open projects and "none of them".
    pub alternatives: Vec<Candidate>,
}

/// Whether a label may be given to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    Given,
    /// The project was closed or deleted. No other label replaces it.
    Closed,
    /// A person removed it from this document. Any other label may be given.
    Refused,
}

/// Decides on one document. `may` returns whether a label may be given to it. `opinion` must not contain refused labels.
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
            (outcome, format!("a person removed the project of the same {kinship} from this document, and {reason}"))
        }
        _ => (outcome, reason),
    }
}

/// The model's decision, or why it makes none.
fn model(opinion: &Opinion, may: &impl Fn(Label) -> May) -> (Outcome, String) {
    let unsure = |reason: String| (Outcome::Unsure, reason);
    if opinion.assignments < MIN_ASSIGNMENTS {
        return unsure(format!("too few assignments by people: {} of {MIN_ASSIGNMENTS}", opinion.assignments));
    }
    if opinion.projects < MIN_PROJECTS {
        return unsure(format!("assignments to {MIN_PROJECTS} projects are needed, there are {}", opinion.projects));
    }
    let Some(best) = opinion.ranked.first() else { return unsure("the document has no text".into()) };
    let Some(threshold) = opinion.threshold else {
        return unsure(format!("no confidence threshold reaches {:.0} % precision yet", TARGET * 100.0));
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
