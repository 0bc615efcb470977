//! Test infrastructure: real PostgreSQL servers, a real pooler, the simulator, and the real binary.

pub mod agenda;
pub mod answer;
pub mod attendee;
pub mod browser;
pub mod clock;
pub mod collector;
pub mod drive;
pub mod gate;
pub mod google;
pub mod library;
pub mod mail;
pub mod models;
pub mod page;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod proxy;
pub mod reader;
pub mod receiver;
pub mod service;
pub mod sim;
pub mod statements;
pub mod tls;
pub mod waiting;
pub mod world;

pub use sim::Sim;
pub use world::World;
