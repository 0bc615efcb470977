//! The labels of a mailbox: Gmail's own, whose id is their name, and the user's, whose id says nothing.

use serde_json::{Value, json};

/// Labels of a message as places in `Names`, in rising order.
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

/// The labels that a mailbox knows.
#[derive(Default)]
pub struct Names {
    /// The user's own, which come after Gmail's.
    own: Vec<String>,
}

impl Names {
    /// The place of the label with this id.
    pub fn find(&self, id: &str) -> Option<u16> {
        let own = || id.strip_prefix("Label_")?.parse::<usize>().ok()?.checked_sub(1).filter(|place| *place < self.own.len());
        let place = SYSTEM.iter().position(|known| *known == id).or_else(|| Some(SYSTEM.len() + own()?))?;
        u16::try_from(place).ok()
    }

    /// The place of the label with this id or name; one that is not there yet becomes the user's. `None`: there are too many.
    pub fn named(&mut self, name: &str) -> Option<u16> {
        if let Some(place) = self.find(name) {
            return Some(place);
        }
        let place = self.own.iter().position(|known| known == name).unwrap_or_else(|| {
            self.own.push(name.to_owned());
            self.own.len() - 1
        });
        u16::try_from(SYSTEM.len() + place).ok()
    }

    pub fn id(&self, place: u16) -> String {
        match SYSTEM.get(usize::from(place)) {
            Some(id) => (*id).to_owned(),
            None => format!("Label_{}", usize::from(place) - SYSTEM.len() + 1),
        }
    }

    pub fn ids(&self, labels: &[u16]) -> Vec<String> {
        labels.iter().map(|place| self.id(*place)).collect()
    }

    /// As `labels.list` shows them.
    pub fn shown(&self) -> Vec<Value> {
        let system = SYSTEM.iter().map(|id| json!({ "id": id, "name": id, "type": "system" }));
        let own = self.own.iter().enumerate().map(|(place, name)| {
            json!({ "id": format!("Label_{}", place + 1), "name": name, "type": "user",
                "messageListVisibility": "show", "labelListVisibility": "labelShow" })
        });
        system.chain(own).collect()
    }
}

/// These labels, sorted and each once.
pub fn labels(mut places: Vec<u16>) -> Labels {
    places.sort_unstable();
    places.dedup();
    places.into()
}
