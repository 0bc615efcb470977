//! Shared by the benchmarks. Each includes it by its path.

pub mod changes;
pub mod delays;
pub mod figures;
