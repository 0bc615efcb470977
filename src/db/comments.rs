//! The comments on tables, views, columns and functions (`sql/comments`): where they come from, and in which order they are read.

use std::collections::BTreeSet;

use anyhow::Context as _;
use postgres::Transaction;
use postgres::types::Type;

/// One file per group, in the order of a reader. Its first line is the title, after `-- # `.
static FILES: [&str; 9] = [
    include_str!("../../sql/comments/01_users.sql"),
    include_str!("../../sql/comments/02_calendar.sql"),
    include_str!("../../sql/comments/03_mail.sql"),
    include_str!("../../sql/comments/04_files.sql"),
    include_str!("../../sql/comments/05_documents.sql"),
    include_str!("../../sql/comments/06_bots.sql"),
    include_str!("../../sql/comments/07_outbox.sql"),
    include_str!("../../sql/comments/08_runs.sql"),
    include_str!("../../sql/comments/09_engine.sql"),
];

/// How each statement begins and ends.
const BEGINNING: &str = "COMMENT ON ";
const ENDING: &str = "';\n";

/// Which of these objects (kinds, names) exist and may be commented on, in their order. Operators drop and replace views.
const COMMENTABLE: &str = "SELECT CASE t.kind
    WHEN 'COLUMN' THEN EXISTS (
      SELECT FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.oid = to_regclass(split_part(t.name, '.', 1)) AND a.attname = split_part(t.name, '.', 2) AND pg_has_role(c.relowner, 'USAGE'))
    WHEN 'FUNCTION' THEN EXISTS (SELECT FROM pg_proc p WHERE p.oid = to_regprocedure(t.name) AND pg_has_role(p.proowner, 'USAGE'))
    ELSE EXISTS (
      SELECT FROM pg_class c WHERE c.oid = to_regclass(t.name) AND CASE t.kind WHEN 'VIEW' THEN c.relkind = 'v' ELSE c.relkind IN ('r', 'p') END
        AND pg_has_role(c.relowner, 'USAGE'))
  END
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t (kind, name, ordinal) ORDER BY t.ordinal";

/// A statement of these files.
struct Comment {
    /// TABLE, VIEW, COLUMN or FUNCTION.
    kind: &'static str,
    /// Of a column with its table, of a function with its arguments.
    name: &'static str,
    statement: &'static str,
}

impl Comment {
    /// The table, view or function that it is about.
    fn subject(&self) -> &'static str {
        self.name.split(['.', '(']).next().unwrap_or(self.name)
    }
}

/// The statements of a file, in their order. Each ends with a line.
fn comments(file: &'static str) -> impl Iterator<Item = Comment> {
    let starts = file.match_indices(BEGINNING).map(|(at, _)| at).filter(move |at| file[..*at].ends_with('\n'));
    starts.filter_map(move |start| {
        let text = &file[start..];
        let statement = &text[..text.find(ENDING)? + ENDING.len()];
        let (kind, rest) = statement[BEGINNING.len()..].split_once(' ')?;
        Some(Comment { kind, name: rest.split_once(" IS")?.0, statement })
    })
}

/// What follows the last of these statements in a file: comments on columns that many tables have.
fn rest(file: &'static str) -> &'static str {
    file.rfind(ENDING).map_or("", |end| &file[end + ENDING.len()..])
}

/// Writes all comments, except on what is missing or not owned by this role. The search path must be that of a migration to the newest version.
pub(super) fn apply(tx: &mut Transaction<'_>) -> anyhow::Result<()> {
    let comments: Vec<Comment> = FILES.into_iter().flat_map(comments).collect();
    let kinds: Vec<&str> = comments.iter().map(|comment| comment.kind).collect();
    let names: Vec<&str> = comments.iter().map(|comment| comment.name).collect();
    let rows = tx
        .query_typed(COMMENTABLE, &[(&kinds, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)])
        .context("looking for tables to comment on")?;
    let (mut statements, mut skipped) = (String::new(), BTreeSet::new());
    for (comment, row) in comments.iter().zip(&rows) {
        if row.try_get(0)? {
            statements.push_str(comment.statement);
        } else {
            skipped.insert(comment.subject());
        }
    }
    FILES.into_iter().for_each(|file| statements.push_str(rest(file)));
    tx.batch_execute(&statements).context("commenting on the tables")?;
    if !skipped.is_empty() {
        let names = Vec::from_iter(skipped).join(", ");
        log::warn!("not all comments were written, because these were dropped, replaced, or belong to another role: {names}");
    }
    Ok(())
}

/// The title of each group, and the names of its tables and views in their order.
pub(super) fn groups() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    FILES.into_iter().map(|text| {
        let title = text.lines().next().and_then(|line| line.strip_prefix("-- # ")).unwrap_or_default();
        let relations = comments(text).filter(|comment| matches!(comment.kind, "TABLE" | "VIEW")).map(|comment| comment.name);
        (title, relations.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_files_belongs_to_a_statement() {
        for file in FILES {
            let (title, rest) = file.split_once('\n').expect("a title");
            let all: String = comments(file).flat_map(|comment| ["\n", comment.statement]).collect();
            let all = all.split('\n').chain(super::rest(file).split('\n')).filter(|line| !line.is_empty());
            assert!(title.starts_with("-- # ") && all.eq(rest.split('\n').filter(|line| !line.is_empty())), "{title}");
            for Comment { kind, name, statement } in comments(file) {
                assert!(matches!(kind, "TABLE" | "VIEW" | "COLUMN" | "FUNCTION"), "{kind} {name}");
                assert!(statement.matches(BEGINNING).count() == 1 && !name.contains('\''), "{statement}");
            }
        }
    }
}
