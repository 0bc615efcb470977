//! A service's entry in the registry: what it is, and its jobs for code that learns the service's name only when it runs.

use futures_util::future::LocalBoxFuture;
use uuid::Uuid;

use super::{Registered, Service};
use crate::config::{EventTypes, Limits, Push, Quota, Settings};
use crate::db::Pool;
use crate::db::claims::Selection;
use crate::db::items::Quarantined;
use crate::db::runs::Tables;
use crate::engine::job::{self, Job};
use crate::engine::pace::Bounds;
use crate::engine::push::{self, Pushed};
use crate::engine::retry_items::{self, Retried};
use crate::engine::verify::{self, Ask, Verify};
use crate::engine::{Context, Report, Stream, refetch};

/// Work that is under way.
type Work<'a, T> = LocalBoxFuture<'a, anyhow::Result<T>>;

/// The results of quarantined items, by their numbers.
type Retries = Vec<(i64, Retried)>;

/// Maps a stream to the bounds of its polling interval and its urgency.
type Assessor = Box<dyn Fn(&Stream) -> (Bounds, f64)>;

/// Compares streams with what is stored.
pub type Comparison = for<'a> fn(&'a Context, &'a Job, &'a Ask) -> Work<'a, Report>;

/// What the registry knows about a service.
pub struct Entry {
    /// `streams.service`
    pub name: &'static str,
    pub tables: Tables,
    /// `None`: its streams do not belong to accounts at Google.
    pub google: Option<Registered>,
    /// The types of its outbox events.
    pub events: EventTypes,
    /// `Service::JOBS`
    pub jobs: &'static [&'static str],
    /// `Service::OWNERS`
    pub owners: &'static str,
    /// `Service::NOUNS`
    pub nouns: &'static [(&'static str, [&'static str; 2])],
    /// `Service::LOOK`
    pub look: Option<&'static str>,
    /// Whether it calls a provider, and so spends quota.
    pub makes_calls: bool,
    /// `Source::PASS_SETTINGS`
    pub pass_settings: &'static [&'static str],
    /// Whether the settings enable it.
    pub enabled: fn(&Settings) -> bool,
    pub limits: fn(&Quota) -> Limits,
    /// Whether there is anything to poll.
    pub is_in_use: for<'a> fn(&'a Pool) -> Work<'a, bool>,
    /// `Service::announce`
    pub announce: for<'a> fn(&'a Context) -> Work<'a, ()>,
    /// Runs a job that polls streams. Does not deliver events.
    pub run: for<'a> fn(&'a Context, &'a Job) -> Work<'a, Report>,
    /// Applies quarantined items again that were received, without calling the provider.
    pub retry: for<'a> fn(&'a Context, &'a [Quarantined]) -> Work<'a, Retries>,
    /// Fetches quarantined items again.
    pub refetch: for<'a> fn(&'a Context, &'a Job, &'a [Quarantined]) -> Work<'a, Retries>,
    pub assessor: for<'a> fn(&'a Context) -> Work<'a, Assessor>,
    /// `None`: there is nothing to compare.
    pub verify: Option<Comparison>,
    /// `None`: its streams cannot be watched.
    pub channels: Option<Channels>,
}

/// The push channels of a service.
pub struct Channels {
    /// `Pushed::address`
    pub address: fn(&Push) -> String,
    /// Stops one channel, or all channels of the users that the job selects.
    pub stop: for<'a> fn(&'a Context, &'a Job, Option<Uuid>) -> Work<'a, Report>,
}

impl Entry {
    /// The entry of a service that can neither be compared nor watched.
    pub(super) const fn of<S: Service>() -> Self {
        Self {
            name: S::TABLES.service,
            tables: S::TABLES,
            google: S::GOOGLE,
            events: S::EVENTS,
            jobs: S::JOBS,
            owners: S::OWNERS,
            nouns: S::NOUNS,
            look: S::LOOK,
            makes_calls: S::AUTH.makes_calls(),
            pass_settings: S::PASS_SETTINGS,
            enabled: S::enabled,
            limits: S::limits,
            is_in_use: |pool| Box::pin(S::is_in_use(pool)),
            announce: |context| Box::pin(S::announce(context)),
            run: run::<S>,
            retry: retry::<S>,
            refetch: fetch_again::<S>,
            assessor: assessor::<S>,
            verify: None,
            channels: None,
        }
    }

    /// Adds the comparison with what is stored.
    pub(super) const fn verified<S: Service + Verify>(self) -> Self {
        Self { verify: Some(compare::<S>), ..self }
    }

    /// Adds the push channels.
    pub(super) const fn watched<S: Service + Pushed>(self) -> Self {
        Self { channels: Some(Channels { address: S::address, stop: stop::<S> }), ..self }
    }

    /// The address that receives the announcements of its channels; empty if its streams are not watched.
    pub fn push_address(&self, push: &Push) -> String {
        self.channels.as_ref().map_or_else(String::new, |channels| (channels.address)(push))
    }
}

/// A selection of no stream, for work that polls nothing.
fn nothing() -> Selection {
    Selection { users: Some(Vec::new()), ..Selection::default() }
}

fn run<'a, S: Service>(context: &'a Context, job: &'a Job) -> Work<'a, Report> {
    Box::pin(async move {
        if !job.dry_run {
            S::wake(context).await?;
        }
        job::run(context, S::load(context, &job.selection, job.dry_run).await?, job).await
    })
}

fn retry<'a, S: Service>(context: &'a Context, items: &'a [Quarantined]) -> Work<'a, Retries> {
    Box::pin(async move {
        let source = S::load(context, &Selection { force: true, ..Selection::default() }, true).await?;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push((item.id, retry_items::retry(context, &source, item).await?));
        }
        Ok(results)
    })
}

fn fetch_again<'a, S: Service>(context: &'a Context, job: &'a Job, items: &'a [Quarantined]) -> Work<'a, Retries> {
    Box::pin(async move { refetch::run(context, S::load(context, &job.selection, false).await?, job, items).await })
}

fn assessor<'a, S: Service>(context: &'a Context) -> Work<'a, Assessor> {
    Box::pin(async move {
        let source = S::load(context, &nothing(), true).await?;
        Ok(Box::new(move |stream: &Stream| (source.bounds(stream), source.urgency(stream.id))) as Assessor)
    })
}

fn compare<'a, S: Service + Verify>(context: &'a Context, job: &'a Job, ask: &'a Ask) -> Work<'a, Report> {
    Box::pin(async move {
        // Load everything that a full pass reads, including contents.
        let selection = Selection { users: ask.users.clone(), force: true, ..Selection::default() };
        verify::run(context, S::load(context, &selection, false).await?, job, ask).await
    })
}

fn stop<'a, S: Service + Pushed>(context: &'a Context, job: &'a Job, only: Option<Uuid>) -> Work<'a, Report> {
    Box::pin(async move { push::stop(context, S::load(context, &nothing(), false).await?, job, only).await })
}
