//! Parts of a report.

use serde::Serialize;
use uuid::Uuid;

/// Failures of one class.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
pub struct ClassCount {
    pub count: u64,
    pub example: String,
}

/// Latency of one fetch, retries included, in milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Quantiles {
    pub p50: u32,
    pub p95: u32,
    pub max: u32,
}

/// What a run covered, as counted in the run tables: users, or files followed for them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Covered {
    pub total: u64,
    pub failed: u64,
}

/// A slow stream.
#[derive(Debug, Serialize)]
pub struct Slow {
    pub stream_id: i64,
    pub user_id: Uuid,
    pub kind: String,
    pub ms: u64,
}
