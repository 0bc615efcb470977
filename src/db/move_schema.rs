//! Moves the tables to another schema, with their views and functions. Synchronous.

use anyhow::Context as _;
use postgres::types::Type;

use super::conninfo::Target;
use super::{foreign_grants, migrate, search_path};
use crate::error::{Exit, Fault};

/// A run under way: it would no longer find its tables.
const RUNNING: &str = "SELECT job || ' on ' || coalesce(host, 'an unknown host') FROM runs WHERE status = 'running' AND alive_until > now() LIMIT 1";

/// The statements. `$1` is the schema, `$2`, `$3` and `$4` are the names of tables, views and functions, `$5` is the new schema. The functions of
/// sql/relations.sql come first, as long as the tables that their arguments name are there.
const MOVES: &str = concat!(
    "WITH ",
    foreign_grants::tables!(),
    "SELECT format('ALTER FUNCTION %s SET SCHEMA %I', p.oid::regprocedure, $5) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = $1 AND obj_description(p.oid, 'pg_proc') = 'Relation made by sql/relations.sql.' AND pg_has_role(p.proowner, 'USAGE')
     UNION ALL
     SELECT format('ALTER TABLE %s SET SCHEMA %I', oid::regclass, $5) FROM tables
     UNION ALL
     SELECT format('ALTER VIEW %s SET SCHEMA %I', c.oid::regclass, $5) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relkind = 'v' AND c.relname = ANY ($3)
     UNION ALL
     SELECT format('ALTER FUNCTION %s SET SCHEMA %I', p.oid::regprocedure, $5) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = $1 AND p.proname = ANY ($4)"
);

/// Where the tables were and are.
#[derive(Debug, serde::Serialize)]
pub struct Moved {
    pub from: String,
    pub to: String,
    /// Tables, views and functions; 0 if they were there already.
    pub objects: usize,
}

/// Moves everything that migrations created to the schema `to`, in one transaction, and creates the schema if it does not exist.
///
/// # Errors
/// Returns a `Fault` if a run is under way (exit 75), there are no tables, or `to` has tables of the same names.
pub fn move_schema(target: &Target, to: &str) -> anyhow::Result<Moved> {
    let mut client = migrate::connect(target)?;
    let mut tx = migrate::begin(&mut client, "beginning to move the tables")?;
    migrate::lock(&mut tx)?;
    let old = search_path::locate_in(&mut tx, target.schema())?;
    if !old.is_installed {
        return Err(Fault::settings("there are no tables to move: run `syncctl db migrate`").into());
    }
    let (from, to) = (old.name.clone(), to.to_owned());
    if from == to {
        return Ok(Moved { from, to, objects: 0 });
    }
    tx.batch_execute(&old.local()).context("setting the search path")?;
    // Statements of other programs must not queue for long behind a lock that is not granted.
    tx.batch_execute("SET LOCAL lock_timeout = '10s'").context("setting the timeout of locks")?;
    if let Some(run) = tx.query_typed_opt(RUNNING, &[]).context("looking for runs")? {
        let message =
            format!("{} is running: stop the schedules, wait until it ends, then try again", run.try_get::<_, &str>(0)?);
        return Err(Fault { exit: Exit::Busy, message }.into());
    }
    let new = search_path::locate_in(&mut tx, &to)?;
    migrate::make_room(&mut tx, &new)?;
    let (tables, views, functions) = (migrate::tables(), migrate::views(), migrate::functions());
    let moves = tx
        .query_typed(
            MOVES,
            &[
                (&from, Type::TEXT),
                (&tables, Type::TEXT_ARRAY),
                (&views, Type::TEXT_ARRAY),
                (&functions, Type::TEXT_ARRAY),
                (&to, Type::TEXT),
            ],
        )
        .context("listing the tables")?;
    for row in &moves {
        tx.batch_execute(row.try_get(0)?).with_context(|| format!("moving the tables from {from} to {to}"))?;
    }
    tx.commit().context("committing the move")?;
    Ok(Moved { from, to, objects: moves.len() })
}
