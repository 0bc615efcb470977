//! Bots of meetings on the regular path: from the event to the document.

#[path = "bots/ground.rs"]
pub mod ground;
#[path = "bots/keys.rs"]
mod keys;
#[path = "bots/life.rs"]
mod life;
#[path = "bots/links.rs"]
mod links;
#[path = "bots/meetings.rs"]
mod meetings;
#[path = "bots/verbs.rs"]
mod verbs;
