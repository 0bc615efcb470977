//! `syncctl projects`: users' projects, and people's assignments of documents to them.

mod assign;
mod import;

use clap::Subcommand;
use uuid::Uuid;

use super::paging::Part;
use super::{Output, id, reading, table, users, with_context};
use crate::config::Settings;
use crate::db::projects::{self, NewProject, Project};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::nul;

/// Maximum length of a name, in characters.
const MAX_NAME: usize = 200;
/// Maximum length of a description, in characters.
const MAX_DESCRIPTION: usize = 10_000;
/// Maximum number of keywords, and of people, of one project.
const MAX_WORDS: usize = 500;

/// Subcommands of `projects`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Add a project for a user
    Add {
        /// User, by UUID or address
        user: String,
        /// Name, unique among the user's projects
        name: String,
        /// Description of the project
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Word or phrase that occurs in its documents; may be repeated
        #[arg(long = "keyword", value_name = "WORD")]
        keywords: Vec<String>,
        /// Person who works on it, by address or name; may be repeated
        #[arg(long = "person", value_name = "PERSON")]
        people: Vec<String>,
    },
    /// List projects with the number of their documents
    List {
        /// Only projects of this user, by UUID or address (default: all)
        #[arg(long)]
        user: Option<String>,
        /// Include closed projects
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        part: Part,
    },
    /// Print one project
    Show {
        /// Project, by the id in `projects list`
        #[arg(value_parser = id)]
        project: Uuid,
    },
    /// Close a project: its documents stay, but no more are assigned to it
    Close {
        /// Project, by the id in `projects list`
        #[arg(value_parser = id)]
        project: Uuid,
    },
    /// Reopen a closed project; undecided documents of its user are classified again
    Reopen {
        /// Project, by the id in `projects list --all`
        #[arg(value_parser = id)]
        project: Uuid,
    },
    /// Add projects from JSON lines, or update existing ones by name: {user, name, description?, keywords?, people?}
    Import {
        /// File to read, or - for standard input
        file: String,
    },
    /// Assign documents to a project of their user, or to none of them; overrides classification permanently
    Assign(assign::AssignArgs),
    /// Withdraw decisions about documents
    Unassign(assign::UnassignArgs),
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        match verb {
            Verb::Add { user, name, description, keywords, people } => {
                let user = users::find(&context, user).await?;
                let project = NewProject {
                    user,
                    name: name.clone(),
                    description: description.clone(),
                    keywords: keywords.clone(),
                    people: people.clone(),
                };
                add(&context, &project, output).await
            }
            Verb::List { user, all, part } => reading(&context, list(&context, user.as_deref(), *all, *part, output)).await,
            Verb::Show { project } => reading(&context, show(&context, *project, output)).await,
            Verb::Close { project } => {
                if !projects::close(&context.pool, *project).await? {
                    return Err(no_project(*project).into());
                }
                output.print(&serde_json::json!({ "closed": project }), || format!("{project} is closed"))?;
                Ok(Exit::Done)
            }
            Verb::Reopen { project } => {
                if !projects::reopen(&context.pool, *project).await? {
                    return Err(no_project(*project).into());
                }
                output.print(&serde_json::json!({ "open": project }), || format!("{project} is open"))?;
                Ok(Exit::Done)
            }
            Verb::Import { file } => import::run(&context, file, output).await,
            Verb::Assign(arguments) => assign::assign(&context, arguments, output).await,
            Verb::Unassign(arguments) => assign::unassign(&context, arguments, output).await,
        }
    })
}

async fn add(context: &Context, project: &NewProject, output: Output) -> anyhow::Result<Exit> {
    if let Some(wrong) = problem(project) {
        return Err(Fault::usage(wrong).into());
    }
    let Some(id) = projects::add(&context.pool, project).await? else {
        return Err(exists(context, project).await?.into());
    };
    output.print(&serde_json::json!({ "project": id }), || format!("{id} added"))?;
    Ok(Exit::Done)
}

/// Explains that a project exists already and what to do instead.
async fn exists(context: &Context, project: &NewProject) -> anyhow::Result<Fault> {
    let existing = projects::find(&context.pool.get().await?, project.user, &project.name).await?;
    let closed = existing.filter(|existing| existing.is_closed && existing.name == project.name);
    let instead = closed.map(|closed| format!(", which is closed; reopen it with `syncctl projects reopen {}`", closed.id));
    Ok(Fault::usage(format!("the user already has a project {:?}{}", project.name, instead.unwrap_or_default())))
}

async fn list(context: &Context, user: Option<&str>, all: bool, part: Part, output: Output) -> anyhow::Result<Exit> {
    let user = match user {
        Some(name) => Some(users::find(context, name).await?),
        None => None,
    };
    let known = projects::list(&context.pool, user, all).await?;
    let total = known.len();
    let rows = part.of(known);
    part.ids.print(output, &rows, rows.iter().map(|row| row.id.to_string()), || match total {
        0 => empty(user.is_some(), all).into(),
        _ if rows.is_empty() => "no projects match these options".into(),
        _ => listed(&rows),
    })?;
    part.footer(output, rows.len(), total);
    Ok(Exit::Done)
}

async fn show(context: &Context, id: Uuid, output: Output) -> anyhow::Result<Exit> {
    let project = projects::get(&context.pool, id).await?.ok_or_else(|| no_project(id))?;
    output.print(&project, || shown(&project))?;
    Ok(Exit::Done)
}

fn no_project(id: Uuid) -> Fault {
    Fault::usage(format!("no project {id}; see `syncctl projects list --all`"))
}

fn no_user(name: &str) -> Fault {
    Fault::usage(format!("no user {name}; see `syncctl accounts list`"))
}

/// Returns what is wrong with a project to store, if anything.
fn problem(project: &NewProject) -> Option<String> {
    let NewProject { name, description, keywords, people, .. } = project;
    let all = [name].into_iter().chain(description).chain(keywords).chain(people);
    if all.clone().any(|text| nul::is_in(text)) {
        return Some(nul::REFUSED.into());
    }
    if name.trim().is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        return Some("name: must be one line of text without leading or trailing blanks".into());
    }
    if name.chars().count() > MAX_NAME {
        return Some(format!("name: must have at most {MAX_NAME} characters"));
    }
    if description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        return Some(format!("description: must have at most {MAX_DESCRIPTION} characters"));
    }
    for (what, list) in [("keywords", keywords), ("people", people)] {
        if list.len() > MAX_WORDS || list.iter().any(|word| word.trim().is_empty() || word.chars().count() > MAX_NAME) {
            return Some(format!("{what}: must be at most {MAX_WORDS}, each of 1 to {MAX_NAME} characters"));
        }
    }
    None
}

/// Says why no projects are listed.
fn empty(is_of_user: bool, all: bool) -> &'static str {
    match (is_of_user, all) {
        (false, true) => "no projects; add one with `syncctl projects add`",
        (true, true) => "the user has no projects; add one with `syncctl projects add`",
        (false, false) => "no open projects; `--all` includes closed ones, `syncctl projects add` adds one",
        (true, false) => "the user has no open projects; `--all` includes closed ones, `syncctl projects add` adds one",
    }
}

fn listed(rows: &[Project]) -> String {
    let mut table = table(&["project", "user", "name", "status", "documents", "by people"]);
    for row in rows {
        table.add_row([
            row.id.to_string(),
            row.email.clone(),
            row.name.clone(),
            row.status.clone(),
            row.documents.to_string(),
            row.by_people.to_string(),
        ]);
    }
    table.trim_fmt()
}

fn shown(project: &Project) -> String {
    let list = |words: &[String]| Some(words.join(", ")).filter(|text| !text.is_empty());
    let rows = [
        ("project", Some(project.id.to_string())),
        ("name", Some(project.name.clone())),
        ("user", Some(project.email.clone())),
        ("status", Some(project.status.clone())),
        ("about", project.description.clone()),
        ("keywords", list(&project.keywords)),
        ("people", list(&project.people)),
        ("documents", Some(format!("{}, {} of them assigned by people", project.documents, project.by_people))),
        ("added", Some(project.created_at.format("%F %T UTC").to_string())),
        ("changed", Some(project.updated_at.format("%F %T UTC").to_string())),
    ];
    rows.into_iter().filter_map(|(name, value)| Some(format!("{name:<11}{}\n", value?.replace(char::is_control, " ")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_projects_are_named() {
        let good = NewProject {
            user: Uuid::nil(),
            name: "Bridge".into(),
            description: Some("a bridge".into()),
            keywords: vec!["steel".into()],
            people: vec!["ann@example.com".into()],
        };
        assert_eq!(problem(&good), None);
        for name in ["", " ", "a\nb", " a", "a ", "\u{7}", &"x".repeat(MAX_NAME + 1)] {
            assert!(
                problem(&NewProject { name: name.to_owned(), ..good.clone() }).is_some_and(|why| why.starts_with("name: ")),
                "{name:?}"
            );
        }
        for (wrong, what) in [
            (NewProject { description: Some("x".repeat(MAX_DESCRIPTION + 1)), ..good.clone() }, "description: "),
            (NewProject { keywords: vec![String::new()], ..good.clone() }, "keywords: "),
            (NewProject { people: vec!["x".into(); MAX_WORDS + 1], ..good.clone() }, "people: "),
            (NewProject { people: vec!["a\0".into()], ..good.clone() }, "contains a NUL"),
        ] {
            assert!(problem(&wrong).is_some_and(|why| why.starts_with(what)), "{what}");
        }
    }
}
