//! Counts of what pages did. Pure.

/// What a page did to the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub created: u64,
    pub updated: u64,
    pub deleted: u64,
    pub unchanged: u64,
    /// Streams that the page added; they are due immediately.
    pub streams: u64,
    /// Items that users follow and whose permissions have changed; each is counted as updated, too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub permissions: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.streams += other.streams;
        self.permissions += other.permissions;
    }
}

impl Counts {
    /// Number of rows created, updated or deleted.
    pub fn changes(&self) -> u64 {
        self.created + self.updated + self.deleted
    }
}
