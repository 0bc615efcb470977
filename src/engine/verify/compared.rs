//! The result of a comparison, for the report of its run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compare::Figures;

/// The result of a comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Compared {
    pub seed: i64,
    /// Number of streams chosen, and of those available.
    pub chosen: u64,
    pub of: u64,
    /// By kind of stream.
    pub kinds: BTreeMap<String, Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

/// The result of a repair.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Repair {
    /// Streams that made a complete pass, or whose derived rows were rebuilt.
    pub streams: u64,
    /// Remaining differences.
    pub left: BTreeMap<String, Figures>,
}

impl Compared {
    /// Number of items that are wrong in the end.
    pub fn wrong(&self) -> u64 {
        let kinds = self.repair.as_ref().map_or(&self.kinds, |repair| &repair.left);
        kinds.values().map(Figures::wrong).sum()
    }

    pub(super) fn kinds_mut(&mut self) -> &mut BTreeMap<String, Figures> {
        &mut self.kinds
    }

    pub(super) fn left_mut(&mut self) -> &mut BTreeMap<String, Figures> {
        &mut self.repair.get_or_insert_default().left
    }
}
