//! Which folder owns which table: only statements of the owner write to a table, and others read a service's tables for listed reasons.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// The owner of shared tables, of the run tables of all services, and of statements whose table is a parameter.
const SHARED: &str = "db/";

/// Each owner, as the beginning of its files' paths under `src`, with its tables. A service owns what it stores.
const OWNERS: [(&str, &str); 5] = [
    (
        SHARED,
        "accounts channels classify_passes classify_queue document_judgements document_projects documents job_locks model_budgets \
         model_usage notifications outbox_deliveries outbox_events outbox_targets pace_prices pace_priors pace_runs pace_user_prices \
         project_corrections project_models projects quarantined_items quota_minutes quota_pauses quota_usage runs streams \
         user_activity users",
    ),
    ("services/attendee/", "attendee_bot_meetings attendee_bots attendee_projects attendee_transcripts attendee_utterances"),
    ("services/calendar/", "calendar_events calendar_instances calendar_windows calendars deleted_meetings meetings"),
    ("services/drive/", "drive_file_access drive_file_watches drive_files drive_permissions drives"),
    ("services/gmail/", "gmail_attachments gmail_contents gmail_detections gmail_labels gmail_mailboxes gmail_messages"),
];

/// How the names of run tables end: they exist once for each service, and some for single jobs.
const RUN_TABLES: [&str; 4] = ["_cron_results", "_cron_metrics", "_cron_summaries", "_renewal_summaries"];

/// Writes to tables of other owners: the beginning of the paths, the tables, the reason.
const WRITES: [(&str, &str, &str); 10] = [
    ("db/erasure.rs", "attendee_bots gmail_detections", "a user is erased in one transaction"),
    ("db/retention.rs", "drive_file_watches", "a file whose text was erased is read again when it comes back"),
    ("services/attendee/", "documents", "`verify` clears the hashes of wrong documents"),
    ("services/drive/", "documents", "the same"),
    ("services/gmail/", "documents", "the same"),
    ("services/attendee/", "meetings", "the columns about its bot are Attendee's part of a meeting"),
    ("services/attendee/", "streams", "a project has a stream, which is due when its next bot is"),
    (
        "services/calendar/",
        "quarantined_items streams",
        "the list of calendars starts and ends streams; near meetings make theirs due",
    ),
    ("services/gmail/", "streams", "a mailbox is due when a message bears a label that is not known"),
    ("services/drive/", "streams", "the list of shared drives starts and ends streams; a new watch makes its stream due"),
];

/// Reads of a service's tables by others.
const READS: [(&str, &str, &str); 9] = [
    ("commands/doctor/work.rs", "calendar_events", "the statement is shown to the operator, and not run"),
    ("db/classify.rs", "calendar_events meetings", "transcripts of one series of meetings are akin"),
    ("db/classify/queue.rs", "gmail_detections gmail_messages", "mails of detected addresses are classified first"),
    ("db/erasure.rs", "attendee_bot_meetings attendee_bots drive_file_access meetings", "what several users share is kept"),
    ("db/", "attendee_projects", "a project is to Attendee what an account is to Google: it has a key, quotas and streams"),
    ("db/notifications.rs", "attendee_bots", "Attendee's notifications name bots"),
    ("db/overview/flow.rs", "attendee_bots calendar_events", "`status` counts bots, and events that were only partly read"),
    ("db/retention.rs", "calendar_events drive_file_watches", "exceptions of living series stay, and watched files"),
    ("services/attendee/", "calendar_events calendars meetings", "bots are for meetings in calendars"),
];

/// A table that is written to.
static WRITE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|TRUNCATE|COPY)\s+(\{?[a-z_]+\b\}?)").expect("a pattern")
});

/// A list of tables that are read, each with or without an alias; the first group is only there in `DELETE FROM`.
static READ: LazyLock<Regex> = LazyLock::new(|| {
    let aliased = r"[a-z_]+(?:\s+(?:AS\s+)?[a-z_]+)?";
    Regex::new(&format!(r"\b(DELETE\s+)?(?:FROM|JOIN|USING)\s+({aliased}(?:\s*,\s*{aliased})*)")).expect("a pattern")
});

/// What a statement does to a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    /// Under `src`.
    file: String,
    /// A name, or a parameter in braces.
    table: String,
    writes: bool,
}

fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(files(&path, endings));
        } else if path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one)) {
            found.push(path);
        }
    }
    found
}

/// The tables that a text writes to and reads. Comments are left out.
fn uses(file: &str, text: &str) -> BTreeSet<Use> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let named = |table: &str, writes| Use { file: file.to_owned(), table: table.to_owned(), writes };
    let written = WRITE.captures_iter(&code).map(|found| named(&found[1], true));
    let lists = READ.captures_iter(&code).filter(|found| found.get(1).is_none()).filter_map(|found| found.get(2));
    let read = lists.flat_map(|list| list.as_str().split(',')).filter_map(|one| one.split_whitespace().next());
    written.chain(read.map(|table| named(table, false))).collect()
}

fn is_run_table(name: &str) -> bool {
    RUN_TABLES.iter().any(|ending| name.ends_with(ending))
}

/// The owner of a table; None for names that are no tables, like those of a `WITH`.
fn owner(table: &str) -> Option<&'static str> {
    let is_shared = table.starts_with('{') || is_run_table(table);
    let own = OWNERS.iter().find(|(_, tables)| tables.split(' ').any(|one| one == table)).map(|(owner, _)| *owner);
    own.or(is_shared.then_some(SHARED))
}

/// Uses of tables of other owners, which need a reason.
fn foreign(uses: BTreeSet<Use>) -> BTreeSet<Use> {
    let is_foreign =
        |one: &Use| owner(&one.table).is_some_and(|owner| !one.file.starts_with(owner) && (one.writes || owner != SHARED));
    uses.into_iter().filter(is_foreign).collect()
}

/// Whether an entry of `WRITES` or `READS` is the reason for a use.
fn allows((file, tables, _): &(&str, &str, &str), one: &Use, table: &str) -> bool {
    one.file.starts_with(file) && one.table == table && tables.split(' ').any(|name| name == table)
}

fn uses_in_src() -> BTreeSet<Use> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let file = path.strip_prefix(&src).expect("a path under src").display().to_string();
        uses(&file, &fs::read_to_string(&path).expect("a source file"))
    };
    files(&src, &["rs", "sql"]).into_iter().flat_map(read).collect()
}

#[test]
fn only_the_owner_of_a_table_writes_to_it_and_reads_of_a_service_have_reasons() {
    let uses = foreign(uses_in_src());
    let reasons = |writes: bool| if writes { WRITES.as_slice() } else { READS.as_slice() };
    let without: Vec<&Use> =
        uses.iter().filter(|one| !reasons(one.writes).iter().any(|reason| allows(reason, one, &one.table))).collect();
    assert!(without.is_empty(), "move the statement to the table's owner, or give a reason in WRITES or READS: {without:#?}");
    for writes in [true, false] {
        for reason in reasons(writes) {
            for table in reason.1.split(' ') {
                let is_needed = uses.iter().any(|one| one.writes == writes && allows(reason, one, table));
                assert!(is_needed, "no statement of {} needs its reason for {table}: remove it", reason.0);
            }
        }
    }
}

#[test]
fn every_table_of_the_migrations_has_one_owner() {
    let create = Regex::new(r"CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)").expect("a pattern");
    let migrations = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/migrations"), &["sql"]);
    let text: String = migrations.iter().map(|path| fs::read_to_string(path).expect("a migration")).collect();
    let created: BTreeSet<&str> =
        create.captures_iter(&text).filter_map(|found| found.get(1)).map(|name| name.as_str()).collect();
    let mut owned: Vec<&str> = OWNERS.iter().flat_map(|(_, tables)| tables.split(' ')).collect();
    owned.sort_unstable();
    let to_own: Vec<&str> = created.into_iter().filter(|table| !is_run_table(table)).collect();
    assert_eq!(owned, to_own);
}

/// Tables whose rows have the id of the transaction that changed them last.
const FOR_READERS: &str = "calendar_events|meetings|gmail_messages|drive_files|drive_file_access|documents";

/// Statements of a text that change rows of these tables and do not set `changed_xid`.
fn silent(text: &str) -> Vec<String> {
    static CHANGE: LazyLock<Regex> = LazyLock::new(|| {
        let update = format!(r"\bUPDATE\s+(?:{FOR_READERS})\s+(?:[a-z]\s+)?SET\b");
        let upsert = format!(r"\bINSERT INTO\s+(?:{FOR_READERS})\b[^;]*?\bDO UPDATE SET\b");
        Regex::new(&format!("(?:{update}|{upsert})")).expect("a pattern")
    });
    let assigned = |end: usize| {
        let rest = &text[end..];
        let until = ["\"", "WHERE", "RETURNING"].iter().filter_map(|word| rest.find(word)).min().unwrap_or(rest.len());
        rest[..until].trim().to_owned()
    };
    // The stamp of a full pass is no change.
    let is_stamp = |set: &str| set.starts_with("seen_pass = ") && set.matches(" = ").count() == 1;
    let is_silent = |set: &String| !set.contains("changed_xid") && !is_stamp(set);
    CHANGE.find_iter(text).map(|found| assigned(found.end())).filter(is_silent).collect()
}

#[test]
fn statements_that_change_rows_for_readers_set_their_changed_xid() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let silent: Vec<(PathBuf, Vec<String>)> = files(&src, &["rs", "sql"])
        .into_iter()
        .map(|path| (path.clone(), silent(&fs::read_to_string(path).expect("a source file"))))
        .filter(|(_, silent)| !silent.is_empty())
        .collect();
    assert!(silent.is_empty(), "add `changed_xid = DEFAULT`, or `= excluded.changed_xid` where it applies: {silent:#?}");
}

#[test]
fn a_statement_that_changes_rows_silently_is_seen() {
    assert_eq!(silent("UPDATE documents d SET title = 'x' WHERE id = 1").len(), 1);
    assert_eq!(
        silent("INSERT INTO meetings AS m (id) SELECT 1\n ON CONFLICT (id) DO UPDATE SET title = excluded.title\n WHERE true")
            .len(),
        1
    );
    assert_eq!(silent("UPDATE documents SET title = 'x', changed_xid = DEFAULT WHERE id = 1").len(), 0);
    assert_eq!(silent("UPDATE drive_file_access SET seen_pass = $2 WHERE stream_id = $1").len(), 0);
    assert_eq!(silent("INSERT INTO documents (id) VALUES (1) ON CONFLICT DO NOTHING").len(), 0);
}

#[test]
fn a_statement_on_a_table_of_another_owner_is_seen() {
    let seen = |file: &str, text: &str| -> Vec<(String, bool)> {
        foreign(uses(file, text)).into_iter().map(|one| (one.table, one.writes)).collect()
    };
    let wrote = |table: &str| vec![(table.to_owned(), true)];
    assert_eq!(seen("services/gmail/store.rs", "\"UPDATE streams s\n SET due_at = now()\""), wrote("streams"));
    assert_eq!(seen("services/gmail/sql/x.sql", "WITH gone AS (DELETE FROM\n  drive_files f) SELECT"), wrote("drive_files"));
    assert_eq!(seen("engine/poll.rs", "\"INSERT INTO gmail_cron_results (status)\""), wrote("gmail_cron_results"));
    assert_eq!(seen("services/drive/files.rs", "format!(\"DELETE FROM {table}\")"), wrote("{table}"));
    assert_eq!(
        seen("services/drive/files.rs", "\"SELECT 1 FROM drive_files f, meetings m JOIN calendars c USING (user_id)\""),
        [("calendars".to_owned(), false), ("meetings".to_owned(), false)]
    );
    for own in
        ["\"INSERT INTO gmail_messages\"", "// UPDATE streams", "\"SELECT FROM streams FOR UPDATE OF s\"", "\"DO UPDATE SET x\""]
    {
        assert_eq!(seen("services/gmail/store.rs", own), []);
    }
}
