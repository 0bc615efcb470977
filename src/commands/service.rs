//! The verbs of a service whose streams are named by their users.

use super::verbs::ServiceVerb;
use super::{Output, metrics, push, sync};
use crate::db::accounts;
use crate::db::claims::Selection;
use crate::db::streams;
use crate::engine::Context;
use crate::engine::push::{Mode, Pushed};
use crate::error::Exit;

/// Does what a verb says.
pub(super) async fn run<S: Pushed>(verb: &ServiceVerb, context: &Context, source: S, output: Output) -> anyhow::Result<Exit> {
    let service = S::TABLES.service;
    match verb {
        ServiceVerb::Cron(args) => sync::cron(args, context, source, output).await,
        ServiceVerb::BatchPoll(args) => {
            let names = sync::names(&args.users, args.stdin)?;
            let mut job =
                sync::job(context, service, "batch-poll", Selection { force: true, ..Selection::default() }, args.bounds);
            if args.stdin || !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let found = accounts::find(&context.pool, &names).await?;
                for (name, _) in names.iter().zip(&found).filter(|(_, user)| user.is_none()) {
                    eprintln!("syncctl: no user {name}");
                }
                job.unknown_users = found.iter().filter(|user| user.is_none()).count() as u64;
                job.selection.users = Some(found.into_iter().flatten().collect());
            }
            sync::finish(sync::ran(context, source, &job).await?, output)
        }
        ServiceVerb::Poll(args) => {
            let selection =
                Selection { users: Some(vec![sync::user(context, &args.user).await?]), force: true, ..Selection::default() };
            let job = sync::job(context, service, "poll", selection, args.bounds);
            sync::finish(sync::ran(context, source, &job).await?, output)
        }
        ServiceVerb::SmartPoll(args) => {
            let user = sync::user(context, &args.poll.user).await?;
            let selection = Selection { users: Some(vec![user]), force: args.force, ..Selection::default() };
            let job = sync::job(context, service, "smart-poll", selection, args.poll.bounds);
            let before = streams::of_user(&context.pool, service, user).await?;
            let mut report = sync::ran(context, source, &job).await?;
            report.skipped = if args.force { Vec::new() } else { sync::reasons(&before) };
            sync::finish(report, output)
        }
        ServiceVerb::RenewWatches(args) => push::renew(args, context, source, Mode::Age, None, output).await,
        ServiceVerb::Metrics(args) => metrics::run(context, S::TABLES, args, output).await,
    }
}
