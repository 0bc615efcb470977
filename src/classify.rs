//! Assigns documents to projects, learning from people's assignments only. Pure: no database, network or clock.
//!
//! - `features`: turns a text into hashed words, word pairs and sender
//! - `linear`: one user's model, one-vs-rest; `explain`: which parts of a text count towards a project
//! - `threshold`: the confidence the model needs, derived from its past predictions
//! - `decide`: kin, then sender, then model, else unsure
//! - `score`: precision and coverage of decisions
//! - `learner`: all of the above for one user; `bytes`: its serialised form

pub mod bytes;
pub mod decide;
pub mod explain;
pub mod features;
pub mod learner;
pub mod linear;
pub mod score;
pub mod threshold;

use uuid::Uuid;

/// A person's assignment of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// It belongs to this project (`projects.id`).
    Project(Uuid),
    /// It belongs to none of the user's projects.
    NoneOfThem,
}
