//! The labels of a mailbox: Gmail's own, whose ID is their name, and the user's, whose ID is opaque.

use serde_json::{Value, json};

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
    /// The user's own labels, which come after Gmail's.
    own: Vec<String>,
}

impl Names {
    /// The index of the label with this id.
    pub fn find(&self, id: &str) -> Option<u16> {
        let own = || id.strip_prefix("Label_")?.parse::<usize>().ok()?.checked_sub(1).filter(|index| *index < self.own.len());
        let index = SYSTEM.iter().position(|known| *known == id).or_else(|| Some(SYSTEM.len() + own()?))?;
        u16::try_from(index).ok()
    }

    /// The index of the label with this id or name; an unknown one becomes a user label. `None`: there are too many.
    pub fn named(&mut self, name: &str) -> Option<u16> {
        if let Some(index) = self.find(name) {
            return Some(index);
        }
        let index = self.own.iter().position(|known| known == name).unwrap_or_else(|| {
            self.own.push(name.to_owned());
            self.own.len() - 1
        });
        u16::try_from(SYSTEM.len() + index).ok()
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

    /// In the format of `labels.list`.
    pub fn shown(&self) -> Vec<Value> {
        let system = SYSTEM.iter().map(|id| json!({ "id": id, "name": id, "type": "system" }));
        let own = self.own.iter().enumerate().map(|(index, name)| {
            json!({ "id": format!("Label_{}", index + 1), "name": name, "type": "user",
                "messageListVisibility": "show", "labelListVisibility": "labelShow" })
        });
        system.chain(own).collect()
    }
}

/// These labels, sorted and without duplicates.
pub fn labels(mut places: Vec<u16>) -> Labels {
    places.sort_unstable();
    places.dedup();
    places.into()
}
