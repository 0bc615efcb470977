//! The comments in the database, and the page that `syncctl db schema` makes of them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::World;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tables.md");
/// Characters of a comment. It must fit a line of psql and a cell of a table.
const MAX_COMMENT: usize = 140;

fn relations(catalog: &Value) -> impl Iterator<Item = &Value> {
    let groups = catalog["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["relations"].as_array().expect("relations"))
}

#[test]
fn the_page_of_tables_is_the_output_of_the_command() {
    let page = World::empty().syncctl(&["db", "schema"]).expect(0).stdout;
    let kept = std::fs::read_to_string(PAGE).expect("docs/tables.md");
    assert!(page == kept, "docs/tables.md is outdated: syncctl db schema > docs/tables.md");
}

#[test]
fn everything_in_the_schema_has_a_comment_and_is_listed() {
    let world = World::empty();
    let without = world.texts(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'syncctl'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
           AND obj_description(c.oid, 'pg_class') IS NULL
         UNION ALL
         SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'syncctl'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
         UNION ALL
         SELECT c.oid::regclass || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = 'syncctl'::regnamespace AND c.relkind IN ('r', 'p') AND col_description(c.oid, a.attnum) IS NULL
         ORDER BY 1",
    );
    assert!(without.is_empty(), "without a comment in sql/comments: {without:?}");

    let catalog = world.syncctl(&["db", "schema", "--json"]).expect(0).json();
    let listed: BTreeSet<&str> = relations(&catalog).map(|relation| relation["name"].as_str().expect("a name")).collect();
    let all = world.texts(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'syncctl'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')",
    );
    assert_eq!(listed, all.iter().map(String::as_str).collect(), "each in one group of sql/comments");
    // A column of a view has a comment of its own unless it is that of a column of the same name.
    for relation in relations(&catalog) {
        for column in relation["columns"].as_array().expect("columns") {
            let name = format!("{}.{}", relation["name"], column["name"]);
            let comment = column["comment"].as_str().unwrap_or_else(|| panic!("{name} has no comment in sql/comments"));
            let length = comment.chars().count();
            assert!(length <= MAX_COMMENT && comment.ends_with('.'), "{name}: {length} characters: {comment}");
        }
    }
}

#[test]
fn references_lead_to_columns_that_exist() {
    let catalog = World::empty().syncctl(&["db", "schema", "--json"]).expect(0).json();
    let names = |relation: &Value| {
        let columns = relation["columns"].as_array().expect("columns").clone();
        columns.into_iter().map(|column| column["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let mut count = 0;
    for relation in relations(&catalog) {
        for column in relation["columns"].as_array().expect("columns").iter().filter(|column| column["references"].is_object()) {
            let to = &column["references"];
            let target = relations(&catalog).find(|other| other["name"] == to["table"]).expect("a table");
            let exists = names(target).iter().any(|name| to["column"] == name.as_str());
            assert!(exists, "{}.{} refers to {to}", relation["name"], column["name"]);
            count += 1;
        }
    }
    assert!(count > 60, "only {count} references: has the form of the comments changed?");
    // Each foreign key is also a reference.
    for relation in relations(&catalog) {
        for key in relation["foreign_keys"].as_array().expect("foreign keys").iter().filter_map(Value::as_str) {
            let column = key.split(['(', ')']).nth(1).expect("a column");
            let columns = relation["columns"].as_array().expect("columns");
            let known = columns.iter().any(|own| own["name"] == column && own["references"].is_object());
            assert!(known, "{}: the comment of {column} does not name the column that it refers to", relation["name"]);
        }
    }
}

#[test]
fn comments_move_with_the_tables() {
    let world = World::empty();
    let before = world.syncctl(&["db", "schema"]).expect(0).stdout;
    world.syncctl(&["db", "move-schema", "its own"]).expect(0);
    let mut world = world;
    world.set("SYNCCTL_DB_SCHEMA", "its own");
    assert_eq!(world.syncctl(&["db", "schema"]).expect(0).stdout, before);
}

#[test]
fn a_database_without_tables_names_the_remedy() {
    let mut world = World::unmigrated(crate::support::postgres::shared().database(), String::new());
    world.url = world.database.url();
    assert!(world.syncctl(&["db", "schema"]).expect(78).stderr.contains("run `syncctl db migrate`"));
}
