//! Indexes on tables that may be large. An upgrade builds them after its transaction, while the jobs write to the tables: a build within the transaction
//! would lock them until it ends.

use std::time::Duration;

use anyhow::Context as _;
use postgres::types::Type;
use postgres::{Client, Transaction};

use super::{MIGRATIONS, begin, lock};
use crate::db::conninfo::Target;
use crate::db::search_path::{self, Located};

const CREATE: &str = "CREATE INDEX ";

/// The indexes named `$1` that do not exist in the schema of the search path, or that a build left behind unfinished: name, and whether it is the latter.
pub(in crate::db) const UNFINISHED: &str = "SELECT w.name, c.oid IS NOT NULL
  FROM unnest($1) WITH ORDINALITY AS w (name, position)
  LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()) ON c.relname = w.name
  LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE i.indisvalid IS NOT TRUE ORDER BY w.position";

/// An index that is not unique. A unique one is part of its table's rules, and never late.
#[derive(Debug, PartialEq, Eq)]
struct Index {
    version: i32,
    name: &'static str,
    table: &'static str,
    /// What follows the name of the table.
    rest: &'static str,
}

/// The statements of a text that create such indexes, each with its place in the text.
fn statements(version: i32, text: &'static str) -> impl Iterator<Item = (std::ops::Range<usize>, Index)> {
    let starts = text.match_indices(CREATE).map(|(start, _)| start).filter(|&start| start == 0 || text[..start].ends_with('\n'));
    starts.filter_map(move |start| {
        let end = start + text[start..].find(';')?;
        let (name, rest) = text[start + CREATE.len()..end].split_once(" ON ")?;
        let (table, rest) = rest.split_once(' ')?;
        Some((start..end + 1, Index { version, name, table, rest }))
    })
}

/// The indexes that exist once all migrations are applied.
fn all() -> Vec<Index> {
    let mut all: Vec<Index> = Vec::new();
    for &(version, _, text) in MIGRATIONS {
        let dropped = text.lines().filter_map(|line| line.strip_prefix("DROP INDEX ")?.strip_suffix(';'));
        for name in dropped {
            all.retain(|index| index.name != name);
        }
        all.extend(statements(version, text).map(|(_, index)| index));
    }
    all
}

/// The names of the indexes that exist once all migrations are applied, without unique ones.
pub(in crate::db) fn names() -> Vec<&'static str> {
    all().into_iter().map(|index| index.name).collect()
}

/// The text of a migration without the indexes that are built later: those that last, on tables that an earlier migration than `first` created.
pub(super) fn without_late(version: i32, text: &'static str, first: i32) -> String {
    let lasting = all();
    let is_new = |table: &str| {
        let created = format!("CREATE TABLE {table} (");
        MIGRATIONS.iter().any(|(version, _, text)| *version >= first && text.contains(&created))
    };
    let mut rest = text.to_owned();
    let late = statements(version, text).filter(|(_, index)| lasting.contains(index) && !is_new(index.table));
    for (place, _) in late.collect::<Vec<_>>().into_iter().rev() {
        rest.replace_range(place, "");
    }
    rest
}

/// The indexes that are missing, each with whether a build of it was broken off.
fn unfinished(tx: &mut Transaction<'_>, schema: &Located) -> anyhow::Result<Vec<(Index, bool)>> {
    tx.batch_execute(&schema.local()).context("setting the search path")?;
    let mut all = all();
    let rows = tx.query_typed(UNFINISHED, &[(&names(), Type::TEXT_ARRAY)]);
    let mut unfinished = Vec::new();
    for row in rows.context("looking for indexes that are missing")? {
        let name: &str = row.try_get(0)?;
        if let Some(position) = all.iter().position(|index| index.name == name) {
            unfinished.push((all.remove(position), row.try_get(1)?));
        }
    }
    Ok(unfinished)
}

/// The names of the indexes that are missing or unfinished.
pub(super) fn missing(tx: &mut Transaction<'_>, schema: &Located) -> anyhow::Result<Vec<&'static str>> {
    Ok(unfinished(tx, schema)?.into_iter().map(|(index, _)| index.name).collect())
}

/// Builds the indexes that are missing, one after the other, without locking their tables. Returns their names.
///
/// # Errors
/// Returns an error if one cannot be built; the jobs work without it, more slowly.
pub(super) fn build(target: &Target) -> anyhow::Result<Vec<&'static str>> {
    let mut client = super::connect(target)?;
    let mut tx = begin(&mut client, "beginning to build indexes")?;
    // This transaction only holds the lock, for as long as the builds take: if this host dies, it goes with its connection. It must not keep a snapshot,
    // as it would after a query, because builds wait for all that are older than they are.
    tx.batch_execute(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL tcp_keepalives_idle = 30",
    )
    .context("setting the timeout of the transaction")?;
    lock(&mut tx)?;
    let mut builder = super::connect(target)?;
    let mut reading = begin(&mut builder, "beginning to look for indexes")?;
    let schema = search_path::locate_in(&mut reading, target.schema())?;
    let unfinished = unfinished(&mut reading, &schema)?;
    reading.commit().context("ending to look for indexes")?;
    let mut built = Vec::new();
    for (Index { name, table, rest, .. }, is_broken) in unfinished {
        let quoted = &schema.quoted;
        let failed =
            || format!("building the index {name}: the migrations are applied and jobs can run; run `syncctl db migrate` again");
        if is_broken {
            builder.batch_execute(&format!("DROP INDEX CONCURRENTLY {quoted}.{name}")).with_context(failed)?;
        }
        report_wait(&mut builder, name)?;
        builder.batch_execute(&format!("CREATE INDEX CONCURRENTLY {name} ON {quoted}.{table} {rest}")).with_context(failed)?;
        built.push(name);
    }
    tx.commit().context("releasing the migration lock")?;
    Ok(built)
}

/// Logs what a build will wait for: PostgreSQL completes an index only when transactions that began before it have ended. Short ones are not
/// worth a line, and those of other roles can be invisible.
fn report_wait(client: &mut Client, name: &str) -> anyhow::Result<()> {
    let open = client
        .query_typed(
            "SELECT pid, extract(epoch FROM now() - xact_start)::float8, nullif(application_name, ''), count(*) OVER ()
             FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - interval '1 second'
               AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
             ORDER BY xact_start LIMIT 1",
            &[],
        )
        .context("looking for open transactions")?;
    if let Some(oldest) = open.first() {
        let (pid, open_for, program, count): (i32, f64, Option<&str>, i64) =
            (oldest.try_get(0)?, oldest.try_get(1)?, oldest.try_get(2)?, oldest.try_get(3)?);
        let open_for = Duration::from_secs_f64(open_for.max(0.0).round());
        log::warn!(
            "the index {name} is complete only after open transactions have ended; {count} now, the oldest for {} in process {pid} ({}). \
             Jobs continue meanwhile",
            humantime::format_duration(open_for),
            program.unwrap_or("unnamed program")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_indexes_are_not_expected_and_replaced_ones_once() {
        let all = all();
        assert!(all.iter().all(|index| index.name != "streams_due"), "dropped by a later migration");
        let replaced: Vec<&Index> = all.iter().filter(|index| index.name == "calendar_events_user_start").collect();
        let [Index { version: 24, table: "calendar_events", rest: "(user_id, start_at)", .. }] = replaced[..] else {
            panic!("{replaced:?}")
        };
    }

    #[test]
    fn only_indexes_of_tables_that_were_there_are_late() {
        let text = |wanted: i32| MIGRATIONS.iter().find(|(version, _, _)| *version == wanted).expect("a migration").2;
        let late = without_late(37, text(37), 37);
        assert!(!late.contains("CREATE INDEX calendar_events_series"), "{late}");
        assert!(late.contains("CREATE INDEX calendar_instances_during"), "a new table is empty: {late}");
        assert!(late.contains("ALTER TABLE calendar_events ADD COLUMN cancels_occurrence"), "{late}");
        // An index that a pending migration drops has to be there by then.
        assert!(without_late(3, text(3), 2).contains("CREATE INDEX streams_due"));
    }
}
