//! `syncctl db schema`: what tables, views and functions mean, from their comments in the database, as `docs/tables.md` shows it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Output;
use crate::db::catalog::{self, Catalog, Column, Group, Relation};
use crate::db::pool::DatabaseLocation;

const HEAD: &str = "# Tables

This page is for developers and analysts who query syncctl's tables: every table, view, column and function, with its unit, its source and the meaning of
NULL. [What is stored, and how](data.md) explains the ideas; [Read what has changed](readers.md) is for copies elsewhere. The same texts are comments in the
database: `\\d+ calendar_events` in psql shows them, and so do most tools. `syncctl db schema` prints this page; with `--json`, the same as data.

```console
$ syncctl db schema --json
$ syncctl db psql -- -c '\\d+ calendar_events'
```

- Times are `timestamptz`: instants, shown in the time zone of your session. Times of syncctl's own are by the database's clock.
- `events: start.dateTime` names the field of Google's or Attendee's API from which a column is taken.
- `(users.id)` names the column that values refer to. Not every reference has a foreign key, because these cost time with each row.
- Columns named in a key are never NULL. Where `not null` is missing and the text names no meaning of NULL, the provider did not send the field.

## Main tables
";

/// Runs the command.
pub fn run(location: &DatabaseLocation, output: Output) -> anyhow::Result<()> {
    location.ensure_running()?;
    let catalog = catalog::read(&location.target)?;
    output.print(&catalog, || page(&catalog))
}

/// The page as Markdown.
fn page(catalog: &Catalog) -> String {
    let all: Vec<&Relation> = catalog.groups.iter().flat_map(|group| &group.relations).collect();
    let edges = edges(&all);
    let is_main = |name: &str| edges.iter().any(|edge| edge.to.name == name && edge.from.name != name);
    let mut text = format!("{HEAD}\nTables that others refer to, with the columns that refer to them:\n");
    picture(&mut text, &all, &edges, |edge| is_main(&edge.from.name));
    for group in &catalog.groups {
        described(&mut text, group, &all, &edges);
    }
    text.push_str("\n## Functions\n\n| function | meaning |\n|---|---|\n");
    for function in &catalog.functions {
        let _ = writeln!(text, "| `{}({})` | {} |", function.name, function.arguments, cell(function.comment.as_deref()));
    }
    text.trim_end().to_owned()
}

/// A group: its picture, then its tables and views. Neighbours that differ only in their names share a section.
fn described(text: &mut String, group: &Group, all: &[&Relation], edges: &[Edge<'_>]) {
    let is_here = |relation: &Relation| group.relations.iter().any(|own| own.name == relation.name);
    let _ = writeln!(text, "\n## {}", group.title);
    picture(text, all, edges, |edge| is_here(edge.from));
    let sections: Vec<(String, &str)> =
        group.relations.iter().map(|relation| (section(relation), relation.name.as_str())).collect();
    for same in sections.chunk_by(|one, other| one.0 == other.0) {
        let names: Vec<String> = same.iter().map(|(_, name)| format!("`{name}`")).collect();
        let _ = write!(text, "\n### {}\n\n{}", names.join(", "), same[0].0);
    }
}

/// What a section says about a table or view.
fn section(relation: &Relation) -> String {
    let mut text = format!("{}\n\n| column | type | default | meaning |\n|---|---|---|---|\n", cell(relation.comment.as_deref()));
    for Column { name, r#type: data_type, not_null, default, comment, .. } in &relation.columns {
        let not_null = if *not_null { ", not null" } else { "" };
        let default = default.as_ref().map(|default| format!("`{default}`")).unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{name}` | {data_type}{not_null} | {} | {} |",
            default.replace('|', "\\|"),
            cell(comment.as_deref())
        );
    }
    let mut keys = Vec::new();
    if !relation.primary_key.is_empty() {
        keys.push(format!("- Key: `({})`", relation.primary_key.join(", ")));
    }
    keys.extend(relation.indexes.iter().map(|index| {
        let kind = if index.unique { "Unique" } else { "Index" };
        format!("- {kind}: `{}`", index.definition)
    }));
    keys.extend(relation.foreign_keys.iter().map(|key| format!("- `{key}`")));
    if !keys.is_empty() {
        let _ = writeln!(text, "\n{}", keys.join("\n"));
    }
    text
}

/// A comment in a cell of a table.
fn cell(comment: Option<&str>) -> String {
    comment.unwrap_or_default().replace('|', "\\|")
}

/// A reference from one table to another.
struct Edge<'a> {
    from: &'a Relation,
    column: &'a Column,
    to: &'a Relation,
}

/// The references between tables. One that a referenced table always has too, by the same column, is left out: an event belongs to the
/// user of its feed.
fn edges<'a>(all: &[&'a Relation]) -> Vec<Edge<'a>> {
    let find = |name: &str| all.iter().copied().find(|relation| relation.name == name);
    let of = |from: &'a Relation| {
        let columns = from.columns.iter().filter(move |_| !from.primary_key.is_empty());
        columns.filter_map(move |column| Some(Edge { from, column, to: find(&column.references.as_ref()?.table)? }))
    };
    let is_implied = |edge: &Edge<'a>| {
        of(edge.from).any(|other| {
            let is_other = other.column.not_null && other.to.name != edge.to.name && other.to.name != edge.from.name;
            is_other && of(other.to).any(|next| next.to.name == edge.to.name && next.column.name == edge.column.name)
        })
    };
    all.iter().copied().flat_map(&of).filter(|edge| !is_implied(edge)).collect()
}

/// Draws the chosen references between tables, with the keys of these tables.
fn picture(text: &mut String, all: &[&Relation], edges: &[Edge<'_>], is_drawn: impl Fn(&Edge<'_>) -> bool) {
    let drawn: Vec<&Edge<'_>> = edges.iter().filter(|edge| is_drawn(edge)).collect();
    if drawn.is_empty() {
        return;
    }
    let names: BTreeSet<&str> = drawn.iter().flat_map(|edge| [edge.from.name.as_str(), edge.to.name.as_str()]).collect();
    text.push_str("\n```mermaid\nerDiagram\n");
    for relation in all.iter().filter(|relation| names.contains(relation.name.as_str())) {
        let keys = relation.columns.iter().filter(|column| relation.primary_key.contains(&column.name));
        let keys: String = keys.map(|column| format!("    {} {} PK\n", column.r#type, column.name)).collect();
        let _ = write!(text, "  {} {{\n{keys}  }}\n", relation.name);
    }
    for Edge { from, column, to } in drawn {
        let many = if from.primary_key == [column.name.as_str()] { "|o" } else { "}o" };
        let one = if column.not_null { "||" } else { "o|" };
        let _ = writeln!(text, "  {} {many}--{one} {} : {}", from.name, to.name, column.name);
    }
    text.push_str("```\n");
}
