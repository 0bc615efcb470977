//! Replays a user's corrections in order: how each document would have been decided just before its correction.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::by;
use super::learn::{self, BeforeLearning};
use crate::classify::Label;
use crate::classify::decide::{May, Outcome};
use crate::classify::learner::Learner;
use crate::classify::score::Score;
use crate::db::Pool;
use crate::db::classify::corrections;

/// Scores of several strategies on the same documents.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Kin, sender, then the model at its threshold.
    pub whole: Score,
    /// Only the sender rule: at least three latest assignments, all alike.
    pub sender: Score,
    /// Kin, sender, then the model at any confidence.
    pub eager: Score,
    /// Decisions that the corrections contradict.
    pub wrong: Vec<Wrong>,
}

/// A decision that a person contradicts.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    pub document: Uuid,
    pub said: Label,
    pub decided: Label,
    pub by: &'static str,
    pub confidence: f32,
}

/// Replays the corrections of a user. Those before `since` are learnt but not counted.
///
/// # Errors
/// Returns an error if the database fails.
pub async fn replay(pool: &Pool, user: Uuid, since: Option<DateTime<Utc>>) -> anyhow::Result<Replay> {
    let said = corrections::all(pool, user).await?;
    let mut replay = Replay::default();
    learn::learn_seen(pool, &said, Learner::default(), i64::MIN, |seen| {
        if since.is_none_or(|since| seen.correction.at >= since) {
            replay.add(seen);
        }
    })
    .await?;
    Ok(replay)
}

impl Replay {
    fn add(&mut self, seen: &BeforeLearning<'_>) {
        let (near, said) = (seen.near.neighbours(), seen.correction.label);
        let by_sender = near.sender().map(|(_, label)| (label, "sender"));
        self.sender.add(said, by_sender);
        let decided = match seen.learner.decide(seen.features, &near, |_| May::Given).outcome {
            Outcome::Decided { label, by: evidence, confidence } => Some((label, by(evidence), confidence)),
            Outcome::Unsure => None,
        };
        self.whole.add(said, decided.map(|(label, by, _)| (label, by)));
        let best = || seen.learner.model().rank(seen.features, |_| true).first().map(|best| (best.label, "model"));
        let by_kin = near.kin().map(|(_, label)| (label, "kin"));
        self.eager.add(said, by_kin.or(by_sender).or_else(best));
        if let Some((label, by, confidence)) = decided.filter(|(label, ..)| *label != said) {
            self.wrong.push(Wrong { document: seen.correction.document, said, decided: label, by, confidence });
        }
    }
}
