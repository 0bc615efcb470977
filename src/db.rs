//! PostgreSQL: the pool, the schema, and one file per table group. Independent of Google and of the services.
//!
//! Statements are sent with their parameter types (`*_typed`), so no named statement is prepared and a pooler in transaction mode can serve them.

pub mod accounts;
pub mod activity;
pub mod assignments;
pub mod catalog;
pub mod change_times;
pub mod channels;
pub mod channels_read;
pub mod claims;
pub mod classify;
mod comments;
pub mod completeness;
pub mod connection;
pub mod conninfo;
pub mod deliveries;
pub mod documents;
pub mod documents_read;
pub mod embedded;
pub mod erasure;
pub mod foreign_grants;
pub mod health;
pub mod history;
mod host;
pub mod items;
pub mod lease_holder;
pub mod migrate;
pub mod model_usage;
pub mod move_schema;
pub mod notifications;
pub mod outbox;
pub mod overview;
pub mod pace_priors;
pub mod pace_runs;
pub mod poll_prices;
pub mod pool;
pub mod problems;
pub mod projects;
pub mod quota;
pub mod reads;
pub mod retention;
pub mod routing;
pub mod runs;
pub mod search_path;
pub mod size;
pub mod streams;
pub mod verify;

pub use connection::Connection;
pub use pool::{Pool, explained, is_gone};

/// The oldest major version of PostgreSQL that syncctl is tested with.
pub const OLDEST_POSTGRES: u32 = 14;
