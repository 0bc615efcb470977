//! Google's HTTP: one client, its error bodies, its token endpoint. Knows no database and no service.

mod assertion;
mod batch;
mod channel;
mod client;
pub mod consent;
pub mod directory;
pub mod endpoint;
mod failure;
mod keys;
mod list;
pub mod oauth;
pub mod rs256;
mod together;
pub mod verdict;

pub use batch::Endpoint;
pub use channel::{Ask, Watched, expiration};
pub use client::{Client, Host};
pub use failure::classify;
pub use keys::Keys;
pub use list::List;
pub use together::Together;

pub use crate::http::whole;

/// Reads a user's mail.
pub const SCOPE_GMAIL: &str = "https://www.googleapis.com/auth/gmail.readonly";
/// Sees a user's calendars and events, and may watch them.
pub const SCOPE_CALENDAR: &str = "https://www.googleapis.com/auth/calendar.readonly";
/// Sees a user's files and what is in them.
pub const SCOPE_DRIVE: &str = "https://www.googleapis.com/auth/drive.readonly";
