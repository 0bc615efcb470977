//! Push channels: each eligible stream has one, renewed without a gap, and none is left over. Independent of any service.

pub(super) mod figures;
mod plan;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use uuid::Uuid;

use super::job::{self, Job};
use super::outcome::{Outcome, PollEnd};
use super::shared::Shared;
use super::tokens::Credential;
use super::{Calls, Context, Report, Source, Stream};
use crate::config;
use crate::db::claims::{self, StreamRow};
use crate::db::{accounts, channels};
use crate::error::Failure;

pub use crate::google::{Ask, Watched};
pub use figures::Figures;
pub use plan::Mode;
use plan::{Rules, Task};

/// A service whose streams can be watched. Each call is one request: the engine pays for it and retries it.
pub trait Pushed: Source {
    /// The kinds of streams that can be watched.
    const KINDS: &'static [&'static str];
    /// Quota units of `…watch` and of stopping a channel.
    const COSTS: (u64, u64);
    /// The resource id, if a user has a single watch and each new one replaces the last: old ones then need no stopping.
    const ONLY: Option<&'static str>;

    /// The address that receives the announcements; empty if streams are not watched.
    fn address(push: &config::Push) -> String;

    /// Watches a stream whose position is `cursor`.
    fn watch(
        &self,
        stream: &Stream,
        cursor: &str,
        credential: &Credential,
        ask: &Ask,
    ) -> impl Future<Output = Result<Watched, Failure>> + Send;

    /// Stops a channel.
    fn stop(&self, credential: &Credential, channel: Uuid, resource: &str) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Renews or repairs the channels of the streams that `job.selection` names, and stops those no longer needed.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub async fn renew<S: Pushed>(context: &Context, source: S, job: &Job, mode: Mode) -> anyhow::Result<Report> {
    job::recorded(context, source, job, async |shared| {
        let (pool, service) = (&context.pool, S::TABLES.service);
        let users = job.selection.users.as_deref();
        channels::tidy(pool, service).await?;
        let streams = channels::watchable(pool, service, S::KINDS, users).await?;
        let open = channels::open(pool, service, users).await?;
        let push = &context.settings.push;
        let address = S::address(push);
        let rules = Rules {
            mode,
            address: &address,
            renew_within: push.renew_within.as_secs_f64(),
            silent_after: i32::try_from(push.silent_after).unwrap_or(i32::MAX),
        };
        let silent = plan::silent(&streams, &open, &rules);
        if silent > 0 {
            log::warn!(silent; "push channels do not announce changes that polling finds");
        }
        shared.report().push = Some(Figures { silent, ..Figures::default() });
        work(shared, plan::plan(&streams, open, &rules)).await
    })
    .await
}

/// Stops one channel, or all channels of the users that `job.selection` names.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub async fn stop<S: Pushed>(context: &Context, source: S, job: &Job, only: Option<Uuid>) -> anyhow::Result<Report> {
    job::recorded(context, source, job, async |shared| {
        let (pool, service) = (&context.pool, S::TABLES.service);
        channels::tidy(pool, service).await?;
        let open = channels::open(pool, service, job.selection.users.as_deref()).await?;
        shared.report().push = Some(Figures::default());
        work(shared, plan::ends(open.into_iter().filter(|channel| only.is_none_or(|only| only == channel.id)))).await
    })
    .await
}

async fn work<S: Pushed>(shared: Arc<Shared<S>>, tasks: Vec<Task>) -> anyhow::Result<()> {
    let ids: Vec<i64> = tasks.iter().filter_map(|task| task.stream).collect();
    let rows = claims::read(&shared.context.pool, &ids).await?;
    let rows: HashMap<i64, StreamRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    shared.progress.add_streams(tasks.len());
    let work = tasks.iter().map(|task| one(&shared, task, task.stream.and_then(|id| rows.get(&id))));
    let work: Vec<_> = work.collect();
    let mut work = futures_util::stream::iter(work).buffer_unordered(shared.width());
    while let Some(outcome) = work.next().await {
        if let Some(outcome) = outcome {
            shared.report().add(&outcome);
        }
        shared.progress.ended(|| shared.report().users());
    }
    Ok(())
}

/// Executes one task. `None` if it does not count as a stream.
async fn one<S: Pushed>(shared: &Shared<S>, task: &Task, row: Option<&StreamRow>) -> Option<Outcome> {
    let started = Instant::now();
    let mut outcome = row.map(Outcome::of);
    if shared.wind_down.is_cancelled() {
        if let Some(outcome) = &mut outcome {
            outcome.end = PollEnd::Interrupted;
        }
        return outcome;
    }
    if let Err(failure) = stream::work(shared, task, row).await {
        let whose = task.stream.map_or_else(|| task.user.to_string(), |stream| format!("stream {stream} of {}", task.user));
        shared.digest.add("channel problem", Some(failure.class), whose, &failure.message);
        match &mut outcome {
            Some(outcome) if failure.class.is_off() => outcome.end = PollEnd::Off(failure),
            Some(outcome) => outcome.end = PollEnd::Failed(failure),
            None => shared.report().fail(&failure),
        }
    }
    let took = started.elapsed();
    if let Some(outcome) = &mut outcome {
        outcome.took = took;
    }
    outcome
}

impl<S> Shared<S> {
    /// Updates the run's channel figures.
    fn count(&self, add: impl FnOnce(&mut Figures)) {
        if let Some(figures) = &mut self.report().push {
            add(figures);
        }
    }
}

impl<S: Pushed> Shared<S> {
    /// The calls of a user whose stream is gone. `None` if the account is gone too.
    async fn calls_of_user(&self, user: Uuid) -> anyhow::Result<Option<Calls>> {
        let account = accounts::get(&self.context.pool, user).await?;
        Ok(account.map(|account| self.calls_with(&account.row)))
    }
}
