//! Runs the subcommands of a service whose streams are selected by user.

use super::verbs::ServiceVerb;
use super::{Output, complain, jobs, metrics, push, reading, users, with_context};
use crate::config::Settings;
use crate::db::accounts;
use crate::db::claims::Selection;
use crate::db::streams;
use crate::engine::Context;
use crate::engine::push::{Mode, Pushed};
use crate::error::{Exit, Fault};
use crate::services::Service;

/// Runs the subcommand. Only `metrics` runs if the service is switched off in the settings.
pub fn run<S: Service + Pushed>(verb: &ServiceVerb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    if !S::enabled(&settings) && !matches!(verb, ServiceVerb::Metrics(_)) {
        return Err(Fault::settings(format!("{}.enabled is false: it is not synced", S::TABLES.service)).into());
    }
    with_context(settings, |context| async move {
        let source = S::load(&context, &Selection::default(), false).await?;
        run_verb(verb, &context, source, output).await
    })
}

async fn run_verb<S: Pushed>(verb: &ServiceVerb, context: &Context, source: S, output: Output) -> anyhow::Result<Exit> {
    let service = S::TABLES.service;
    match verb {
        ServiceVerb::Cron(args) => jobs::cron(args, context, source, output).await,
        ServiceVerb::BatchPoll(args) => {
            let names = jobs::names(&args.names, args.stdin)?;
            let mut job =
                jobs::job(context, service, "batch-poll", Selection { force: true, ..Selection::default() }, args.bounds);
            if args.stdin || !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let found = accounts::find(&context.pool, &names).await?;
                for (name, _) in names.iter().zip(&found).filter(|(_, user)| user.is_none()) {
                    complain(format!("no user {name}"));
                    users::suggest(context, name).await;
                    job.unknown.push((*name).to_owned());
                }
                job.selection.users = Some(found.into_iter().flatten().collect());
            }
            jobs::finish(jobs::run(context, source, &job).await?, output)
        }
        ServiceVerb::Poll(args) => {
            let mut job = jobs::job(context, service, "poll", Selection { force: true, ..Selection::default() }, args.bounds);
            jobs::only(context, S::TABLES, &mut job, &args.name).await?;
            jobs::finish(jobs::run(context, source, &job).await?, output)
        }
        ServiceVerb::SmartPoll(args) => {
            let selection = Selection { force: args.force, ..Selection::default() };
            let mut job = jobs::job(context, service, "smart-poll", selection, args.poll.bounds);
            let user = jobs::only(context, S::TABLES, &mut job, &args.poll.name).await?;
            let before = streams::of_user(&context.pool, service, user).await?;
            let mut report = jobs::run(context, source, &job).await?;
            if !args.force {
                report.skipped = jobs::reasons(&before);
            }
            jobs::finish(report, output)
        }
        ServiceVerb::RenewWatches(args) => push::renew(args, context, source, Mode::Age, output).await,
        ServiceVerb::RenewWebhooks(args) => push::renew(args, context, source, Mode::Health, output).await,
        ServiceVerb::Metrics(args) => reading(context, metrics::run(context, S::TABLES, args, output)).await,
    }
}
