//! Push channels: every stream has one, renewed without a gap, and the simulator has none that is unknown to the database.

#[path = "push/channels.rs"]
mod channels;
#[path = "push/ground.rs"]
mod ground;
#[path = "push/health.rs"]
mod health;
#[path = "push/time.rs"]
mod time;
