//! Rights and objects of other roles in our schema. Read-only.
//!
//! The queries use only names of `pg_catalog`, because the roles they check could have created others of the same name.

use anyhow::Context as _;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::conninfo::Target;
use super::{Pool, migrate, search_path};

/// Our schema, or the one that would be used.
const SCHEMA: &str = "SELECT pg_catalog.current_schema()::pg_catalog.text";
/// Restricts names to PostgreSQL's own until the transaction ends.
const NO_NAMES: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// Roles with full access to our tables anyway. Here and below, `$1` is the schema.
macro_rules! trusted {
    () => {
        "trusted AS (
           SELECT r.oid FROM pg_roles r
           WHERE r.rolsuper OR r.rolname IN (current_user, 'pg_database_owner', 'syncctl_owner')
             OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
             OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = 'schema_migrations' AND pg_has_role(r.oid, c.relowner, 'USAGE'))
         )"
    };
}

/// Our tables. `$2` is the array of their names.
macro_rules! tables {
    () => {
        "tables AS (
           SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
             AND (c.relname = ANY ($2) OR c.relname LIKE ANY ('{%\\_cron\\_results,%\\_cron\\_metrics,%\\_summaries}'))
         )"
    };
}

/// Roles that may create objects in the schema. PUBLIC counts only if there are untrusted roles.
const CREATORS: &str = concat!(
    "WITH ",
    trusted!(),
    "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE r.rolname::text END
     FROM pg_namespace n CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
     WHERE n.nspname = $1 AND a.privilege_type = 'CREATE' AND a.grantee NOT IN (SELECT oid FROM trusted)
       AND (a.grantee <> 0 OR EXISTS (SELECT FROM pg_roles o WHERE o.rolname NOT LIKE 'pg\\_%' AND o.oid NOT IN (SELECT oid FROM trusted)))
     ORDER BY 1"
);
const LOOKING_FOR_CREATORS: &str = "looking for roles that may create in the schema";

pub(super) use tables;

/// Rights on our tables, their columns and sequences, and our functions that roles have other than the trusted ones and the three of
/// sql/roles.sql. SELECT is left out if row-level security is on and a policy names the role: its access was granted deliberately.
const RIGHTS: &str = concat!(
    "WITH ",
    tables!(),
    ", objects AS (
       SELECT relname::text AS name, oid, relowner AS owner, relrowsecurity AS guarded, relacl AS acl FROM tables
       UNION ALL SELECT t.relname || '.' || a.attname, t.oid, t.relowner, t.relrowsecurity, a.attacl
         FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attacl IS NOT NULL
       UNION ALL SELECT s.relname::text, s.oid, s.relowner, false, s.relacl
         FROM tables t JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_class'::regclass
           AND d.deptype IN ('a', 'i') JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
       UNION ALL SELECT p.proname || '()', p.oid, p.proowner, false, p.proacl
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname LIKE 'syncctl\\_forget\\_%'
     )
     SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE r.rolname::text END, array_agg(DISTINCT o.name ORDER BY o.name),
       array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type)
     FROM objects o CROSS JOIN LATERAL aclexplode(o.acl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
     WHERE NOT coalesce(r.rolsuper OR r.rolname IN (current_user, 'syncctl_owner', 'syncctl_runtime', 'syncctl_readonly')
         OR pg_has_role(r.oid, o.owner, 'USAGE'), false)
       AND NOT (a.privilege_type = 'SELECT' AND o.guarded
         AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = o.oid AND a.grantee = ANY (p.polroles)))
     GROUP BY 1 ORDER BY 1"
);

/// Tables without row-level security in a schema that otherwise uses it.
const OPEN: &str = concat!(
    "WITH ",
    tables!(),
    "SELECT relname::text FROM tables
     WHERE NOT relrowsecurity AND EXISTS (SELECT FROM tables WHERE relname = 'schema_migrations' AND relrowsecurity) ORDER BY 1"
);

/// Code of other roles that jobs could run: functions and operators of our schema that can shadow PostgreSQL's own, and triggers on our tables.
const CODE: &str = concat!(
    "WITH ",
    trusted!(),
    ", ",
    tables!(),
    ", code AS (
       SELECT 'function ' || p.proname AS name, p.proowner AS owner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = $1 AND EXISTS (SELECT FROM pg_proc own WHERE own.pronamespace = 'pg_catalog'::regnamespace AND own.proname = p.proname)
       UNION ALL SELECT 'operator ' || o.oprname, o.oprowner FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE n.nspname = $1
       UNION ALL SELECT 'trigger ' || g.tgname || ' on ' || t.relname, p.proowner
         FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal JOIN pg_proc p ON p.oid = g.tgfoid
     )
     SELECT DISTINCT name || ' of ' || pg_get_userbyid(owner) FROM code WHERE owner NOT IN (SELECT oid FROM trusted) ORDER BY 1"
);

/// Rights of a role.
#[derive(Debug, Clone)]
pub struct Right {
    /// `PUBLIC` means all roles.
    pub role: String,
    /// Tables, columns (`accounts.state`), sequences, functions.
    pub objects: Vec<String>,
    /// `SELECT`, `TRUNCATE` …
    pub privileges: Vec<String>,
}

/// Rights and objects of other roles.
#[derive(Debug, Clone)]
pub struct Foreign {
    pub schema: String,
    /// Roles that may create objects in it; `PUBLIC` means all roles.
    pub creators: Vec<String>,
    pub rights: Vec<Right>,
    /// Tables without row-level security in a schema that otherwise uses it.
    pub open: Vec<String>,
    /// Descriptions: `trigger x on users of mallory`.
    pub code: Vec<String>,
}

/// Reads them. `None`: no schema of the role's search path exists.
pub async fn read(pool: &Pool) -> anyhow::Result<Option<Foreign>> {
    let mut client = pool.get().await?;
    let tx = client.snapshot("beginning to read the rights of other roles").await?;
    let row = tx.query_typed_one(SCHEMA, &[]).await.context("reading the current schema")?;
    let Some(schema) = row.try_get::<_, Option<String>>(0)? else { return Ok(None) };
    tx.batch_execute(NO_NAMES).await.context("setting the search path")?;
    let tables = migrate::tables();
    let query = async |statement, what| {
        tx.query_typed(statement, &[(&schema, Type::TEXT), (&tables, Type::TEXT_ARRAY)]).await.context(what)
    };
    let creators = tx.query_typed(CREATORS, &[(&schema, Type::TEXT)]).await.context(LOOKING_FOR_CREATORS)?;
    let rights = query(RIGHTS, "reading the rights of other roles").await?;
    let open = query(OPEN, "looking for tables without row-level security").await?;
    let code = query(CODE, "looking for code of other roles").await?;
    let right = |row: &Row| Ok(Right { role: row.try_get(0)?, objects: row.try_get(1)?, privileges: row.try_get(2)? });
    Ok(Some(Foreign {
        creators: names(&creators)?,
        rights: rights.iter().map(right).collect::<anyhow::Result<_>>()?,
        open: names(&open)?,
        code: names(&code)?,
        schema,
    }))
}

/// Other roles that may create functions in our schema: such functions can shadow PostgreSQL's own and run with the rights of our jobs.
///
/// # Errors
/// Returns an error if the database cannot be reached.
pub fn creators(target: &Target) -> anyhow::Result<Vec<String>> {
    let mut client = migrate::connect(target)?;
    let mut tx = migrate::begin(&mut client, "beginning to read the rights of other roles")?;
    let schema = search_path::locate_in(&mut tx, target.schema())?.name;
    tx.batch_execute(NO_NAMES).context("setting the search path")?;
    let rows = tx.query_typed(CREATORS, &[(&schema, Type::TEXT)]).context(LOOKING_FOR_CREATORS)?;
    names(&rows)
}

fn names(rows: &[Row]) -> anyhow::Result<Vec<String>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
