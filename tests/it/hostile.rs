//! Attacks from outside: by senders, by fake providers, and by anyone else who can send bytes to the binary.

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
