//! What a run did with push channels, for its report.

use serde::Serialize;
use uuid::Uuid;

use super::plan::RenewalReason;

/// What a run did with channels.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// New channels of streams that had none.
    pub made: u64,
    /// New channels that replace old ones.
    pub renewed: u64,
    pub stopped: u64,
    /// Channels that the next run tries again to stop.
    pub left_to_stop: u64,
    /// Channels that Google rejected.
    pub refused: u64,
    /// Channels that do not announce changes found by polling; `renew-webhooks` replaces them.
    pub silent: u64,
    /// Problems and repairs, channel by channel; `renew-watches` finds only old addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<Repair>,
}

/// One faulty channel.
#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    pub stream_id: i64,
    /// `None` if there was none.
    pub channel: Option<Uuid>,
    pub found: RenewalReason,
    /// `replaced by …`, `failed: …`, `refused: …`
    pub done: String,
}
