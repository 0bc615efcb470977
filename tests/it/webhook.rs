//! The intake of notifications: the real binary under valid requests, forged ones, too many, and without its database.

#[path = "webhook/drain.rs"]
mod drain;
#[path = "webhook/intake.rs"]
mod intake;
#[path = "webhook/keys.rs"]
mod keys;
#[path = "webhook/limits.rs"]
mod limits;
#[path = "webhook/load.rs"]
mod load;
#[path = "webhook/senders.rs"]
mod senders;
#[path = "webhook/server.rs"]
pub mod server;
#[path = "webhook/sockets.rs"]
mod sockets;
#[path = "webhook/whole.rs"]
mod whole;
