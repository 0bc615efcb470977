//! Learns from people's corrections. Writes nothing.

use uuid::Uuid;

use super::corrections::{Near, People};
use crate::classify::Label;
use crate::classify::decide::May;
use crate::classify::features::{Features, Text, features};
use crate::classify::learner::Learner;
use crate::db::Pool;
use crate::db::classify::corrections::{self, Content, Correction};

/// Number of documents read per query.
const AT_ONCE: usize = 200;

/// A learner and the corrections it has learnt.
pub struct Lesson {
    pub learner: Learner,
    pub people: People,
    /// Documents whose corrections the learner did not have before.
    pub new: Vec<Uuid>,
    /// Number of corrections not learnt because the model has no space for their projects.
    pub beyond: usize,
}

/// A document just before its correction is learnt.
pub struct BeforeLearning<'a> {
    pub learner: &'a Learner,
    pub features: &'a Features,
    /// Earlier corrections of related documents.
    pub near: &'a Near,
    pub correction: &'a Correction,
}

/// Teaches a learner that knows the corrections up to `learnt_to` the rest, in order; an empty learner knows none.
pub async fn learn(pool: &Pool, said: &[Correction], learner: Learner, learnt_to: i64) -> anyhow::Result<Lesson> {
    learn_seen(pool, said, learner, learnt_to, |_| {}).await
}

/// Like `learn`, and calls `see` for each document just before its correction is learnt.
pub async fn learn_seen(
    pool: &Pool,
    said: &[Correction],
    mut learner: Learner,
    learnt_to: i64,
    mut see: impl FnMut(&BeforeLearning<'_>),
) -> anyhow::Result<Lesson> {
    let (mut people, mut new, mut beyond) = (People::default(), Vec::new(), 0);
    let known = said.partition_point(|correction| correction.said <= learnt_to);
    for correction in &said[..known] {
        people.add(correction.document, &correction.traits, correction.label);
    }
    for part in said[known..].chunks(AT_ONCE) {
        let ids: Vec<Uuid> = part.iter().map(|correction| correction.document).collect();
        let contents = corrections::contents(pool, &ids).await?;
        for correction in part {
            if let Some(content) = contents.get(&correction.document) {
                let (features, near) = (features(&text(content)), people.near(correction.document, &correction.traits));
                see(&BeforeLearning { learner: &learner, features: &features, near: &near, correction });
                beyond += usize::from(learner.learn(&features, &near.neighbours(), correction.label).is_err());
            }
            people.add(correction.document, &correction.traits, correction.label);
            new.push(correction.document);
        }
        tokio::task::yield_now().await;
    }
    Ok(Lesson { learner, people, new, beyond })
}

/// The text that the features are computed from.
fn text(content: &Content) -> Text<'_> {
    Text { title: &content.title, sender: &content.author, body: &content.text }
}

/// Whether a label may be given to a document: "none of them" or an open project, unless a person removed it.
pub fn may(label: Label, is_open: impl Fn(Uuid) -> bool, refused: &[Label]) -> May {
    match label {
        _ if refused.contains(&label) => May::Refused,
        Label::Project(id) if !is_open(id) => May::Closed,
        Label::Project(_) | Label::NoneOfThem => May::Given,
    }
}
