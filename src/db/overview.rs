//! Snapshot of the current state for monitoring: a few counts over small or indexed tables. Read-only.

mod flow;
mod jobs;
mod streams;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Pool;
use super::accounts::{self, Refused};
use super::claims::Selection;
use super::quota::{self, Pause};

pub use flow::{Bots, Channels, Outbox, Quarantine, Target, Unread};
pub use jobs::{JobState, Running};
pub use streams::{Failing, Owner, ServiceState, Waited};

/// The current state.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// By the database's clock.
    pub at: DateTime<Utc>,
    pub services: Vec<ServiceState>,
    /// Of all services together.
    pub accounts: Refused,
    /// Projects whose daily quota is used up.
    pub paused: Vec<Pause>,
    /// The state of each job.
    pub jobs: Vec<JobState>,
    /// By class and service; accounts that are no longer called come first.
    pub failing: Vec<Failing>,
    /// Accounts ended with `accounts revoke`.
    pub accounts_ended: i64,
    /// Services with channels only.
    pub channels: Vec<Channels>,
    pub outbox: Outbox,
    /// Services with quarantined items only.
    pub quarantine: Vec<Quarantine>,
    /// Calendar events that were read only in part.
    pub unread: Unread,
    pub bots: Bots,
    pub database: Database,
}

/// The database itself.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    pub bytes: i64,
    /// As reported by the server, such as `17.6`.
    pub version: String,
}

/// Reads the current state; `services`: the names of all services, which have run tables. A channel is silent after `silent_after` unannounced changes in a
/// row.
pub async fn read(pool: &Pool, services: &[&str], silent_after: i32) -> anyhow::Result<Overview> {
    let mut client = pool.get().await?;
    // One snapshot, so that ages are consistent with the time they refer to.
    let tx = client.snapshot("reading the current state").await?;
    let client = &*tx;
    let row = client
        .query_typed_one("SELECT now(), pg_database_size(current_database()), current_setting('server_version')", &[])
        .await
        .context("reading the size of the database")?;
    Ok(Overview {
        at: row.try_get(0)?,
        services: streams::services(client, services).await?,
        accounts: accounts::refused(client, None).await?,
        paused: quota::list(client, None, &Selection::default()).await?,
        jobs: jobs::jobs(client, services).await?,
        failing: streams::failing(client).await?,
        accounts_ended: streams::ended(client).await?,
        channels: flow::channels(client, silent_after).await?,
        outbox: flow::outbox(client).await?,
        quarantine: flow::quarantine(client).await?,
        unread: flow::unread(client).await?,
        bots: flow::bots(client).await?,
        database: Database { bytes: row.try_get(1)?, version: row.try_get(2)? },
    })
}
