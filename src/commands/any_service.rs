//! Runs jobs of any service by name, for `webhook drain` and `sync`.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{drive, gmail};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::runs::Tables;
use crate::engine::job::{self, Job};
use crate::engine::pace::Bounds;
use crate::engine::{Context, Report, Source, Stream};
use crate::error::Fault;
use crate::services::attendee::{self, Attendee};
use crate::services::calendar::Calendar;
use crate::services::classify::{self, Classify};
use crate::services::drive::Drive;
use crate::services::gmail::Gmail;
use crate::{google, http};

/// The services that have user streams, and whether each is enabled in the settings.
pub(super) fn services(settings: &Settings) -> [(&'static str, bool); 3] {
    [("calendar", settings.calendar.enabled), ("drive", settings.drive.enabled), ("gmail", settings.gmail.enabled)]
}

/// Every service that has run tables.
pub(super) fn recorded(settings: &Settings) -> Vec<&'static str> {
    services(settings).into_iter().map(|(service, _)| service).chain([attendee::SERVICE, classify::SERVICE]).collect()
}

/// Runs a job of a service. Does not deliver events.
///
/// # Errors
/// Returns an error if the run could not be recorded or there is no service of this name.
pub(super) async fn run(context: &Context, service: &str, job: &Job) -> anyhow::Result<Report> {
    match service {
        "calendar" => job::run(context, Calendar::new(Arc::clone(&context.google), &context.settings), job).await,
        "drive" => job::run(context, drive::source(context, &job.selection).await?, job).await,
        "gmail" => job::run(context, gmail::mailboxes(context).await?, job).await,
        attendee::SERVICE => {
            if !job.dry_run {
                Attendee::wake(context).await?;
            }
            job::run(context, Attendee::load(context, &job.selection).await?, job).await
        }
        classify::SERVICE => job::run(context, Classify::new(context, job.dry_run)?, job).await,
        other => Err(unknown(other).into()),
    }
}

/// Maps a stream to the bounds of its polling interval and its urgency.
type Assessor = Box<dyn Fn(&Stream) -> (Bounds, f64)>;

/// Returns the assessor of a service's streams.
pub(super) async fn assessor(context: &Context, service: &str) -> anyhow::Result<Assessor> {
    fn of(source: impl Source) -> Assessor {
        Box::new(move |stream| (source.bounds(stream), source.urgency(stream.id)))
    }
    let no_users = Selection { users: Some(Vec::new()), ..Selection::default() };
    Ok(match service {
        "calendar" => of(Calendar::new(Arc::clone(&context.google), &context.settings)),
        "drive" => of(drive::source(context, &no_users).await?),
        "gmail" => of(gmail::mailboxes(context).await?),
        other => return Err(unknown(other).into()),
    })
}

/// The run tables of a service.
pub(super) fn tables(service: &str) -> Result<Tables, Fault> {
    match service {
        "calendar" => Ok(Calendar::TABLES),
        "drive" => Ok(Drive::TABLES),
        "gmail" => Ok(Gmail::TABLES),
        attendee::SERVICE => Ok(Attendee::TABLES),
        classify::SERVICE => Ok(Classify::TABLES),
        other => Err(unknown(other)),
    }
}

fn unknown(service: &str) -> Fault {
    Fault::settings(format!("streams of {service}: this version has no such service"))
}

/// Runs one job per service, concurrently and independently: a failing job does not stop the others.
pub(super) async fn run_all(context: &Context, jobs: &[(&'static str, Job)]) -> Vec<anyhow::Result<Report>> {
    join_all(jobs.iter().map(|(service, job)| async move {
        // Each job has its own client, which counts its calls.
        let http = Arc::new(http::Client::new(&context.settings.google, &context.settings.engine));
        let google = Arc::new(google::Client::new(&context.settings.google, Arc::clone(&http))?);
        run(&Context { google, http, ..context.clone() }, service, job).await
    }))
    .await
}
