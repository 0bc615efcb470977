//! `syncctl projects assign` and `unassign`: a person's word on documents, one transaction each.

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::commands::{Output, complain, id};
use crate::db::assignments::{self, AssignOutcome, Assignment};
use crate::engine::Context;
use crate::error::{Exit, Fault};

#[derive(Debug, Args)]
pub struct AssignArgs {
    /// The document, by the id in `documents list`
    #[arg(value_parser = id, required_unless_present = "stdin")]
    document: Option<Uuid>,
    /// A project of the document's user, by name or id
    #[arg(required_unless_present_any = ["stdin", "none"], conflicts_with = "none")]
    project: Option<String>,
    /// The document belongs to none of the user's projects
    #[arg(long)]
    none: bool,
    /// Read standard input: each line is a document id, a blank, and a project or --none
    #[arg(long, conflicts_with_all = ["document", "none"])]
    stdin: bool,
}

#[derive(Debug, Args)]
pub struct UnassignArgs {
    /// The document, by the id in `documents list`
    #[arg(value_parser = id, required_unless_present = "stdin")]
    document: Option<Uuid>,
    /// Read standard input: each line is a document id
    #[arg(long, conflicts_with = "document")]
    stdin: bool,
}

/// What became of several words.
#[derive(Debug, Default, Serialize)]
struct Told {
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

async fn one(context: &Context, document: Uuid, word: &Assignment, output: Output) -> anyhow::Result<Exit> {
    let changed = match assignments::say(&context.pool, document, word).await? {
        AssignOutcome::Refused(why) => return Err(Fault::usage(why).into()),
        said => said == AssignOutcome::Changed,
    };
    output.print(&serde_json::json!({ "document": document, "changed": changed }), || {
        let held = if changed { "" } else { " already" };
        match word {
            Assignment::Project(name) => format!("{document} belongs to {name}{held}"),
            Assignment::None => format!("{document} belongs to no project{held}"),
            Assignment::Unassigned => format!("{document} is undecided{held}"),
        }
    })?;
    Ok(Exit::Done)
}

async fn lines(context: &Context, parse: fn(&str) -> Result<(Uuid, Assignment), String>, output: Output) -> anyhow::Result<Exit> {
    let text = std::io::read_to_string(std::io::stdin()).context("reading documents from standard input")?;
    let mut told = Told::default();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if context.stop.is_cancelled() {
            told.bad.push((place + 1, "not read: told to stop".into()));
            break;
        }
        match parse(line) {
            Ok((document, word)) => match assignments::say(&context.pool, document, &word).await? {
                AssignOutcome::Changed => told.changed += 1,
                AssignOutcome::Unchanged => told.unchanged += 1,
                AssignOutcome::Refused(why) => told.bad.push((place + 1, why)),
            },
            Err(why) => told.bad.push((place + 1, why)),
        }
    }
    for (line, wrong) in &told.bad {
        complain(format!("line {line}: {wrong}"));
    }
    output.print(&told, || format!("{} changed, {} unchanged, {} bad lines", told.changed, told.unchanged, told.bad.len()))?;
    Ok(if told.bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn parse(line: &str) -> Result<(Uuid, Assignment), String> {
    if line.contains('\0') {
        return Err("contains a NUL character".into());
    }
    let wrong = || "not a document id and a project".to_owned();
    let (document, project) = line.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    let word = match project.trim() {
        "--none" => Assignment::None,
        name => Assignment::Project(name.to_owned()),
    };
    Ok((id(document)?, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_document_and_a_project() {
        let document = Uuid::from_u128(7);
        assert_eq!(parse(&format!(" {document}\tRiver bridge ")), Ok((document, Assignment::Project("River bridge".into()))));
        assert_eq!(parse(&format!("{document} --none")), Ok((document, Assignment::None)));
        for wrong in ["x Bridge", &document.to_string(), &format!("{document} a\0")] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
