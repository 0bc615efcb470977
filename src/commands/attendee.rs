//! `syncctl attendee`: takes meetings and bots as arguments where other services take users.

use std::collections::HashSet;

use clap::{Arg, Args, Subcommand};
use uuid::Uuid;

use super::verbs::{BatchArgs, Bounds, CronArgs, PollArgs, SmartPollArgs};
use super::{Output, attendee_output, attendee_project, complain, jobs, metrics, reading, users, with_context};
use crate::address::{self, Pattern};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::{accounts, streams};
use crate::engine::job::Job;
use crate::engine::single::{self, ItemRef};
use crate::engine::{Context, Report, Source, task_runner};
use crate::error::{Exit, Fault};
use crate::nul;
use crate::services::Service as _;
use crate::services::attendee::schedule::schedule;
use crate::services::attendee::stored::{self, BotOrMeeting};
use crate::services::attendee::{Attendee, SERVICE, projects, user_settings};

/// Subcommands of `attendee`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Poll the bots of every project that is due; the job for cron
    Cron(CronArgs),
    /// Poll the named bots now; without names, all unfinished ones, due or not
    #[command(mut_arg("names", bots), mut_arg("stdin", ids))]
    BatchPoll(BatchArgs),
    /// Poll one bot now
    #[command(mut_arg("name", bot))]
    Poll(PollArgs),
    /// Poll one bot if its project is due; otherwise print why not
    #[command(mut_arg("name", bot))]
    SmartPoll(SmartPollArgs),
    /// Schedule bots for upcoming meetings, and move or cancel the bots of meetings that moved or were cancelled; a job for cron
    Schedule(Bounds),
    /// Print the transcript of a meeting; if it is not complete, poll the bot first and print the part available so far
    #[command(mut_arg("name", bot))]
    Transcript(PollArgs),
    /// Summarize the runs of a time window
    Metrics(metrics::Args),
    /// Send bots to all of a user's meetings that a bot can join
    Enable(EnableArgs),
    /// Send no bots to a user's meetings, unless a virtual address is invited
    Disable {
        /// User, by UUID or address
        #[arg(value_name = "USER")]
        user: String,
    },
    /// Manage projects at Attendee and their keys
    #[command(subcommand)]
    Project(attendee_project::Verb),
}

#[derive(Debug, Args)]
pub struct EnableArgs {
    /// User, by UUID or address
    #[arg(value_name = "USER")]
    user: String,
    /// Attendee project of the bots (default: the default project)
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

fn bot(arg: Arg) -> Arg {
    arg.value_name("ID").help("Meeting or bot, by id")
}

fn bots(arg: Arg) -> Arg {
    arg.value_name("ID").help("Meetings or bots, by id (default: all unfinished bots)")
}

fn ids(arg: Arg) -> Arg {
    arg.help("Read ids from standard input, one per line")
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        match verb {
            Verb::Cron(args) => {
                let selection = Selection { force: args.force, ..Selection::default() };
                if !args.bounds.dry_run {
                    Attendee::wake(&context).await?;
                }
                let source = Attendee::load(&context, &selection, args.bounds.dry_run).await?;
                let job = Job { exclusive: !args.parallel, ..jobs::job(&context, SERVICE, "cron", selection, args.bounds) };
                attendee_output::finish(jobs::run(&context, source, &job).await?, output)
            }
            Verb::BatchPoll(args) => batch_poll(args, &context, output).await,
            Verb::Poll(args) => {
                let bots = vec![known(&context, "poll", args).await?];
                attendee_output::finish(poll(&context, "poll", &bots, args.bounds, Vec::new()).await?, output)
            }
            Verb::SmartPoll(args) => smart_poll(args, &context, output).await,
            Verb::Schedule(bounds) => scheduled(*bounds, &context, output).await,
            Verb::Transcript(args) => reading(&context, transcript(args, &context, output)).await,
            Verb::Metrics(args) => reading(&context, metrics::run(&context, Attendee::TABLES, args, output)).await,
            Verb::Enable(args) => {
                let user = users::find(&context, &args.user).await?;
                let patch = user_settings::on(args.project.as_deref());
                accounts::change_settings(&context.pool, user, &patch).await?;
                output.print(&patch, || format!("meetings of {user} get bots with the next `syncctl attendee schedule`"))?;
                let known = projects::list(&context.pool).await?;
                match &args.project {
                    Some(name) if known.iter().all(|project| project.name != *name) => {
                        complain(format!("there is no project {name} yet: add it with `syncctl attendee project add {name}`"));
                    }
                    None if known.is_empty() => {
                        complain("there is no project yet: add one with `syncctl attendee project add NAME`");
                    }
                    _ => {}
                }
                Ok(Exit::Done)
            }
            Verb::Disable { user: name } => {
                let user = users::find(&context, name).await?;
                let patch = user_settings::off();
                accounts::change_settings(&context.pool, user, &patch).await?;
                output.print(&patch, || format!("meetings of {user} get no bots; the next `syncctl attendee schedule` takes back those that have not joined"))?;
                Ok(Exit::Done)
            }
            Verb::Project(verb) => attendee_project::run(verb, &context, output).await,
        }
    })
}

async fn scheduled(bounds: Bounds, context: &Context, output: Output) -> anyhow::Result<Exit> {
    attendee_output::finish(schedule_now(context, bounds).await?, output)
}

/// One run of the schedule.
pub async fn schedule_now(context: &Context, bounds: Bounds) -> anyhow::Result<Report> {
    let gmail = &context.settings.gmail;
    let own = accounts::domains(&context.pool).await?;
    let inside = address::inside(&gmail.domains, own.clone());
    let pattern = Pattern::new(&gmail.virtual_address, if gmail.domains.is_empty() { own } else { gmail.domains.clone() })?;
    // Loaded without users, because nothing is polled.
    let source = Attendee::load(context, &Selection { users: Some(Vec::new()), ..Selection::default() }, bounds.dry_run).await?;
    let job = Job { exclusive: true, ..jobs::job(context, SERVICE, "schedule", Selection::default(), bounds) };
    task_runner::run(context, source, &job, async |runner| schedule(runner, &pattern, &inside).await).await
}

async fn batch_poll(args: &BatchArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let names = jobs::names(&args.names, args.stdin)?;
    if names.is_empty() && !args.stdin {
        let selection = Selection { force: true, ..Selection::default() };
        let source = Attendee::load(context, &selection, args.bounds.dry_run).await?;
        let job = jobs::job(context, SERVICE, "batch-poll", selection, args.bounds);
        return attendee_output::finish(jobs::run(context, source, &job).await?, output);
    }
    // Drop names with a NUL: they cannot be ids, and PostgreSQL would reject the whole query.
    let given: HashSet<&str> = names.iter().map(String::as_str).collect();
    let ids: Vec<&str> = given.iter().copied().filter(|name| !nul::is_in(name)).collect();
    let bots = stored::find(&context.pool, &ids).await?;
    let known: HashSet<&str> = bots.iter().map(|bot| bot.name.as_str()).collect();
    let unknown: Vec<String> = given.iter().filter(|name| !known.contains(*name)).map(|name| (*name).to_owned()).collect();
    for name in &unknown {
        complain(format!("no bot {name}, and no meeting with one"));
    }
    attendee_output::finish(poll(context, "batch-poll", &bots, args.bounds, unknown).await?, output)
}

async fn smart_poll(args: &SmartPollArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let bot = known(context, "smart-poll", &args.poll).await?;
    let timings = streams::of_user(&context.pool, SERVICE, bot.project).await?;
    let mut skipped = jobs::reasons(&timings);
    if bot.is_settled {
        skipped.push(format!("bot {}: it is done, and its transcript, if any, is stored", bot.bot_id));
    }
    let due = if skipped.is_empty() || args.force { vec![bot] } else { Vec::new() };
    let mut report = poll(context, "smart-poll", &due, args.poll.bounds, Vec::new()).await?;
    report.skipped = if args.force { Vec::new() } else { skipped };
    attendee_output::finish(report, output)
}

/// Polls bots one by one.
async fn poll(
    context: &Context,
    verb: &str,
    bots: &[BotOrMeeting],
    bounds: Bounds,
    unknown: Vec<String>,
) -> anyhow::Result<Report> {
    let projects: HashSet<Uuid> = bots.iter().map(|bot| bot.project).collect();
    let selection = Selection { users: Some(projects.into_iter().collect()), force: true, ..Selection::default() };
    let source = Attendee::load(context, &selection, bounds.dry_run).await?;
    let mut job = jobs::job(context, SERVICE, verb, selection, bounds);
    job.unknown = unknown;
    let items: Vec<ItemRef> = bots.iter().map(|bot| ItemRef { stream: bot.stream, id: bot.bot_id.clone() }).collect();
    let report = single::run(context, source, &job, &items).await?;
    jobs::deliver_events(context, &job).await;
    Ok(report)
}

async fn transcript(args: &PollArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let bot = find_bot(context, &args.name).await?;
    let mut exit = Exit::Done;
    if !bot.is_settled {
        let report = poll(context, "transcript", std::slice::from_ref(&bot), args.bounds, Vec::new()).await?;
        if let Some(message) = report.error_message() {
            complain(message);
        }
        exit = report.exit();
    }
    let stored = stored::read(&context.pool, &bot.bot_id).await?;
    let stored = stored.ok_or_else(|| unknown(&args.name))?;
    output.print(&stored, || attendee_output::transcript(&stored))?;
    Ok(exit)
}

/// Finds the bot that a job names; on failure, records the error in the job's row.
async fn known(context: &Context, verb: &str, args: &PollArgs) -> anyhow::Result<BotOrMeeting> {
    let job = jobs::job(context, SERVICE, verb, Selection::default(), args.bounds);
    jobs::begun(context, Attendee::TABLES, &job, find_bot(context, &args.name).await).await
}

async fn find_bot(context: &Context, id: &str) -> anyhow::Result<BotOrMeeting> {
    let matches = if nul::is_in(id) { Vec::new() } else { stored::find(&context.pool, &[id]).await? };
    matches.into_iter().next().ok_or_else(|| unknown(id).into())
}

fn unknown(id: &str) -> Fault {
    Fault::usage(format!(
        "no bot {id}, and no meeting with a bot and this id: use an id from `syncctl attendee schedule --json` or from the table meetings"
    ))
}
