//! `syncctl projects import`: imports projects from JSON lines. Bad lines are reported; the others are imported.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use serde::Deserialize;
use uuid::Uuid;

use super::{no_user, problem};
use crate::commands::{Output, complain};
use crate::db::accounts;
use crate::db::projects::{self, NewProject};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::nul;

/// One line of the import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    user: String,
    name: String,
    description: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    people: Vec<String>,
}

/// Runs the command.
pub async fn run(context: &Context, file: &str, output: Output) -> anyhow::Result<Exit> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()).context("reading projects from standard input")?,
        path => std::fs::read_to_string(path).map_err(|error| Fault::usage(format!("{path}: cannot be read: {error}")))?,
    };
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => lines.push((index + 1, line)),
            Err(error) => bad.push((index + 1, format!("not a project: {error}"))),
        }
    }
    let (good, wrong) = checked(context, lines).await?;
    bad.extend(wrong);
    bad.sort();
    let added = projects::import(&context.pool, &good).await?;
    let updated = good.len() as u64 - added;
    for (line, wrong) in &bad {
        complain(format!("line {line}: {wrong}"));
    }
    output.print(&serde_json::json!({ "added": added, "updated": updated, "bad": bad }), || {
        format!("{added} added, {updated} updated, {} bad lines", bad.len())
    })?;
    Ok(if bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

/// Returns the projects of valid lines, and the errors of the others by line number.
async fn checked(context: &Context, lines: Vec<(usize, Line)>) -> anyhow::Result<(Vec<NewProject>, Vec<(usize, String)>)> {
    let names: HashSet<String> = lines.iter().map(|(_, line)| nul::cleaned(&line.user)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let users: HashMap<&str, Option<Uuid>> = names.iter().copied().zip(accounts::find(&context.pool, &names).await?).collect();
    let (mut good, mut bad, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (number, line) in lines {
        let Some(user) = users.get(line.user.as_str()).copied().flatten() else {
            bad.push((number, no_user(&line.user).message));
            continue;
        };
        let Line { name, description, keywords, people, .. } = line;
        let project = NewProject { user, name, description, keywords, people };
        match problem(&project) {
            Some(wrong) => bad.push((number, wrong)),
            None if !seen.insert((user, project.name.clone())) => {
                bad.push((number, "duplicates an earlier line: same user and name".into()))
            }
            None => good.push(project),
        }
    }
    Ok((good, bad))
}
