//! The comments on tables, views, columns and functions (`sql/comments`): where they come from, and in which order they are read.

use anyhow::Context as _;
use postgres::Transaction;

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

/// Writes all comments. The search path must be that of a migration to the newest version.
pub(super) fn apply(tx: &mut Transaction<'_>) -> anyhow::Result<()> {
    FILES.iter().try_for_each(|text| tx.batch_execute(text)).context("commenting on the tables")
}

/// The title of each group, and the names of its tables and views in their order.
pub(super) fn groups() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    FILES.iter().map(|text| {
        let title = text.lines().next().and_then(|line| line.strip_prefix("-- # ")).unwrap_or_default();
        let relations = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("COMMENT ON ")?;
            rest.strip_prefix("TABLE ").or_else(|| rest.strip_prefix("VIEW "))?.split(' ').next()
        });
        (title, relations.collect())
    })
}
