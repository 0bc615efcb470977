//! `syncctl projects assign` and `unassign`: manual assignments of documents, one transaction each.

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::commands::{Output, complain, id};
use crate::db::assignments::{self, AssignOutcome, Assignment};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::nul;

#[derive(Debug, Args)]
pub struct AssignArgs {
    /// Document, by the id in `documents list`
    #[arg(value_parser = id, required_unless_present = "stdin")]
    document: Option<Uuid>,
    /// Project of the document's user, by name or id
    #[arg(required_unless_present_any = ["stdin", "none"], conflicts_with = "none")]
    project: Option<String>,
    /// Record that the document belongs to none of the user's projects
    #[arg(long)]
    none: bool,
    /// Read assignments from standard input: each line is a document id, a blank, and a project or --none
    #[arg(long, conflicts_with_all = ["document", "none"])]
    stdin: bool,
}

#[derive(Debug, Args)]
pub struct UnassignArgs {
    /// Document, by the id in `documents list`
    #[arg(value_parser = id, required_unless_present = "stdin")]
    document: Option<Uuid>,
    /// Read document ids from standard input, one per line
    #[arg(long, conflicts_with = "document")]
    stdin: bool,
}

/// The result of several assignments.
#[derive(Debug, Default, Serialize)]
struct Summary {
    changed: u64,
    unchanged: u64,
    /// Line number and why it was refused.
    bad: Vec<(usize, String)>,
}

/// Runs `assign`.
pub async fn assign(context: &Context, arguments: &AssignArgs, output: Output) -> anyhow::Result<Exit> {
    match (arguments.document, &arguments.project) {
        (Some(document), Some(project)) => one(context, document, &Assignment::Project(project.clone()), output).await,
        (Some(document), None) => one(context, document, &Assignment::None, output).await,
        (None, _) => lines(context, parse, output).await,
    }
}

/// Runs `unassign`.
pub async fn unassign(context: &Context, arguments: &UnassignArgs, output: Output) -> anyhow::Result<Exit> {
    match arguments.document {
        Some(document) => one(context, document, &Assignment::Unassigned, output).await,
        None => lines(context, |line| Ok((id(line.trim())?, Assignment::Unassigned)), output).await,
    }
}

async fn one(context: &Context, document: Uuid, assignment: &Assignment, output: Output) -> anyhow::Result<Exit> {
    let changed = match assignments::say(&context.pool, document, assignment).await? {
        AssignOutcome::Refused(why) => return Err(Fault::usage(why).into()),
        outcome => outcome == AssignOutcome::Changed,
    };
    output.print(&serde_json::json!({ "document": document, "changed": changed }), || {
        let already = if changed { "" } else { " already" };
        match assignment {
            Assignment::Project(name) => format!("{document} belongs to {name}{already}"),
            Assignment::None => format!("{document} belongs to no project{already}"),
            Assignment::Unassigned => format!("{document} is undecided{already}"),
        }
    })?;
    Ok(Exit::Done)
}

async fn lines(context: &Context, parse: fn(&str) -> Result<(Uuid, Assignment), String>, output: Output) -> anyhow::Result<Exit> {
    let text = std::io::read_to_string(std::io::stdin()).context("reading documents from standard input")?;
    let mut summary = Summary::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if context.stop.is_cancelled() {
            summary.bad.push((index + 1, "not read: stopped by a signal".into()));
            break;
        }
        match parse(line) {
            Ok((document, assignment)) => match assignments::say(&context.pool, document, &assignment).await? {
                AssignOutcome::Changed => summary.changed += 1,
                AssignOutcome::Unchanged => summary.unchanged += 1,
                AssignOutcome::Refused(why) => summary.bad.push((index + 1, why)),
            },
            Err(why) => summary.bad.push((index + 1, why)),
        }
    }
    for (line, wrong) in &summary.bad {
        complain(format!("line {line}: {wrong}"));
    }
    output.print(&summary, || {
        format!("{} changed, {} unchanged, {} bad lines", summary.changed, summary.unchanged, summary.bad.len())
    })?;
    Ok(if summary.bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn parse(line: &str) -> Result<(Uuid, Assignment), String> {
    if nul::is_in(line) {
        return Err(nul::REFUSED.into());
    }
    let wrong = || "not a document id and a project".to_owned();
    let (document, project) = line.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    let assignment = match project.trim() {
        "--none" => Assignment::None,
        name => Assignment::Project(name.to_owned()),
    };
    Ok((id(document)?, assignment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_document_and_a_project() {
        let document = Uuid::from_u128(7);
        assert_eq!(parse(&format!(" {document}\tRiver bridge ")), Ok((document, Assignment::Project("River bridge".into()))));
        assert_eq!(parse(&format!("{document} --none")), Ok((document, Assignment::None)));
        for wrong in ["x Bridge", &document.to_string(), &format!("{document} a\0")] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
