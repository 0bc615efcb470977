//! Enters the schema of the tables, or creates it.

use anyhow::Context as _;
use postgres::error::SqlState;
use postgres::types::Type;
use postgres::{Error, Transaction};

use super::tables;
use crate::db::search_path::{self, Located};
use crate::error::Fault;

/// The owner of the tables, if it differs from the current role and the current role can switch to it. Safe with an untrusted search path.
const OWNER: &str = "SELECT pg_catalog.quote_ident(r.rolname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) c.relowner
  WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('schema_migrations')::pg_catalog.oid
    AND r.rolname OPERATOR(pg_catalog.<>) current_user::pg_catalog.name
    AND CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 OPERATOR(pg_catalog.>=) 160000
      THEN pg_catalog.pg_has_role(r.oid, 'SET') ELSE pg_catalog.pg_has_role(r.oid, 'MEMBER') END";

/// A table in the schema `$1` that has one of the names `$2`.
const TAKEN: &str = "SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE n.nspname::pg_catalog.text OPERATOR(pg_catalog.=) $1 AND c.relname::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($2) ORDER BY 1 LIMIT 1";

/// Enters the schema of the tables, and returns it. In a new installation, creates it and `schema_migrations`.
pub(super) fn enter(tx: &mut Transaction<'_>, schema: &str) -> anyhow::Result<Located> {
    let located = search_path::locate_in(tx, schema)?;
    if !located.is_installed {
        make_room(tx, &located)?;
    }
    tx.batch_execute(&located.local()).context("setting the search path of the migration")?;
    if !located.is_installed {
        tx.batch_execute(
            "CREATE TABLE schema_migrations (
               version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .context("creating schema_migrations")?;
    }
    // New tables get the same owner as the existing ones, so that this owner's default privileges apply.
    let owner = tx.query_typed_opt(OWNER, &[]).context("looking for the owner of the schema")?;
    if let Some(owner) = owner {
        tx.batch_execute(&format!("SET LOCAL ROLE {}", owner.try_get::<_, &str>(0)?))
            .context("switching to the owner of the schema")?;
    }
    Ok(located)
}

/// Creates the schema unless it exists.
///
/// # Errors
/// Returns `Fault::settings` if the role may not, or the schema has a table with one of our names.
pub(in crate::db) fn make_room(tx: &mut Transaction<'_>, schema: &Located) -> anyhow::Result<()> {
    let name = &schema.name;
    if !schema.exists {
        let create = format!("CREATE SCHEMA {}", schema.quoted);
        return tx.batch_execute(&create).map_err(|error| may_not_create(name, error));
    }
    let taken =
        tx.query_typed_opt(TAKEN, &[(name, Type::TEXT), (&tables(), Type::TEXT_ARRAY)]).context("looking for other tables")?;
    taken.map_or(Ok(()), |table| {
        let table: &str = table.try_get(0)?;
        let remedy = "choose a schema that syncctl has for itself, such as syncctl (db.schema)";
        Err(Fault::settings(format!("the schema {name} has another program's table {table}: {remedy}")).into())
    })
}

fn may_not_create(name: &str, error: Error) -> anyhow::Error {
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return anyhow::Error::new(error).context("creating the schema");
    }
    let remedy = "have an administrator run CREATE SCHEMA … AUTHORIZATION this role, or set db.schema to a schema in which it may create tables";
    Fault::settings(format!("the role in db.url may not create the schema {name}: {remedy}")).into()
}
