//! Failures of a run's host in the middle of a page's transaction, for the recovery table.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::arena::Arena;
use crate::blows::Blow;

pub const ALL: [Blow; 3] = [
    ("a run is killed in a transaction", |arena, _| strike(arena, |pid| signal(pid, Signal::KILL)), 0),
    ("a run is suspended in a transaction", |arena, _| strike(arena, |pid| suspend(arena, pid)), 0),
    ("a host dies in a transaction", |arena, _| strike(arena, |pid| arena.keep_suspended(pid)), 0),
];

/// Makes a page of events wait for a lock between its rows.
const WAIT: &str = "CREATE FUNCTION chaos_wait() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock_shared(17); RETURN NULL; END $$;
    CREATE TRIGGER chaos_wait AFTER INSERT OR UPDATE ON calendar_events FOR EACH ROW EXECUTE FUNCTION chaos_wait()";

/// Strikes the next run that writes events, inside its transaction: it waits there for a lock that this test holds.
fn strike(arena: &Arena, deed: impl FnOnce(Pid)) {
    arena.sync.execute(WAIT);
    let mut client = arena.sync.database.connect();
    let mut tx = client.transaction().expect("a transaction");
    tx.batch_execute("SELECT pg_advisory_xact_lock(17)").expect("a lock");
    let waiting = "SELECT pid FROM runs WHERE service = 'calendar' AND status = 'running'
          AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 17 AND NOT granted)
        ORDER BY started_at DESC LIMIT 1";
    let pid = loop {
        if arena.is_over() {
            return;
        }
        let row = tx.query_opt(waiting, &[]).expect("the runs");
        if let Some(pid) = row.and_then(|row| Pid::from_raw(row.get(0))) {
            break pid;
        }
        arena.pause(Duration::from_millis(20));
    };
    signal(pid, Signal::STOP);
    // It now gets the lock it waited for, and does nothing more.
    tx.rollback().expect("giving the lock back");
    deed(pid);
}

/// For the duration of a blow.
fn suspend(arena: &Arena, pid: Pid) {
    arena.pause(arena.blow.unwrap_or_default());
    signal(pid, Signal::CONT);
}

/// The process may just have ended.
pub fn signal(pid: Pid, signal: Signal) {
    let _ = rustix::process::kill_process(pid, signal);
}
