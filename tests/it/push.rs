//! Push channels: every stream has one, renewed without a gap, and the simulator has none that is unknown to the database.

mod channels;
mod ground;
mod health;
mod time;
