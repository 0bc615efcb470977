//! Covers each row of the decision table.

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

fn decided(neighbours: Neighbours, opinion: Opinion, tallies: &Tallies) -> (Option<(Label, Evidence)>, String) {
    let decision = decide(&neighbours, &opinion, tallies, |_| May::Given);
    let by = match decision.outcome {
        Outcome::Decided { label, by, .. } => Some((label, by)),
        Outcome::Unsure => None,
    };
    (by, decision.reason)
}

#[track_caller]
fn assert_decided(neighbours: Neighbours, by: Option<(Label, Evidence)>, reason: &str) {
    assert_eq!(decided(neighbours, SURE, &RIGHT), (by, reason.to_owned()));
}

#[test]
fn kin_take_precedence_over_sender_and_sender_over_model() {
    let (kin, sender) = ([(Kinship::Thread, B)], [NONE; 12]);
    let model = "confidence 0.90, threshold 0.80";
    assert_decided(
        Neighbours { kin: &kin, sender: &sender },
        Some((B, Evidence::Kin)),
        "a person assigned a document of the same thread",
    );
    let reason = "the last 10 assignments of this sender are the same";
    assert_decided(Neighbours { kin: &[], sender: &sender }, Some((NONE, Evidence::Sender)), reason);
    assert_decided(Neighbours::default(), Some((A, Evidence::Model)), model);
    assert_decided(Neighbours { kin: &[], sender: &[B, B] }, Some((A, Evidence::Model)), model);
}

#[test]
fn disagreeing_kin_and_senders_decide_nothing() {
    let model = Some((A, Evidence::Model));
    let reason = "confidence 0.90, threshold 0.80";
    // A thread assigned to two projects does not fall back to the folder.
    let kin = [(Kinship::Folder, B), (Kinship::Thread, B), (Kinship::Thread, NONE)];
    assert_decided(Neighbours { kin: &kin, sender: &[B, B, B, A] }, model, reason);
    let kin = [(Kinship::Folder, A), (Kinship::Series, B), (Kinship::Series, B)];
    assert_decided(
        Neighbours { kin: &kin, sender: &[] },
        Some((B, Evidence::Kin)),
        "a person assigned a document of the same series",
    );
    // The eleventh no longer counts.
    let sender = [B, B, B, B, B, B, B, B, B, B, A];
    let reason = "the last 10 assignments of this sender are the same";
    assert_decided(Neighbours { kin: &[], sender: &sender }, Some((B, Evidence::Sender)), reason);
}

#[test]
fn evidence_that_was_often_wrong_is_skipped() {
    let neighbours = Neighbours { kin: &[(Kinship::Folder, B)], sender: &[NONE; 3] };
    let wrong = Tally { right: 80, total: 100 };
    let by = |tallies| decided(neighbours, SURE, &tallies).0;
    assert_eq!(by(Tallies { kin: wrong, ..RIGHT }), Some((NONE, Evidence::Sender)));
    assert_eq!(by(Tallies { kin: wrong, sender: wrong }), Some((A, Evidence::Model)));
    // This may be chance.
    assert_eq!(by(Tallies { kin: Tally { right: 95, total: 100 }, ..RIGHT }), Some((B, Evidence::Kin)));
    assert_eq!(by(Tallies { kin: Tally { right: 0, total: 29 }, ..RIGHT }), Some((B, Evidence::Kin)));
}

#[test]
fn the_model_abstains_with_a_reason() {
    let reason = |opinion| match decided(Neighbours::default(), opinion, &RIGHT) {
        (None, reason) => reason,
        decided => panic!("{decided:?}"),
    };
    assert_eq!(reason(Opinion { assignments: 29, ..SURE }), "too few assignments by people: 29 of 30");
    assert_eq!(reason(Opinion { projects: 1, ..SURE }), "assignments to 2 projects are needed, there are 1");
    assert_eq!(reason(Opinion { ranked: &[], ..SURE }), "the document has no text");
    assert_eq!(reason(Opinion { threshold: None, ..SURE }), "no confidence threshold reaches 97 % precision yet");
    assert_eq!(reason(Opinion { threshold: Some(0.95), ..SURE }), "confidence 0.90 is below the threshold 0.95");
    assert_eq!(decided(Neighbours::default(), Opinion { assignments: 30, ..SURE }, &RIGHT).0, Some((A, Evidence::Model)));
}

#[test]
fn a_closed_project_is_neither_assigned_nor_replaced() {
    let may = |label| if label == A { May::Closed } else { May::Given };
    let decide = |neighbours| decide(&neighbours, &SURE, &RIGHT, may);
    let decision = decide(Neighbours { kin: &[(Kinship::Thread, A)], sender: &[B; 3] });
    assert_eq!((decision.outcome, decision.reason.as_str()), (Outcome::Unsure, "the project of the same thread is closed"));
    let decision = decide(Neighbours { kin: &[], sender: &[A; 3] });
    assert_eq!((decision.outcome, decision.reason.as_str()), (Outcome::Unsure, "the best project is closed"));
    assert_eq!(decision.alternatives, RANKED[1..]);
}

#[test]
fn a_removed_label_leaves_the_document_to_the_next_evidence() {
    let may = |label| if label == B { May::Refused } else { May::Given };
    let by = |neighbours, opinion| {
        let decision = decide(&neighbours, &opinion, &RIGHT, may);
        match decision.outcome {
            Outcome::Decided { label, by, .. } => (Some((label, by)), decision.reason),
            Outcome::Unsure => (None, decision.reason),
        }
    };
    let kin = [(Kinship::Thread, B)];
    assert_eq!(by(Neighbours { kin: &kin, sender: &[NONE; 3] }, SURE).0, Some((NONE, Evidence::Sender)));
    assert_eq!(by(Neighbours { kin: &kin, sender: &[B; 3] }, SURE).0, Some((A, Evidence::Model)));
    let unsure = by(Neighbours { kin: &kin, sender: &[B; 3] }, Opinion { assignments: 3, ..SURE });
    let reason = "a person removed the project of the same thread from this document, and too few assignments by people: 3 of 30";
    assert_eq!(unsure, (None, reason.to_owned()));
}

#[test]
fn alternatives_exclude_the_decision_and_confidence_is_measured() {
    let decision = decide(&Neighbours { kin: &[(Kinship::Thread, B)], sender: &[] }, &SURE, &RIGHT, |_| May::Given);
    assert_eq!(decision.outcome, Outcome::Decided { label: B, by: Evidence::Kin, confidence: 0.99 });
    assert_eq!(decision.alternatives, RANKED[..2]);
    let decision = decide(&Neighbours::default(), &SURE, &RIGHT, |_| May::Given);
    assert_eq!(decision.outcome, Outcome::Decided { label: A, by: Evidence::Model, confidence: 0.9 });
}
