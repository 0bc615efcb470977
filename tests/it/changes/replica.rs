//! Readers on a streaming replica, whose snapshots do not list the transactions that are under way.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

use super::{NONE, message};
use crate::ground::{start, syncctl};
use crate::support::postgres::Postgres;
use crate::support::reader::{Copy, Death};
use crate::support::waiting::until;

const CONFIG: [&str; 3] = ["wal_level = replica", "max_wal_senders = 4", "hot_standby = on"];

fn give(path: &Path, owner: u32) {
    lchown(path, Some(owner), Some(owner)).expect("an owner");
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).expect("a folder") {
            give(&entry.expect("an entry").path(), owner);
        }
    }
}

/// A running replica of a running server.
fn replica_of(primary: &Postgres) -> Postgres {
    let replica = Postgres::new(None, &CONFIG);
    let (from, to) = (primary.folder.join("postgres"), replica.folder.join("postgres"));
    fs::create_dir(&to).expect("a folder");
    fs::write(to.join("start.lock"), "").expect("the mark of a cluster");
    let data = to.join("data");
    let copied = primary.cluster.client("pg_basebackup", ["--checkpoint=fast", "--write-recovery-conf", "--pgdata"]);
    let copied = copied.expect("the server exists").arg(&data).output().expect("pg_basebackup");
    assert!(copied.status.success(), "{copied:?}");
    give(&to, fs::metadata(&from).expect("the primary's folder").uid());
    fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).expect("a mode");
    start(&replica.cluster);
    replica
}

#[test]
fn a_replica_returns_a_row_once_the_transactions_before_it_have_ended() {
    let primary = Postgres::new(None, &CONFIG);
    start(&primary.cluster);
    let ran = syncctl(&primary, &["db", "migrate"]).output().expect("syncctl");
    assert!(ran.status.success(), "{ran:?}");
    let replica = replica_of(&primary);
    let copy = Copy::of(&replica.url("syncctl"));
    assert_eq!(copy.read(), NONE);
    let messages = |count: i64| {
        let mut client = replica.connect("syncctl");
        let shown = "SELECT count(*) FROM gmail_messages";
        until("the replica has caught up", || client.query_one(shown, &[]).expect("a count").get::<_, i64>(0) == count);
    };
    let (mut earlier, mut later) = (primary.connect("syncctl"), primary.connect("syncctl"));
    earlier.batch_execute(&format!("BEGIN; {}", message(1))).expect("a row");
    later.batch_execute(&message(2)).expect("a row");
    messages(1);
    // Not yet: the cursor could not say that the row of the other transaction is still missing.
    assert_eq!(copy.read_until(Death::AfterCommit), NONE);
    earlier.batch_execute("COMMIT").expect("committed");
    messages(2);
    let read = copy.read();
    assert_eq!((read.rows, read.twice), (2, 0));
    // The primary accepts the replica's cursor.
    let cursor = copy.cursor().expect("a cursor");
    let next = later.query_one("SELECT changes_cursor($1)", &[&cursor]).expect("the next cursor").get::<_, String>(0);
    assert_eq!(next.split('/').next(), cursor.split('/').next());
}
