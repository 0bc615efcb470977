//! syncctl keeps Google Calendar, Drive and Gmail in step with PostgreSQL, one cron job at a time.
//!
//! The floors, from the top; imports go down only:
//!
//! - `main.rs`, `cli`: parse, log, dispatch, exit code. Beside them `fuzz`: what reads strangers' bytes, for a test
//! - `commands`: what is not a sync (accounts, db, items, config)
//! - `services`: one folder each; no folder knows another
//! - `engine`: the one sync loop, pacing, quotas, reports; knows no service. Beside it `outbox`: delivery of events, and
//!   `webhook`: intake of notifications
//! - `google`, `db`: transport and tokens; pool, streams, runs. They never meet. Beside them `telemetry`: jobs, told to who watches over them
//! - `http`: connections, whoever is asked
//! - `address`, `charset`, `classify`, `config`, `error`, `nul`, `progress`, `recurrence`, `seal`, `trusted`, `zone`: ground

// `print!` and `eprintln!` end the process where nobody reads any more: `commands::print` and `complain` do not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod address;
mod charset;
pub mod classify;
pub mod cli;
mod commands;
pub mod config;
pub mod db;
pub mod engine;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod google;
pub mod http;
mod links;
mod nul;
pub mod outbox;
mod progress;
mod recurrence;
pub mod seal;
pub mod services;
mod telemetry;
mod trusted;
mod webhook;
mod zone;
