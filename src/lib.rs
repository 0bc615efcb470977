//! syncctl keeps Google Calendar, Drive and Gmail in step with PostgreSQL, one cron job at a time.
//!
//! The layers, from the top; imports go down only:
//!
//! - `main.rs`, `cli`: parse, log, dispatch, exit code. Also `fuzz`: parsers of untrusted bytes, for a test
//! - `commands`: everything that is not a sync (accounts, db, items, config)
//! - `services`: one folder each; no folder imports another
//! - `engine`: the sync loop, pacing, quotas, reports; independent of any service. Also `outbox`: delivery of events, and `webhook`: receiver of
//!   notifications
//! - `google`, `db`: transport and tokens; pool, streams, runs. They never import each other. Also `telemetry`: reports jobs to monitoring services
//! - `http`: connections, for all providers
//! - `address`, `charset`, `classify`, `config`, `error`, `log_lines`, `nul`, `progress`, `recurrence`, `seal`, `similar`, `state`, `trusted`, `zone`: base
//!   modules
//!
//! Below them, as crates of their own: `pace` (when a stream is polled next) and `pace-lab` (the comparison of pacing rules behind `sync simulate`).

// `print!` and `eprintln!` panic if the reader is gone: `commands::print` and `complain` do not.
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
mod log_lines;
mod nul;
pub mod outbox;
mod progress;
mod recurrence;
pub mod seal;
pub mod services;
mod similar;
pub mod state;
mod telemetry;
mod trusted;
mod webhook;
mod zone;
