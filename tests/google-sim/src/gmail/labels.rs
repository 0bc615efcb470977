//! The labels of a mailbox: Gmail's own, whose ID is their name, and the user's, whose ID is opaque.

mod admin;
mod api;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use admin::{delete, put, state};
pub use api::{get, list};

/// Labels of a message as indices into `Names`, in ascending order.
pub type Labels = Box<[u16]>;

pub const INBOX: u16 = 0;
pub const UNREAD: u16 = 1;
pub const STARRED: u16 = 2;
pub const IMPORTANT: u16 = 3;
pub const SENT: u16 = 4;
pub const SPAM: u16 = 5;
pub const TRASH: u16 = 6;
pub const PROMOTIONS: u16 = 7;
pub const UPDATES: u16 = 8;
const SYSTEM: [&str; 13] = [
    "INBOX",
    "UNREAD",
    "STARRED",
    "IMPORTANT",
    "SENT",
    "SPAM",
    "TRASH",
    "CATEGORY_PROMOTIONS",
    "CATEGORY_UPDATES",
    "CATEGORY_PERSONAL",
    "CATEGORY_SOCIAL",
    "CATEGORY_FORUMS",
    "DRAFT",
];

/// The labels of a mailbox.
#[derive(Default)]
pub struct Names {
    /// The user's own labels, which come after Gmail's; a deleted one keeps its place, so that no ID names two labels.
    own: Vec<Own>,
}

/// A label of the user.
#[derive(Default)]
pub struct Own {
    /// Nested labels are a convention of names: `Parent/Child`.
    pub name: String,
    pub color: Option<Color>,
    /// Whether it is in the label list: labelShow, labelShowIfUnread, labelHide.
    pub list_visibility: Option<String>,
    /// Whether the message list shows it: show, hide.
    pub message_visibility: Option<String>,
    is_deleted: bool,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"), deny_unknown_fields)]
pub struct Color {
    pub text_color: String,
    pub background_color: String,
}

impl Names {
    /// The index of the label with this id; a deleted one is not found.
    pub fn find(&self, id: &str) -> Option<u16> {
        let own = || {
            let index = id.strip_prefix("Label_")?.parse::<usize>().ok()?.checked_sub(1)?;
            self.own.get(index).is_some_and(|own| !own.is_deleted).then_some(index)
        };
        let index = SYSTEM.iter().position(|known| *known == id).or_else(|| Some(SYSTEM.len() + own()?))?;
        u16::try_from(index).ok()
    }

    /// The index of the label with this id or name; an unknown one becomes a user label. `None`: there are too many.
    pub fn named(&mut self, name: &str) -> Option<u16> {
        if let Some(index) = self.find(name) {
            return Some(index);
        }
        let index = self.own.iter().position(|known| known.name == name && !known.is_deleted).unwrap_or_else(|| {
            self.own.push(Own { name: name.to_owned(), ..Own::default() });
            self.own.len() - 1
        });
        u16::try_from(SYSTEM.len() + index).ok()
    }

    /// A label of the user, by its index.
    pub fn own_mut(&mut self, index: u16) -> Option<&mut Own> {
        self.own.get_mut(usize::from(index).checked_sub(SYSTEM.len())?)
    }

    pub fn id(&self, index: u16) -> String {
        match SYSTEM.get(usize::from(index)) {
            Some(id) => (*id).to_owned(),
            None => format!("Label_{}", usize::from(index) - SYSTEM.len() + 1),
        }
    }

    pub fn ids(&self, labels: &[u16]) -> Vec<String> {
        labels.iter().map(|index| self.id(*index)).collect()
    }

    /// The indices of all labels.
    pub fn all(&self) -> impl Iterator<Item = u16> {
        let own = self.own.iter().enumerate().filter(|(_, own)| !own.is_deleted).map(|(index, _)| SYSTEM.len() + index);
        (0..SYSTEM.len()).chain(own).filter_map(|index| u16::try_from(index).ok())
    }

    /// A label in the format of `labels.list`, which has neither colours nor counts.
    pub fn shown(&self, index: u16) -> Value {
        let id = self.id(index);
        let own = usize::from(index).checked_sub(SYSTEM.len()).and_then(|index| self.own.get(index));
        let Some(own) = own else { return json!({ "id": id, "name": id, "type": "system" }) };
        json!({ "id": id, "name": own.name, "type": "user",
            "messageListVisibility": own.message_visibility.as_deref().unwrap_or("show"),
            "labelListVisibility": own.list_visibility.as_deref().unwrap_or("labelShow") })
    }

    /// The colour of a label, if the user has chosen one.
    pub fn color(&self, index: u16) -> Option<&Color> {
        self.own.get(usize::from(index).checked_sub(SYSTEM.len())?)?.color.as_ref()
    }
}

/// These labels, sorted and without duplicates.
pub fn labels(mut places: Vec<u16>) -> Labels {
    places.sort_unstable();
    places.dedup();
    places.into()
}
