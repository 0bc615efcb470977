//! Push channels: every stream has one, renewed without a gap, and the simulator has none that the database does not know.

#[path = "push/channels.rs"]
mod channels;
#[path = "push/ground.rs"]
mod ground;
#[path = "push/health.rs"]
mod health;
#[path = "push/time.rs"]
mod time;
