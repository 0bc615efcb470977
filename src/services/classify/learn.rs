//! Learns what people have said. Writes nothing.

use uuid::Uuid;

use super::corrections::{Near, People};
use crate::classify::Label;
use crate::classify::decide::May;
use crate::classify::features::{Features, Text, features};
use crate::classify::learner::Learner;
use crate::db::Pool;
use crate::db::classify::corrections::{self, Content, Correction};

/// Documents that are read at once.
const AT_ONCE: usize = 200;

/// What was learnt, and from which words.
pub struct Lesson {
    pub learner: Learner,
    pub people: People,
    /// Documents whose words the learner did not have before.
    pub new: Vec<Uuid>,
    /// Words of projects beyond those that one model can tell apart.
    pub beyond: usize,
}

/// A document just before its word is learnt.
pub struct BeforeLearning<'a> {
    pub learner: &'a Learner,
    pub features: &'a Features,
    /// What had been said before of documents near it.
    pub near: &'a Near,
    pub word: &'a Correction,
}

/// Lets a learner that knows the words up to `learnt_to` learn the rest, in their order; an empty one knows none.
pub async fn learn(pool: &Pool, said: &[Correction], learner: Learner, learnt_to: i64) -> anyhow::Result<Lesson> {
    learn_seen(pool, said, learner, learnt_to, |_| {}).await
}

/// The same; `see` is called for each document just before its word is learnt.
pub async fn learn_seen(
    pool: &Pool,
    said: &[Correction],
    mut learner: Learner,
    learnt_to: i64,
    mut see: impl FnMut(&BeforeLearning<'_>),
) -> anyhow::Result<Lesson> {
    let (mut people, mut new, mut beyond) = (People::default(), Vec::new(), 0);
    let known = said.partition_point(|word| word.said <= learnt_to);
    for word in &said[..known] {
        people.add(word.document, &word.traits, word.label);
    }
    for part in said[known..].chunks(AT_ONCE) {
        let ids: Vec<Uuid> = part.iter().map(|word| word.document).collect();
        let contents = corrections::contents(pool, &ids).await?;
        for word in part {
            if let Some(content) = contents.get(&word.document) {
                let (features, near) = (features(&text(content)), people.near(word.document, &word.traits));
                see(&BeforeLearning { learner: &learner, features: &features, near: &near, word });
                beyond += usize::from(learner.learn(&features, &near.neighbours(), word.label).is_err());
            }
            people.add(word.document, &word.traits, word.label);
            new.push(word.document);
        }
        tokio::task::yield_now().await;
    }
    Ok(Lesson { learner, people, new, beyond })
}

/// A document as features are made of it.
fn text(content: &Content) -> Text<'_> {
    Text { title: &content.title, sender: &content.author, body: &content.text }
}

/// Whether a label may be given to a document: "none of them", or a project that is open, unless a person took it away.
pub fn may(label: Label, is_open: impl Fn(Uuid) -> bool, refused: &[Label]) -> May {
    match label {
        _ if refused.contains(&label) => May::Refused,
        Label::Project(id) if !is_open(id) => May::Closed,
        Label::Project(_) | Label::NoneOfThem => May::Given,
    }
}
