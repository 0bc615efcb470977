//! `syncctl quota`: lists and resumes projects that are paused because their daily quota is used up.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::{Output, reading, table, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::quota::{self, Pause};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::services::registry;

/// Subcommands of `quota`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List paused projects, with the end of the pause and the number of waiting streams
    List,
    /// Lift the pause of a project, so that the next run polls its streams
    Resume(ResumeArgs),
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Project, as shown by `quota list`
    #[arg(value_name = "PROJECT")]
    project: String,
    /// Lift the pause only for this service (default: all)
    #[arg(long, value_parser = PossibleValuesParser::new(registry::names(|one| one.makes_calls)))]
    service: Option<String>,
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        match verb {
            Verb::List => reading(&context, list(&context, output)).await,
            Verb::Resume(args) => resume(args, &context, output).await,
        }
    })
}

async fn list(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let pauses = quota::list(&context.pool.get().await?, None, &Selection::default()).await?;
    output.print(&pauses, || text(&pauses))?;
    Ok(Exit::Done)
}

fn text(pauses: &[Pause]) -> String {
    if pauses.is_empty() {
        return "no project is paused".into();
    }
    let mut table = table(&["service", "project", "paused until", "since", "streams wait", "next probe", "why"]);
    for Pause { service, project, since, until, probe_at, reason, streams } in pauses {
        let [until, since, probe] = [until, since, probe_at].map(|time| time.format("%F %R UTC").to_string());
        table.add_row([service, project, &until, &since, &streams.to_string(), &probe, reason]);
    }
    table.trim_fmt()
}

async fn resume(args: &ResumeArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let ResumeArgs { project, service } = args;
    let lifted = quota::resume(&context.pool, service.as_deref(), project).await?;
    if lifted.is_empty() {
        let of = service.as_deref().map(|service| format!(" for {service}")).unwrap_or_default();
        return Err(
            Fault::usage(format!("no project {project} is paused{of}: see `syncctl quota list` for paused projects")).into()
        );
    }
    output.print(&serde_json::json!({ "project": project, "services": lifted }), || {
        format!("project {project} is no longer paused ({}): the next run polls its streams", lifted.join(", "))
    })?;
    Ok(Exit::Done)
}
