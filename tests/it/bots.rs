//! Bots of meetings on the regular path: from the event to the document.

pub mod ground;
mod keys;
mod life;
mod links;
mod meetings;
mod verbs;
