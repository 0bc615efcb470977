//! Attacks of strangers: senders, providers that are none, and whoever else puts bytes before the binary.

mod answers;
mod bots;
mod cluster;
mod connections;
mod erasure;
mod killers;
mod local;
mod mail;
mod meetings;
mod roles;
mod tenants;
mod text;
mod tokens;
