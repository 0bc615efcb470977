//! The intake of notifications: the real binary under valid requests, forged ones, too many, and without its database.

mod drain;
mod intake;
mod keys;
mod limits;
mod load;
mod senders;
pub mod server;
mod sockets;
mod whole;
