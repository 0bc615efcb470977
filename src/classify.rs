//! Which project a document belongs to, learnt from people's assignments alone. Pure: knows no database, no network and no clock.
//!
//! - `features`: a text as hashed words, word pairs and sender
//! - `linear`: a model of one user, one project against the rest; `explain`: what in a text spoke for a project
//! - `threshold`: how sure the model must be, by what it got right before
//! - `decide`: kin, then sender, then model, else unsure
//! - `score`: how well that went
//! - `learner`: all of these for one user, as bytes too (`bytes`)

pub mod bytes;
pub mod decide;
pub mod explain;
pub mod features;
pub mod learner;
pub mod linear;
pub mod score;
pub mod threshold;

use uuid::Uuid;

/// What a person says of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// It belongs to this project (`projects.id`).
    Project(Uuid),
    /// It belongs to none of the user's projects.
    NoneOfThem,
}
