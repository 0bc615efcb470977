//! Which project a document belongs to, learnt from people's assignments alone. Pure: knows no database, no network and no clock.
//!
//! - `features`: a text as hashed words, word pairs and sender

pub mod features;

use uuid::Uuid;

/// What a person says of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// It belongs to this project (`projects.id`).
    Project(Uuid),
    /// It belongs to none of the user's projects.
    NoneOfThem,
}
