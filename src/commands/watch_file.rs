//! `syncctl drive watch-file`: manages which user follows which file.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use clap::Subcommand;
use serde::Deserialize;
use uuid::Uuid;

use super::{Output, complain, id, reading, table, users};
use crate::db::accounts;
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::nul;
use crate::services::drive::watches::{self, FollowRequest};

/// Subcommands of `drive watch-file`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Follow one or more files; the next poll creates their documents, even if the files do not change
    Add {
        /// User, by UUID or address
        #[arg(required_unless_present = "stdin", requires = "file")]
        user: Option<String>,
        /// File, by Google's id
        #[arg(value_name = "FILE_ID")]
        file: Option<String>,
        /// Id for the document (default: a new one)
        #[arg(long, value_name = "UUID", requires = "user", value_parser = id)]
        document_id: Option<Uuid>,
        /// Project of the document and its events (default: none)
        #[arg(long, value_name = "UUID", requires = "user", value_parser = id)]
        project_id: Option<Uuid>,
        /// Read standard input: each line is a user and a file id, or JSON with user, file_id, document_id?, project_id?
        #[arg(long, conflicts_with = "user")]
        stdin: bool,
    },
    /// Stop following a file; its document stays
    Remove {
        /// User, by UUID or address
        user: String,
        /// File, by Google's id
        #[arg(value_name = "FILE_ID")]
        file: String,
    },
    /// List followed files and their state
    List {
        /// Only files of this user, by UUID or address (default: all)
        #[arg(long)]
        user: Option<String>,
    },
}

/// A file to follow, as given on the command line or on standard input.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    user: String,
    file_id: String,
    document_id: Option<Uuid>,
    project_id: Option<Uuid>,
}

/// Runs the command.
pub async fn run(verb: &Verb, context: &Context, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Add { user, file, document_id, project_id, .. } => match (user, file) {
            (Some(user), Some(file)) => {
                let line = Line { user: user.clone(), file_id: file.clone(), document_id: *document_id, project_id: *project_id };
                let (_, bad) = add(context, vec![(1, line)]).await?;
                if let Some((_, wrong)) = bad.into_iter().next() {
                    return Err(Fault::usage(wrong).into());
                }
                let message = format!("{file} is followed; the next poll creates its document");
                output.print(&serde_json::json!({ "added": 1, "bad": [] }), || message)?;
                Ok(Exit::Done)
            }
            _ => add_lines(context, output).await,
        },
        Verb::Remove { user, file } => {
            let user = users::find(context, user).await?;
            if !watches::remove(&context.pool, user, file).await? {
                let message = format!("the user does not follow {file}; see `syncctl drive watch-file list`");
                return Err(Fault::usage(message).into());
            }
            output.print(&serde_json::json!({ "removed": file }), || format!("{file} is no longer followed"))?;
            Ok(Exit::Done)
        }
        Verb::List { user } => reading(context, list(context, user.as_deref(), output)).await,
    }
}

fn no_user(name: &str) -> Fault {
    Fault::usage(format!("no user {name}; see `syncctl accounts list`"))
}

async fn add_lines(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let text = std::io::read_to_string(std::io::stdin()).context("reading files to follow from standard input")?;
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match parse(line) {
            Ok(line) => lines.push((index + 1, line)),
            Err(wrong) => bad.push((index + 1, wrong)),
        }
    }
    let (added, refused) = add(context, lines).await?;
    bad.extend(refused);
    bad.sort();
    for (line, wrong) in &bad {
        complain(format!("line {line}: {wrong}"));
    }
    output.print(&serde_json::json!({ "added": added, "bad": bad }), || {
        format!("{added} files followed, {} bad lines", bad.len())
    })?;
    Ok(if bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn parse(line: &str) -> Result<Line, String> {
    if nul::is_in(line) || line.contains("\\u0000") {
        return Err(nul::REFUSED.into());
    }
    if line.trim_start().starts_with('{') {
        return serde_json::from_str(line).map_err(|error| format!("not a file to follow: {error}"));
    }
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        [user, file] => Ok(Line { user: user.into(), file_id: file.into(), document_id: None, project_id: None }),
        _ => Err("not a user and a file id".into()),
    }
}

/// Follows the files of valid lines. Returns their number, and the errors of the other lines.
async fn add(context: &Context, lines: Vec<(usize, Line)>) -> anyhow::Result<(usize, Vec<(usize, String)>)> {
    let names: HashSet<&str> = lines.iter().map(|(_, line)| line.user.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let users: HashMap<&str, Option<Uuid>> = names.iter().copied().zip(accounts::find(&context.pool, &names).await?).collect();
    let (mut new, mut numbers, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pairs, mut documents) = (HashSet::new(), HashSet::new());
    for (number, line) in &lines {
        let Some(user) = users.get(line.user.as_str()).copied().flatten() else {
            bad.push((*number, no_user(&line.user).message));
            continue;
        };
        if line.file_id.is_empty() {
            bad.push((*number, "the file id is empty".into()));
        } else if !pairs.insert((user, line.file_id.as_str())) {
            bad.push((*number, "duplicates an earlier line: same user and file".into()));
        } else if line.document_id.is_some_and(|id| !documents.insert(id)) {
            bad.push((*number, "duplicates an earlier line: same document".into()));
        } else {
            let (document, project) = (line.document_id, line.project_id);
            new.push(FollowRequest { user, file: line.file_id.clone(), document, project });
            numbers.push(*number);
        }
    }
    let refused = watches::add(&context.pool, &new).await?;
    let added = new.len() - refused.len();
    let taken = refused
        .into_iter()
        .filter_map(|at| Some((*numbers.get(at)?, "the document id is in use by another file or document".to_owned())));
    bad.extend(taken);
    Ok((added, bad))
}

async fn list(context: &Context, user: Option<&str>, output: Output) -> anyhow::Result<Exit> {
    let user = match user {
        Some(name) => Some(users::find(context, name).await?),
        None => None,
    };
    let rows = watches::list(&context.pool, user).await?;
    output.print(&rows, || {
        let mut table = table(&["user", "file", "name", "document", "state"]);
        for row in &rows {
            let name = row.name.as_deref().unwrap_or_default().replace(char::is_control, "\u{fffd}");
            table.add_row([row.email.clone(), row.file_id.clone(), name, row.document_id.to_string(), row.state.clone()]);
        }
        if rows.is_empty() { "no files are followed; see `syncctl drive watch-file add`".into() } else { table.trim_fmt() }
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_pair_or_json() {
        let line = Line { user: "ann@example.com".into(), file_id: "f1".into(), document_id: None, project_id: None };
        assert_eq!(parse("  ann@example.com\tf1 ").as_ref(), Ok(&line));
        assert_eq!(parse(r#"{"user":"ann@example.com","file_id":"f1"}"#).as_ref(), Ok(&line));
        for wrong in ["ann@example.com", "a b c", "{}", r#"{"user":"a","file_id":"b","x":1}"#, "a b\0"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
