//! `syncctl drive`: takes files as arguments where other services take users.

mod incomplete;
mod list;
mod show;

use std::collections::HashSet;

use clap::{Arg, Subcommand};

use super::verbs::{BatchArgs, Bounds, CronArgs, PollArgs, RenewArgs, SmartPollArgs};
use super::{Output, complain, jobs, metrics, push, reading, watch_file, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::streams;
use crate::engine::push::Mode;
use crate::engine::single::{self, ItemRef};
use crate::engine::{Context, Source};
use crate::error::{Exit, Fault};
use crate::nul;
use crate::services::Service as _;
use crate::services::drive::watches;
use crate::services::drive::{Drive, REGISTERED};

/// Subcommands of `drive`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Poll every drive that is due; the job for cron
    Cron(CronArgs),
    /// Poll the named files now; without files, every drive of every user, due or not
    #[command(mut_arg("names", files), mut_arg("stdin", file_ids))]
    BatchPoll(BatchArgs),
    /// Poll one file now, for each user who follows it, or else for one who can see it
    #[command(mut_arg("name", file))]
    Poll(PollArgs),
    /// Poll one file if its drive is due; otherwise print why not
    #[command(mut_arg("name", file))]
    SmartPoll(SmartPollArgs),
    /// Open a push channel for every drive, and renew channels that expire soon; a job for cron
    RenewWatches(RenewArgs),
    /// Repair unhealthy push channels: opened for another address, silent, refused, or left behind by a dead run
    RenewWebhooks(RenewArgs),
    /// Summarize the runs of a time window
    Metrics(metrics::Args),
    /// Manage which user follows which file: followed files become documents, and their changes become events
    #[command(subcommand)]
    WatchFile(watch_file::Verb),
    /// List the files that a user sees, from the database
    List(list::Args),
    /// Show a file with its owners and permissions, as a user sees it, from the database
    Show(show::Args),
}

fn file(arg: Arg) -> Arg {
    arg.value_name("FILE_ID").help("File, by Google's id")
}

fn files(arg: Arg) -> Arg {
    arg.value_name("FILE_ID").help("Files, by Google's id (default: every drive)")
}

fn file_ids(arg: Arg) -> Arg {
    arg.help("Read file ids from standard input, one per line")
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    if !settings.drive.enabled && !matches!(verb, Verb::Metrics(_) | Verb::WatchFile(_) | Verb::List(_) | Verb::Show(_)) {
        return Err(Fault::settings("drive.enabled is false: no files are synced").into());
    }
    with_context(settings, |context| async move {
        match verb {
            Verb::Cron(args) => {
                let source =
                    Drive::load(&context, &Selection { force: args.force, ..Selection::default() }, args.bounds.dry_run).await?;
                jobs::cron(args, &context, source, output).await
            }
            Verb::BatchPoll(args) => batch_poll(args, &context, output).await,
            Verb::Poll(args) => {
                let routes = known_routes(&context, "poll", &args.name, args.bounds).await?;
                poll(&context, "poll", &routes, args.bounds, (Vec::new(), Vec::new()), output).await
            }
            Verb::SmartPoll(args) => smart_poll(args, &context, output).await,
            Verb::RenewWatches(args) => renew(args, &context, Mode::Age, output).await,
            Verb::RenewWebhooks(args) => renew(args, &context, Mode::Health, output).await,
            Verb::Metrics(args) => reading(&context, metrics::run(&context, Drive::TABLES, args, output)).await,
            Verb::WatchFile(verb) => watch_file::run(verb, &context, output).await,
            Verb::List(args) => reading(&context, list::run(&context, args, output)).await,
            Verb::Show(args) => reading(&context, show::run(&context, args, output)).await,
        }
    })
}

async fn renew(args: &RenewArgs, context: &Context, mode: Mode, output: Output) -> anyhow::Result<Exit> {
    let source = Drive::load(context, &Selection { users: Some(Vec::new()), ..Selection::default() }, false).await?;
    push::renew(args, context, source, mode, output).await
}

async fn batch_poll(args: &BatchArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let names = jobs::names(&args.names, args.stdin)?;
    if names.is_empty() && !args.stdin {
        let selection = Selection { force: true, ..Selection::default() };
        let source = Drive::load(context, &selection, args.bounds.dry_run).await?;
        let job = jobs::job(context, REGISTERED.service, "batch-poll", selection, args.bounds);
        return jobs::finish(jobs::run(context, source, &job).await?, output);
    }
    // Drop names with a NUL: they cannot be ids, and PostgreSQL would reject the whole query.
    let named: HashSet<&str> = names.iter().map(String::as_str).collect();
    let files: Vec<&str> = named.iter().copied().filter(|name| !nul::is_in(name)).collect();
    let routes = routes(context, &files).await?;
    let known: HashSet<&str> = routes.iter().map(|route| route.file.as_str()).collect();
    let unknown: Vec<String> = named.iter().filter(|name| !known.contains(*name)).map(|name| (*name).to_owned()).collect();
    for name in &unknown {
        complain(format!("no user follows or can see a file {name}"));
    }
    poll(context, "batch-poll", &routes, args.bounds, (unknown, Vec::new()), output).await
}

async fn smart_poll(args: &SmartPollArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let routes = known_routes(context, "smart-poll", &args.poll.name, args.poll.bounds).await?;
    let (mut due, mut skipped) = (Vec::new(), Vec::new());
    for route in routes {
        let feed = streams::of_user(&context.pool, REGISTERED.service, route.user).await?;
        let feed: Vec<_> = feed.into_iter().filter(|feed| feed.id == route.item.stream).collect();
        let reasons = jobs::reasons(&feed);
        if reasons.is_empty() || args.force { due.push(route) } else { skipped.extend(reasons) }
    }
    poll(context, "smart-poll", &due, args.poll.bounds, (Vec::new(), skipped), output).await
}

/// A user and stream through which a file can be polled.
struct Route {
    file: String,
    user: uuid::Uuid,
    item: ItemRef,
}

async fn routes(context: &Context, files: &[&str]) -> anyhow::Result<Vec<Route>> {
    let routes = watches::ways(&context.pool, files).await?;
    Ok(routes.into_iter().map(|(file, user, stream)| Route { item: ItemRef { stream, id: file.clone() }, file, user }).collect())
}

/// Finds the routes to the file that a job names; on failure, records the error in the job's row.
async fn known_routes(context: &Context, verb: &str, file: &str, bounds: Bounds) -> anyhow::Result<Vec<Route>> {
    let routes = routes(context, &[file]).await?;
    let known = if routes.is_empty() { Err(unknown(file).into()) } else { Ok(routes) };
    let job = jobs::job(context, REGISTERED.service, verb, Selection::default(), bounds);
    jobs::begun(context, Drive::TABLES, &job, known).await
}

/// Polls files one by one. `rest` holds the unknown ids, and the reasons for skipped files.
async fn poll(
    context: &Context,
    verb: &str,
    routes: &[Route],
    bounds: Bounds,
    rest: (Vec<String>, Vec<String>),
    output: Output,
) -> anyhow::Result<Exit> {
    let mut users: Vec<uuid::Uuid> = routes.iter().map(|route| route.user).collect();
    users.sort_unstable();
    users.dedup();
    let selection = Selection { users: Some(users), force: true, ..Selection::default() };
    let source = Drive::load(context, &selection, bounds.dry_run).await?;
    let mut job = jobs::job(context, REGISTERED.service, verb, selection, bounds);
    job.unknown = rest.0;
    let items: Vec<ItemRef> = routes.iter().map(|route| route.item.clone()).collect();
    let mut report = single::run(context, source, &job, &items).await?;
    jobs::deliver_events(context, &job).await;
    report.skipped = rest.1;
    jobs::finish(report, output)
}

fn unknown(file: &str) -> Fault {
    Fault::usage(format!(
        "no user follows or can see a file {file}: give an id from `syncctl drive watch-file list`, or add it with `syncctl drive watch-file add USER {file}`"
    ))
}
