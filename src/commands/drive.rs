//! `syncctl drive`: the verbs of Drive, which names files where other services name users.

use std::collections::HashSet;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::verbs::{Bounds, CronArgs, RenewArgs};
use super::{Output, complain, jobs, metrics, push, reading, watch_file, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::streams;
use crate::engine::push::Mode;
use crate::engine::single::{self, ItemRef};
use crate::engine::{Context, Source};
use crate::error::{Exit, Fault};
use crate::services::drive::watches::{self, Watched};
use crate::services::drive::{Drive, REGISTERED};

/// What Drive can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Polls every drive that is due; the job for cron
    Cron(CronArgs),
    /// Polls the named files now; without a file, every drive of everybody, due or not
    BatchPoll(BatchArgs),
    /// Polls one file now, for each user who follows it, or else for one who sees it
    Poll(PollArgs),
    /// Polls one file if the drive that shows it is due, and says why not
    SmartPoll(SmartPollArgs),
    /// Gives every drive its push channel, and renews those that expire soon; a job for cron
    RenewWatches(RenewArgs),
    /// Repairs push channels by their health: made for another address, silent, refused, or left behind by a run that died
    RenewWebhooks(RenewArgs),
    /// What the runs of a window did
    Metrics(metrics::Args),
    /// Which user follows which file: followed files become documents, and their changes events
    #[command(subcommand)]
    WatchFile(watch_file::Verb),
}

#[derive(Debug, Args)]
pub struct BatchArgs {
    /// Files, by Google's ids
    #[arg(value_name = "FILE_ID")]
    files: Vec<String>,
    /// Read file ids from standard input, one a line
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct PollArgs {
    /// A file, by Google's id
    #[arg(value_name = "FILE_ID")]
    file: String,
    #[command(flatten)]
    bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct SmartPollArgs {
    #[command(flatten)]
    poll: PollArgs,
    /// Whatever the pace says
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    if !settings.drive.enabled && !matches!(verb, Verb::Metrics(_) | Verb::WatchFile(_)) {
        return Err(Fault::settings("drive.enabled is false: no files are synced").into());
    }
    with_context(settings, |context| async move {
        match verb {
            Verb::Cron(args) => {
                let source = source(&context, &Selection { force: args.force, ..Selection::default() }).await?;
                jobs::cron(args, &context, source, output).await
            }
            Verb::BatchPoll(args) => batch_poll(args, &context, output).await,
            Verb::Poll(args) => {
                let ways = known_ways(&context, "poll", &args.file, args.bounds).await?;
                poll(&context, "poll", &ways, args.bounds, (Vec::new(), Vec::new()), output).await
            }
            Verb::SmartPoll(args) => smart_poll(args, &context, output).await,
            Verb::RenewWatches(args) => renew(args, &context, Mode::Age, output).await,
            Verb::RenewWebhooks(args) => renew(args, &context, Mode::Health, output).await,
            Verb::Metrics(args) => reading(&context, metrics::run(&context, Drive::TABLES, args, output)).await,
            Verb::WatchFile(verb) => watch_file::run(verb, &context, output).await,
        }
    })
}

async fn renew(args: &RenewArgs, context: &Context, mode: Mode, output: Output) -> anyhow::Result<Exit> {
    let source = source(context, &Selection { users: Some(Vec::new()), ..Selection::default() }).await?;
    push::renew(args, context, source, mode, output).await
}

pub(super) async fn source(context: &Context, selection: &Selection) -> anyhow::Result<Drive> {
    let watched = Watched::load(&context.pool, selection).await?;
    Ok(Drive::new(Arc::clone(&context.google), &context.settings, watched))
}

async fn batch_poll(args: &BatchArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let names = jobs::names(&args.files, args.stdin)?;
    if names.is_empty() && !args.stdin {
        let selection = Selection { force: true, ..Selection::default() };
        let source = source(context, &selection).await?;
        let job = jobs::job(context, REGISTERED.service, "batch-poll", selection, args.bounds);
        return jobs::finish(jobs::run(context, source, &job).await?, output);
    }
    // What holds a NUL is no id, and PostgreSQL would refuse the others with it.
    let named: HashSet<&str> = names.iter().map(String::as_str).collect();
    let files: Vec<&str> = named.iter().copied().filter(|name| !name.contains('\0')).collect();
    let ways = ways(context, &files).await?;
    let found: HashSet<&str> = ways.iter().map(|way| way.file.as_str()).collect();
    let unknown: Vec<String> = named.iter().filter(|name| !found.contains(*name)).map(|name| (*name).to_owned()).collect();
    for name in &unknown {
        complain(format!("nobody follows or sees a file {name}"));
    }
    poll(context, "batch-poll", &ways, args.bounds, (unknown, Vec::new()), output).await
}

async fn smart_poll(args: &SmartPollArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let ways = known_ways(context, "smart-poll", &args.poll.file, args.poll.bounds).await?;
    let (mut due, mut skipped) = (Vec::new(), Vec::new());
    for way in ways {
        let feed = streams::of_user(&context.pool, REGISTERED.service, way.user).await?;
        let feed: Vec<_> = feed.into_iter().filter(|feed| feed.id == way.asked.stream).collect();
        let reasons = jobs::reasons(&feed);
        match reasons.is_empty() || args.force {
            true => due.push(way),
            false => skipped.extend(reasons),
        }
    }
    poll(context, "smart-poll", &due, args.poll.bounds, (Vec::new(), skipped), output).await
}

/// How a file is asked for.
struct Way {
    file: String,
    user: uuid::Uuid,
    asked: ItemRef,
}

async fn ways(context: &Context, files: &[&str]) -> anyhow::Result<Vec<Way>> {
    let ways = watches::ways(&context.pool, files).await?;
    Ok(ways.into_iter().map(|(file, user, stream)| Way { asked: ItemRef { stream, id: file.clone() }, file, user }).collect())
}

/// How the one file is asked for that a job names; the row of the job says where there is no way.
async fn known_ways(context: &Context, verb: &str, file: &str, bounds: Bounds) -> anyhow::Result<Vec<Way>> {
    let ways = ways(context, &[file]).await?;
    let known = if ways.is_empty() { Err(unknown(file).into()) } else { Ok(ways) };
    let job = jobs::job(context, REGISTERED.service, verb, Selection::default(), bounds);
    jobs::begun(context, Drive::TABLES, &job, known).await
}

/// Polls files one by one; `left`: the ids that name nothing, and what was skipped and why.
async fn poll(
    context: &Context,
    verb: &str,
    ways: &[Way],
    bounds: Bounds,
    left: (Vec<String>, Vec<String>),
    output: Output,
) -> anyhow::Result<Exit> {
    let mut users: Vec<uuid::Uuid> = ways.iter().map(|way| way.user).collect();
    users.sort_unstable();
    users.dedup();
    let selection = Selection { users: Some(users), force: true, ..Selection::default() };
    let source = source(context, &selection).await?;
    let mut job = jobs::job(context, REGISTERED.service, verb, selection, bounds);
    job.unknown = left.0;
    let asked: Vec<ItemRef> = ways.iter().map(|way| way.asked.clone()).collect();
    let mut report = single::run(context, source, &job, &asked).await?;
    jobs::hand_on(context, &job).await;
    report.skipped = left.1;
    jobs::finish(report, output)
}

fn unknown(file: &str) -> Fault {
    Fault::usage(format!(
        "nobody follows or sees a file {file}: give an id from `syncctl drive watch-file list`, or follow it with `syncctl drive watch-file add USER {file}`"
    ))
}
