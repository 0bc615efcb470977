//! The main job, end to end: the real binary, a real PostgreSQL, real HTTP to the simulator.

mod accounts;
mod batches;
mod calendars;
mod documents;
mod drive;
mod drive_documents;
mod drive_poll;
mod faults;
mod first_sync;
mod gmail;
mod ground;
mod kill;
mod messages;
mod metrics;
mod outage;
mod outbox;
mod push;
mod quarantine;
mod resync;
mod schedules;
mod settings;
mod sharing;
mod simulate;
mod support;
mod ways;
mod webhook;
