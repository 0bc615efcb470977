//! `syncctl classify`: jobs that classify documents, and commands that explain the results.

mod show;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clap::{Arg, Args, Subcommand};
use uuid::Uuid;

use super::verbs::{BatchArgs, Bounds, CronArgs, PollArgs};
use super::{Output, complain, id, jobs, metrics, reading, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::classify::review::{self, Named};
use crate::engine::job::Job;
use crate::engine::single::{self, ItemRef};
use crate::engine::{Context, Report, Source};
use crate::error::{Exit, Fault};
use crate::services::Service as _;
use crate::services::classify::{Classify, SERVICE};

/// Subcommands of `classify`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Learn from people's assignments and classify every waiting document; the job for cron
    Cron(CronArgs),
    /// Classify the named documents now; without names, all waiting ones
    #[command(mut_arg("names", documents), mut_arg("stdin", ids))]
    BatchPoll(BatchArgs),
    /// Classify one document now
    #[command(mut_arg("name", document))]
    Poll(PollArgs),
    /// Classify one document if it is waiting; otherwise print why not
    #[command(mut_arg("name", document))]
    SmartPoll(PollArgs),
    /// Summarize the runs of a time window
    Metrics(metrics::Args),
    /// Explain a document's classification: kin, sender, words, threshold, alternatives
    Explain {
        /// Document, by the id in `documents list`
        #[arg(value_parser = id)]
        document: Uuid,
    },
    /// Replay a user's own assignments in order and count how many would have been decided, and how many correctly
    Eval(EvalArgs),
    /// List undecided documents, nearest to the threshold first
    Review(ReviewArgs),
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// User, by UUID or address
    user: String,
    /// Count only assignments since this time, such as 2026-10-01T00:00:00Z; learn from earlier ones (default: count all)
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// Only documents of this user, by UUID or address (default: all users)
    #[arg(long)]
    user: Option<String>,
    /// Maximum number of documents to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

fn document(arg: Arg) -> Arg {
    // Checked here, so that a wrong id is an error of the command line.
    let checked = |text: &str| id(text).map(|_| text.to_owned());
    arg.value_name("DOCUMENT").help("Document, by the id in `documents list`").value_parser(checked)
}

fn documents(arg: Arg) -> Arg {
    arg.value_name("DOCUMENT").help("Documents, by the ids in `documents list` (default: all waiting ones)")
}

fn ids(arg: Arg) -> Arg {
    arg.help("Read ids from standard input, one per line")
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    let is_job = matches!(verb, Verb::Cron(_) | Verb::BatchPoll(_) | Verb::Poll(_) | Verb::SmartPoll(_));
    if is_job && !settings.classify.enabled {
        return Err(Fault::settings("classify.enabled is false: documents are not classified").into());
    }
    with_context(settings, |context| async move {
        match verb {
            Verb::Cron(args) if args.bounds.dry_run && !args.force => rehearse(args, &context, output).await,
            Verb::Cron(args) => {
                let source = Classify::load(&context, &Selection::default(), args.bounds.dry_run).await?;
                jobs::cron(args, &context, source, output).await
            }
            Verb::BatchPoll(args) => batch_poll(args, &context, output).await,
            Verb::Poll(args) => {
                let document = known(&context, "poll", args).await?;
                jobs::finish(poll(&context, "poll", &[document], args.bounds, Vec::new()).await?, output)
            }
            Verb::SmartPoll(args) => smart_poll(args, &context, output).await,
            Verb::Metrics(args) => reading(&context, metrics::run(&context, Classify::TABLES, args, output)).await,
            Verb::Explain { document } => reading(&context, show::explain(&context, *document, output)).await,
            Verb::Eval(args) => reading(&context, show::eval(&context, &args.user, args.since, output)).await,
            Verb::Review(args) => reading(&context, show::review(&context, args.user.as_deref(), args.limit, output)).await,
        }
    })
}

/// Dry run of `cron`: selects the users whom a real run would wake, without waking them.
async fn rehearse(args: &CronArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let users = Classify::awaited(&context.pool).await?;
    let selection = Selection { users: Some(users), force: true, ..Selection::default() };
    let job = jobs::job(context, SERVICE, "cron", selection, args.bounds);
    let source = Classify::load(context, &job.selection, true).await?;
    jobs::finish(jobs::run(context, source, &job).await?, output)
}

async fn batch_poll(args: &BatchArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let names = jobs::names(&args.names, args.stdin)?;
    if names.is_empty() && !args.stdin {
        let selection = Selection { force: true, ..Selection::default() };
        let job = jobs::job(context, SERVICE, "batch-poll", selection, args.bounds);
        let source = Classify::load(context, &job.selection, job.dry_run).await?;
        return jobs::finish(jobs::run(context, source, &job).await?, output);
    }
    let names: HashSet<String> = names.into_iter().collect();
    let ids: Vec<Uuid> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let documents = review::existing(&context.pool, &ids).await?;
    let known: HashSet<Uuid> =
        documents.iter().filter(|document| document.stream.is_some()).map(|document| document.id).collect();
    let unknown: Vec<String> =
        names.into_iter().filter(|name| name.parse().map_or(true, |id: Uuid| !known.contains(&id))).collect();
    for name in &unknown {
        complain(format!("no document {name} of a user with projects"));
    }
    jobs::finish(poll(context, "batch-poll", &documents, args.bounds, unknown).await?, output)
}

async fn smart_poll(args: &PollArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let document = known(context, "smart-poll", args).await?;
    let id = document.id;
    let skipped: Vec<String> = match (&document.decided_by, document.by_source, document.is_queued) {
        (Some(by), ..) if by == "human" => vec![format!("document {id}: a person has assigned it")],
        (_, Some(project), _) => vec![format!("document {id}: its source names its project, {project} (`drive watch-file`)")],
        (_, _, false) => vec![format!("document {id}: already classified, and neither it nor the model has changed since")],
        _ => Vec::new(),
    };
    let due = if skipped.is_empty() { vec![document] } else { Vec::new() };
    let mut report = poll(context, "smart-poll", &due, args.bounds, Vec::new()).await?;
    report.skipped = skipped;
    jobs::finish(report, output)
}

/// Classifies documents one by one.
async fn poll(
    context: &Context,
    verb: &str,
    documents: &[Named],
    bounds: Bounds,
    unknown: Vec<String>,
) -> anyhow::Result<Report> {
    let mut job: Job = jobs::job(context, SERVICE, verb, Selection { force: true, ..Selection::default() }, bounds);
    job.selection.users = Some(documents.iter().map(|document| document.user).collect::<HashSet<_>>().into_iter().collect());
    job.unknown = unknown;
    let items = documents.iter().filter_map(|document| Some(ItemRef { stream: document.stream?, id: document.id.to_string() }));
    let source = Classify::load(context, &job.selection, job.dry_run).await?;
    let report = single::run(context, source, &job, &items.collect::<Vec<_>>()).await?;
    jobs::deliver_events(context, &job).await;
    Ok(report)
}

/// Finds the document that a job names; on failure, records the error in the job's row.
async fn known(context: &Context, verb: &str, args: &PollArgs) -> anyhow::Result<Named> {
    let job = jobs::job(context, SERVICE, verb, Selection::default(), args.bounds);
    let document = id(&args.name).map_err(Fault::usage)?;
    jobs::begun(context, Classify::TABLES, &job, find_document(context, document).await).await
}

async fn find_document(context: &Context, document: Uuid) -> anyhow::Result<Named> {
    let named = review::existing(&context.pool, &[document]).await?.pop();
    let named = named.ok_or_else(|| show::no_document(document))?;
    if named.stream.is_none() {
        let why = format!("the user of document {document} has no projects; add one with `syncctl projects add`");
        return Err(Fault::usage(why).into());
    }
    Ok(named)
}
