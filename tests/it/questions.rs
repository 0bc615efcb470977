//! `docs/questions.md`: each of its queries answers what the simulator does, and reads no large table through for the data of one user.

mod bots;
mod calendar;
mod changes;
mod files;
mod mail;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::agenda::ZONE;
use crate::support::World;
use crate::support::page::{blocks, questions};

pub const ANN: &str = "user00000@example.com";
pub const BOB: &str = "user00001@example.com";
pub const EVE: &str = "user00002@example.com";
/// The people of the page, and who plays them. Every other example that differs is replaced by the test that asks.
const PEOPLE: [(&str, &str); 3] = [("ann@example.com", ANN), ("bob@example.com", BOB), ("eve@example.com", EVE)];

/// Tables that grow with users and time.
const LARGE: [&str; 11] = [
    "attendee_bot_meetings",
    "attendee_bots",
    "attendee_transcripts",
    "calendar_events",
    "calendar_instances",
    "documents",
    "drive_file_access",
    "drive_files",
    "drive_permissions",
    "gmail_messages",
    "meetings",
];

/// A question of the page.
pub struct Question {
    sql: String,
}

pub struct Answer {
    /// The time at which it was asked, which the query calls `now()`.
    pub now: DateTime<Utc>,
    /// Rows by the names of their columns.
    pub rows: Vec<Value>,
    /// Large tables for which PostgreSQL has no better way than to read them through.
    pub scanned: Vec<String>,
}

impl Question {
    /// The question with this heading.
    #[track_caller]
    pub fn of(heading: &str) -> Self {
        let found = questions().into_iter().find(|(own, _)| *own == heading);
        let (_, sql) = found.unwrap_or_else(|| panic!("{heading} is not on the page"));
        let sql = PEOPLE.iter().fold(sql.to_owned(), |sql, (example, user)| sql.replace(example, user));
        Self { sql: sql.trim_end().trim_end_matches(';').to_owned() }
    }

    /// The same about another value than the page's example.
    #[track_caller]
    pub fn with(self, example: &str, value: &str) -> Self {
        assert!(self.sql.contains(example), "{example} is not in {}", self.sql);
        Self { sql: self.sql.replace(example, value) }
    }

    /// Asks it in a session whose time zone is `ZONE`.
    #[track_caller]
    pub fn ask(&self, world: &World) -> Answer {
        let sql = &self.sql;
        let mut client = world.database.connect();
        let mut tx = client.transaction().expect("a transaction");
        tx.batch_execute(&format!("SET LOCAL timezone = '{}'", ZONE.name())).expect("a time zone");
        let now = tx.query_one("SELECT now()", &[]).expect("a time").get(0);
        let rows = tx.query(&format!("SELECT to_jsonb(answer) FROM ({sql}) AS answer"), &[]);
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        // As for millions of rows of many users: lookups row by row, if there are indexes for them. The transaction is rolled back.
        let large = format!(
            "DELETE FROM pg_statistic;
             UPDATE pg_class SET relpages = 1, reltuples = 1000000 WHERE relkind = 'r' AND relname IN ('{}');
             SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off",
            LARGE.join("', '")
        );
        tx.batch_execute(&large).expect("settings of the planner");
        let plan: Value = tx.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).expect("a plan").get(0);
        let mut scanned = BTreeSet::new();
        scans(&plan[0]["Plan"], &mut scanned);
        Answer { now, rows: rows.iter().map(|row| row.get(0)).collect(), scanned: scanned.into_iter().collect() }
    }
}

/// Adds the large tables that a plan reads through.
fn scans(plan: &Value, found: &mut BTreeSet<String>) {
    if let Some(table) = plan["Relation Name"].as_str().filter(|table| LARGE.contains(table)) {
        let kind = plan["Node Type"].as_str().unwrap_or_default();
        if kind == "Seq Scan" || (kind.starts_with("Index") && plan["Index Cond"].is_null()) {
            found.insert(table.to_owned());
        }
    }
    plan["Plans"].as_array().into_iter().flatten().for_each(|inner| scans(inner, found));
}

/// A time in a row.
pub fn time(row: &Value, column: &str) -> DateTime<Utc> {
    let text = row[column].as_str().unwrap_or_else(|| panic!("{column} in {row}"));
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A text in a row; empty for NULL.
pub fn text(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap_or_default().to_owned()
}

/// An array of texts in a row, as a set; empty for NULL.
pub fn set(row: &Value, column: &str) -> BTreeSet<String> {
    row[column].as_array().into_iter().flatten().filter_map(|text| text.as_str()).map(str::to_owned).collect()
}

#[test]
fn every_question_of_the_page_has_a_test() {
    let tests = [
        include_str!("questions/bots.rs"),
        include_str!("questions/calendar.rs"),
        include_str!("questions/changes.rs"),
        include_str!("questions/files.rs"),
        include_str!("questions/mail.rs"),
        include_str!("drive_permissions.rs"),
    ]
    .concat();
    let questions = questions();
    assert_eq!(questions.len(), 12, "{questions:#?}");
    for (heading, _) in questions {
        assert!(tests.contains(&format!("Question::of({heading:?})")), "{heading}: no test asks it");
    }
}

#[test]
fn the_other_queries_of_the_pages_run() {
    let world = World::empty();
    let data = blocks(include_str!("../../docs/data.md"));
    assert!(!data.is_empty(), "the page has changed");
    data.iter().for_each(|sql| world.execute(sql));
}
