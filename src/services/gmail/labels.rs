//! The labels of a mailbox (table `gmail_labels`). Gmail's history does not report that labels are made, renamed or deleted, so they are listed: after a full
//! pass, when a message bears a label that is not known, and once a day.

pub mod fetch;
mod mailboxes;
pub mod removal;
pub mod store;

use serde::{Deserialize, Serialize};

pub use mailboxes::{Example, Unlisted, unlisted};

/// Prefix of the ids of user labels. A label of Gmail's own has its name as its id.
pub const OWN: &str = "Label_";

/// A label, as `labels.list` and `labels.get` return it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Label {
    pub id: String,
    pub name: Option<String>,
    /// system or user
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub label_list_visibility: Option<String>,
    pub message_list_visibility: Option<String>,
    pub color: Option<Color>,
    /// Whether `color` is known: Google's reference says that `labels.list` leaves it out.
    #[serde(rename = "syncctl.hasColor")]
    pub has_color: bool,
}

/// The colour of a label, as `#rrggbb`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Color {
    pub text_color: Option<String>,
    pub background_color: Option<String>,
}

/// The result of listing the labels of a mailbox.
#[derive(Debug)]
pub struct Listing {
    /// `None`: they could not be listed.
    pub labels: Option<Vec<Label>>,
    /// Why they, or their colours, could not be listed.
    pub failure: Option<ListFailure>,
}

/// Why labels, or their colours, could not be listed.
#[derive(Debug, Deserialize, Serialize)]
pub struct ListFailure {
    /// `error::Class`
    pub class: String,
    pub message: String,
}

impl Label {
    /// Whether it is a label of the user, not one of Gmail's own.
    pub fn is_own(&self) -> bool {
        self.kind.as_deref().map_or(self.id.starts_with(OWN), |kind| kind == "user")
    }
}
