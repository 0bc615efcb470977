//! How everything stands at this moment, for those who watch over it: a handful of counts over small or indexed tables. Changes nothing.

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

/// How everything stands.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// By the database's clock.
    pub at: DateTime<Utc>,
    pub services: Vec<ServiceState>,
    /// Of all services together.
    pub accounts: Refused,
    /// Projects whose quota of the day is used up.
    pub paused: Vec<Pause>,
    /// How each job goes.
    pub jobs: Vec<JobState>,
    /// By class and service: accounts that are not called any more first.
    pub failing: Vec<Failing>,
    /// Accounts that were ended here, on purpose.
    pub accounts_ended: i64,
    /// By service, where there are any.
    pub channels: Vec<Channels>,
    pub outbox: Outbox,
    /// By service, where there is something.
    pub quarantine: Vec<Quarantine>,
    /// Of Calendar.
    pub unread: Unread,
    pub bots: Bots,
    pub database: Database,
}

/// The database itself.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    pub bytes: i64,
    /// As the server says it, such as `17.6`.
    pub version: String,
}

/// Reads it all. `silent_after`: so many changes in a row that a channel did not announce make it silent.
pub async fn read(pool: &Pool, silent_after: i32) -> anyhow::Result<Overview> {
    let mut client = pool.get().await?;
    // Of one moment, so that an age and the time that it counts from belong together.
    let tx = client.snapshot("reading how things stand").await?;
    let client = &*tx;
    let row = client
        .query_typed_one("SELECT now(), pg_database_size(current_database()), current_setting('server_version')", &[])
        .await
        .context("asking for the size of the database")?;
    Ok(Overview {
        at: row.try_get(0)?,
        services: streams::services(client).await?,
        accounts: accounts::refused(client, None).await?,
        paused: quota::list(client, None, &Selection::default()).await?,
        jobs: jobs::jobs(client).await?,
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
