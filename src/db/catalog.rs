//! The tables, views and functions of syncctl, as PostgreSQL's catalog describes them. Read-only. Synchronous.

use std::collections::BTreeSet;

use anyhow::Context as _;
use postgres::types::Type;
use serde::{Deserialize, Serialize};

use super::conninfo::Target;
use super::migrate::{self, Schema};
use super::{comments, foreign_grants, search_path};

/// Everything in one value. `$1` is the schema, `$2`, `$3` and `$4` are the names of tables, views and functions. A column of a view that has no comment has
/// that of the column of the same name that the view reads.
const READ: &str = concat!(
    "WITH ",
    foreign_grants::tables!(),
    ", relations AS (
       SELECT oid, relname, relkind FROM tables
       UNION ALL
       SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND c.relkind = 'v' AND c.relname = ANY ($3)
     ), columns AS (
       SELECT a.attrelid AS relation, json_agg(json_build_object(
         'name', a.attname, 'type', replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz'), 'not_null', a.attnotnull,
         'default', CASE WHEN a.attidentity <> '' THEN 'identity' WHEN a.attgenerated <> '' THEN 'generated'
           ELSE regexp_replace(pg_get_expr(d.adbin, d.adrelid), '::[a-z ]+(\\[\\])?$', '') END,
         'comment', coalesce(col_description(a.attrelid, a.attnum), (
           SELECT col_description(b.attrelid, b.attnum)
           FROM pg_rewrite w
           JOIN pg_depend u ON u.classid = 'pg_rewrite'::regclass AND u.objid = w.oid AND u.refclassid = 'pg_class'::regclass
           JOIN pg_attribute b ON b.attrelid = u.refobjid AND b.attnum = u.refobjsubid
           WHERE w.ev_class = a.attrelid AND b.attrelid <> a.attrelid AND b.attname = a.attname
           ORDER BY b.attrelid::regclass::text LIMIT 1))
       ) ORDER BY a.attnum) AS list
       FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       GROUP BY a.attrelid
     ), indexes AS (
       SELECT i.indrelid AS relation, json_agg(json_build_object(
         'name', c.relname, 'unique', i.indisunique, 'definition', regexp_replace(pg_get_indexdef(i.indexrelid, 0, true), '^.* USING (btree )?', '')
       ) ORDER BY c.relname) AS list
       FROM relations r JOIN pg_index i ON i.indrelid = r.oid AND NOT i.indisprimary JOIN pg_class c ON c.oid = i.indexrelid
       GROUP BY i.indrelid
     ), foreign_keys AS (
       SELECT k.conrelid AS relation, json_agg(pg_get_constraintdef(k.oid, true) ORDER BY k.conname) AS list
       FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'f' GROUP BY k.conrelid
     )
     SELECT json_build_object(
       'relations', (
         SELECT json_agg(json_build_object(
           'name', r.relname, 'kind', CASE r.relkind WHEN 'v' THEN 'view' ELSE 'table' END, 'comment', obj_description(r.oid, 'pg_class'), 'columns', c.list,
           'primary_key', coalesce((SELECT json_agg(a.attname ORDER BY key.nth)
             FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS key (number, nth)
             JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = key.number
             WHERE i.indrelid = r.oid AND i.indisprimary), '[]'),
           'indexes', coalesce(i.list, '[]'), 'foreign_keys', coalesce(f.list, '[]')))
         FROM relations r JOIN columns c ON c.relation = r.oid LEFT JOIN indexes i ON i.relation = r.oid LEFT JOIN foreign_keys f ON f.relation = r.oid),
       'functions', (
         SELECT json_agg(json_build_object(
           'name', p.proname, 'arguments', pg_get_function_arguments(p.oid), 'comment', obj_description(p.oid, 'pg_proc')) ORDER BY p.proname)
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = ANY ($4))
     )::text"
);

/// All tables, views and functions.
#[derive(Debug, Serialize)]
pub struct Catalog {
    /// In the order of a reader.
    pub groups: Vec<Group>,
    /// By name.
    pub functions: Vec<Function>,
}

/// Tables and views on one subject.
#[derive(Debug, Serialize)]
pub struct Group {
    pub title: &'static str,
    pub relations: Vec<Relation>,
}

#[derive(Debug, Deserialize)]
struct Described {
    relations: Vec<Relation>,
    functions: Vec<Function>,
}

/// A table or view.
#[derive(Debug, Serialize, Deserialize)]
pub struct Relation {
    pub name: String,
    pub kind: Kind,
    pub comment: Option<String>,
    /// In the order of the table.
    pub columns: Vec<Column>,
    /// Names of columns. Empty for a view.
    pub primary_key: Vec<String>,
    /// Other than that of the primary key, by name.
    pub indexes: Vec<Index>,
    /// As in SQL.
    pub foreign_keys: Vec<String>,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Table,
    View,
}

/// A column of a table or view.
#[derive(Debug, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub r#type: String,
    pub not_null: bool,
    /// As in SQL, without its type; `identity` or `generated` if PostgreSQL computes the value.
    pub default: Option<String>,
    pub comment: Option<String>,
    /// The column that its values refer to, with or without a foreign key.
    #[serde(default)]
    pub references: Option<Reference>,
}

/// A column of another table, or of the same one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reference {
    pub table: String,
    pub column: String,
}

/// An index.
#[derive(Debug, Serialize, Deserialize)]
pub struct Index {
    pub name: String,
    pub unique: bool,
    /// Columns or expressions and the condition, as in SQL, after the method unless that is btree.
    pub definition: String,
}

/// A function.
#[derive(Debug, Serialize, Deserialize)]
pub struct Function {
    pub name: String,
    /// Names and types. Empty for triggers.
    pub arguments: String,
    pub comment: Option<String>,
}

/// Reads the descriptions of everything that migrations created.
///
/// # Errors
/// Returns `Fault::settings` if the database has no tables of syncctl.
pub fn read(target: &Target) -> anyhow::Result<Catalog> {
    let mut client = migrate::connect(target)?;
    let mut tx = migrate::begin(&mut client, "beginning to read the catalog")?;
    let located = search_path::locate_in(&mut tx, target.schema())?;
    if !located.is_installed {
        Schema::Behind { version: 0 }.must_be_current()?;
    }
    tx.batch_execute(&located.local()).context("setting the search path")?;
    let row = tx
        .query_typed_one(
            READ,
            &[
                (&located.name, Type::TEXT),
                (&migrate::tables(), Type::TEXT_ARRAY),
                (&migrate::views(), Type::TEXT_ARRAY),
                (&migrate::functions(), Type::TEXT_ARRAY),
            ],
        )
        .context("reading the catalog")?;
    let described: Described = serde_json::from_str(row.try_get(0)?).context("parsing the description of the tables")?;
    Ok(grouped(described))
}

fn grouped(described: Described) -> Catalog {
    let Described { mut relations, functions } = described;
    let names: BTreeSet<String> = relations.iter().map(|relation| relation.name.clone()).collect();
    for column in relations.iter_mut().flat_map(|relation| &mut relation.columns) {
        column.references = column.comment.as_deref().and_then(reference).filter(|found| names.contains(&found.table));
    }
    let groups = comments::groups().map(|(title, names)| {
        let named = names.iter().filter_map(|name| {
            let index = relations.iter().position(|relation| relation.name == *name)?;
            Some(relations.swap_remove(index))
        });
        Group { title, relations: named.collect() }
    });
    Catalog { groups: groups.collect(), functions }
}

/// The reference in the comment of a column, such as `(users.id)`.
fn reference(comment: &str) -> Option<Reference> {
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    comment.split('(').skip(1).find_map(|rest| {
        let (table, column) = rest.split_once(')')?.0.split_once('.')?;
        (is_name(table) && is_name(column)).then(|| Reference { table: table.to_owned(), column: column.to_owned() })
    })
}
