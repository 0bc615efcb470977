//! A reader of changes, as docs/readers.md describes it: it copies all tables into a database of its own, each read in one transaction with its cursor.

use std::collections::BTreeMap;

use postgres::{Client, IsolationLevel, NoTls, Row, Transaction};

use super::postgres::{self as cluster, Database};

/// The tables with the key of a row, as an expression.
pub const TABLES: [(&str, &str); 7] = [
    ("calendar_events", "t.stream_id || '/' || t.event_id"),
    ("meetings", "t.id::text"),
    ("deleted_meetings", "t.id::text"),
    ("gmail_messages", "t.stream_id || '/' || t.message_id"),
    ("drive_files", "t.file_id"),
    ("drive_file_access", "t.stream_id || '/' || t.file_id"),
    ("documents", "t.id::text"),
];

/// A row without what only the sync itself reads.
const ROW: &str = "md5((to_jsonb(t) - '{seen_pass,changed_xid}'::text[])::text)";

/// Where a reader is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    Never,
    /// With the rows, and nothing stored.
    BeforeStoring,
    /// With rows and cursor stored, and not committed.
    BeforeCommit,
    /// After the commit, before it has learnt of it.
    AfterCommit,
}

/// What a read has found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    pub rows: usize,
    /// Rows that an earlier read had stored in the same state.
    pub twice: usize,
}

/// All that survives a reader's process: its database.
pub struct Copy {
    source: String,
    database: Database,
}

impl Copy {
    /// A copy of nothing, of the database behind this URL.
    pub fn of(source: &str) -> Self {
        let database = cluster::shared().database();
        let tables = "CREATE TABLE copied (name text, key text, row text, PRIMARY KEY (name, key));
          CREATE TABLE seen (name text, key text, xid bigint, PRIMARY KEY (name, key, xid));
          CREATE TABLE cursor (cursor text)";
        database.connect().batch_execute(tables).expect("the reader's tables");
        Self { source: source.to_owned(), database }
    }

    fn source(&self) -> Client {
        Client::connect(&self.source, NoTls).unwrap_or_else(|error| panic!("{}: {error}", self.source))
    }

    pub fn cursor(&self) -> Option<String> {
        self.database.connect().query_opt("SELECT cursor FROM cursor", &[]).expect("a cursor").map(|row| row.get(0))
    }

    /// Begins anew, with nothing.
    pub fn forget(&self) {
        self.database.connect().batch_execute("TRUNCATE copied, seen, cursor").expect("forgotten");
    }

    /// Reads what has changed since the last read, and stores it with the next cursor. Asserts that the copy then has every row of the source as it was
    /// at that moment, and no other.
    #[track_caller]
    pub fn read(&self) -> Read {
        self.read_until(Death::Never)
    }

    /// A new process, which reads once and may be killed.
    #[track_caller]
    pub fn read_until(&self, death: Death) -> Read {
        self.try_read(death).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// # Errors
    /// Returns what the database says to the cursor.
    #[track_caller]
    pub fn try_read(&self, death: Death) -> Result<Read, postgres::Error> {
        let (mut source, mut own) = (self.source(), self.database.connect());
        let previous = self.cursor();
        let begun = source.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start();
        let mut tx = begun.expect("a snapshot");
        let next: String = tx.query_one("SELECT changes_cursor($1)", &[&previous])?.get(0);
        let mut stored = own.transaction().expect("a transaction");
        let mut read = Read::default();
        for (name, key) in TABLES {
            let changed = format!("SELECT {key}, changed_xid, {ROW} FROM {name} t WHERE changes_since(changed_xid, $1)");
            let rows = tx.query(&changed, &[&previous])?;
            read.rows += rows.len();
            if death != Death::BeforeStoring {
                read.twice += store(&mut stored, name, &rows);
            }
        }
        let deleted =
            "DELETE FROM copied m USING copied d WHERE m.name = 'meetings' AND d.name = 'deleted_meetings' AND d.key = m.key";
        stored.execute(deleted, &[]).expect("deleted");
        stored.batch_execute("DELETE FROM cursor").expect("the old cursor");
        stored.execute("INSERT INTO cursor VALUES ($1)", &[&next]).expect("the next cursor");
        if death == Death::Never {
            assert_equal(&mut tx, &mut stored);
        }
        if matches!(death, Death::Never | Death::AfterCommit) {
            stored.commit().expect("committed");
        }
        Ok(read)
    }
}

/// Asserts that the copy equals the source's snapshot.
#[track_caller]
fn assert_equal(source: &mut Transaction<'_>, own: &mut Transaction<'_>) {
    for (name, key) in TABLES {
        let texts = |rows: Vec<Row>| rows.iter().map(|row| (row.get(0), row.get(1))).collect::<BTreeMap<String, String>>();
        let there = texts(source.query(&format!("SELECT {key}, {ROW} FROM {name} t"), &[]).expect("the source's rows"));
        let here = texts(own.query("SELECT key, row FROM copied WHERE name = $1", &[&name]).expect("the copy's rows"));
        let stale: Vec<_> = there.iter().filter(|(key, row)| here.get(*key) != Some(row)).take(4).collect();
        let excess: Vec<_> = here.keys().filter(|key| !there.contains_key(*key)).take(4).collect();
        let (rows, copied) = (there.len(), here.len());
        assert!(
            stale.is_empty() && excess.is_empty(),
            "{name}: {rows} rows, {copied} copied; missed {stale:?}, excess {excess:?}"
        );
    }
}

/// Returns how many of the rows had been stored with the same change before.
fn store(tx: &mut Transaction<'_>, name: &str, rows: &[Row]) -> usize {
    let keys: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let xids: Vec<Option<i64>> = rows.iter().map(|row| row.get(1)).collect();
    let hashes: Vec<&str> = rows.iter().map(|row| row.get(2)).collect();
    let seen = "INSERT INTO seen SELECT $1, key, xid FROM unnest($2::text[], $3::bigint[]) AS t (key, xid)
      WHERE xid IS NOT NULL ON CONFLICT DO NOTHING";
    let new = tx.execute(seen, &[&name, &keys, &xids]).expect("noted");
    let copied = "INSERT INTO copied SELECT $1, * FROM unnest($2::text[], $3::text[]) ON CONFLICT (name, key) DO UPDATE SET row = excluded.row";
    tx.execute(copied, &[&name, &keys, &hashes]).expect("copied");
    xids.iter().flatten().count() - usize::try_from(new).expect("a count")
}
