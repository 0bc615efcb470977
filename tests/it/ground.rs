//! The private cluster through starts, kills and leftovers; connections are in `ground/connections.rs`.

mod backups;
mod connections;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use syncctl::db::embedded::Cluster;
use syncctl::error::{Exit, Fault};

use crate::support::postgres::Postgres;

/// A cluster that does not exist yet.
pub fn private() -> Postgres {
    Postgres::new(None, &[])
}

#[track_caller]
pub fn start(cluster: &Cluster) -> i32 {
    cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
    let status = cluster.status().expect("a status");
    assert!(status.running, "{status}");
    status.pid.expect("a process")
}

/// Kills the server, and waits until its port is closed.
fn kill(server: &Postgres) {
    let pid = server.cluster.status().expect("a status").pid.expect("a server");
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("killed");
    let socket = server.socket_dir().join(".s.PGSQL.5432");
    while UnixStream::connect(&socket).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn a_cluster_is_made_and_started_once_by_many_at_once() {
    let server = private();
    let pids: HashSet<i32> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| start(&server.cluster))).collect();
        starts.into_iter().map(|start| start.join().expect("started")).collect()
    });
    assert_eq!(pids.len(), 1, "{pids:?}");
    assert_eq!(HashSet::from([start(&server.cluster)]), pids);
    let encoding: String = server.connect("syncctl").query_one("SHOW server_encoding", &[]).expect("a row").get(0);
    assert_eq!(encoding, "UTF8");
    assert_eq!(fs::metadata(server.folder.join("postgres")).expect("the folder").mode() & 0o777, 0o700);
}

#[test]
fn a_stopped_cluster_is_reported_and_keeps_its_rows() {
    let server = private();
    assert_eq!(server.cluster.status().expect("a status").version, None);
    server.cluster.stop().expect("nothing to stop");
    let pid = start(&server.cluster);
    server.connect("syncctl").batch_execute("CREATE TABLE public.kept AS SELECT 7 AS number").expect("a table");
    server.cluster.stop().expect("stopped");
    server.cluster.stop().expect("stopped already");
    let status = server.cluster.status().expect("a status");
    assert!(!status.running && status.pid.is_none() && status.version.is_some(), "{status}");
    assert_ne!(start(&server.cluster), pid);
    let number: i32 = server.connect("syncctl").query_one("SELECT number FROM public.kept", &[]).expect("a row").get(0);
    assert_eq!(number, 7);
}

/// Like a process that waits for a disk or a file server that is gone.
#[test]
fn a_server_that_hangs_is_stopped_anyway_with_a_message() {
    let server = Postgres::new(None, &["synchronous_commit = on"]);
    start(&server.cluster);
    let mut client = server.connect("syncctl");
    client.batch_execute("CREATE TABLE public.kept AS SELECT 7 AS number").expect("a table");
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).expect("a pid").get(0);
    let hanging = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(hanging, rustix::process::Signal::STOP).expect("a signal");
    let began = std::time::Instant::now();
    let stopped = syncctl(&server, &["db", "stop"]).output().expect("syncctl");
    let said = String::from_utf8_lossy(&stopped.stdout);
    assert!(
        stopped.status.success() && said.contains("did not stop within 20 s") && said.contains("immediate mode"),
        "{stopped:?}"
    );
    assert!(began.elapsed().as_secs() < 120, "{:?}", began.elapsed());
    assert!(!server.cluster.status().expect("a status").running);
    start(&server.cluster);
    let number: i32 = server.connect("syncctl").query_one("SELECT number FROM public.kept", &[]).expect("a row").get(0);
    assert_eq!(number, 7);
}

#[test]
fn a_killed_server_is_started_again_with_what_it_had_committed() {
    let server = Postgres::new(None, &["synchronous_commit = on"]);
    let pid = start(&server.cluster);
    let mut client = server.connect("syncctl");
    client.batch_execute("CREATE TABLE public.kept AS SELECT 7 AS number").expect("a table");
    kill(&server);
    assert_ne!(start(&server.cluster), pid);
    let number: i32 = server.connect("syncctl").query_one("SELECT number FROM public.kept", &[]).expect("a row").get(0);
    assert_eq!(number, 7);
}

#[test]
fn pid_files_that_name_another_program_or_nothing_are_cleared() {
    let server = private();
    let pid = start(&server.cluster);
    let folder = server.folder.join("postgres");
    let pid_file = folder.join("data/postmaster.pid");
    let owner = fs::metadata(&pid_file).expect("the pid file");
    kill(&server);
    // PostgreSQL accepts any living process of the same user.
    let mut other = Command::new("cat");
    other.stdin(Stdio::piped()).stdout(Stdio::null());
    if rustix::process::geteuid().is_root() {
        other.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = other.spawn().expect("cat");
    let text = fs::read_to_string(&pid_file).expect("the pid file");
    let reused = text.replacen(&pid.to_string(), &other.id().to_string(), 1);
    fs::write(&pid_file, reused).expect("written");
    fs::write(folder.join("run/.s.PGSQL.5432.lock"), format!("{}\n", other.id())).expect("written");
    start(&server.cluster);
    assert!(other.try_wait().expect("a child").is_none(), "the other program was harmed");
    drop(other.stdin.take());
    other.wait().expect("it ends");

    // The files that a power failure leaves.
    kill(&server);
    fs::write(&pid_file, "").expect("written");
    start(&server.cluster);
}

#[test]
fn a_half_made_cluster_is_created_from_scratch() {
    let server = private();
    let data_dir = server.folder.join("postgres");
    let mut first = syncctl(&server, &["db", "start"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("syncctl");
    let unfinished = || {
        let mut entries = fs::read_dir(&data_dir).into_iter().flatten().flatten();
        entries.any(|entry| entry.path().join("PG_VERSION").is_file())
    };
    while !unfinished() {
        assert!(first.try_wait().expect("a child").is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    first.kill().expect("killed");
    first.wait().expect("it ends");
    start(&server.cluster);
    server.connect("syncctl").batch_execute("SELECT 1").expect("an answer");
}

#[test]
fn the_server_keeps_nothing_of_its_caller_open() {
    let server = private();
    // If the server had the pipe open, directly or as descriptor 9, this would wait for the server's end.
    let mut shell = syncctl(&server, &[]);
    let binary = shell.get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" db start 9>&1"]).arg(binary).stdin(Stdio::null());
    command.envs(shell.env("RUST_BACKTRACE", "1").get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("a shell");
    assert!(output.status.success(), "{output:?}");
    assert!(server.cluster.status().expect("a status").running);
}

/// The binary, with a private cluster of this server's folder.
pub fn syncctl(server: &Postgres, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncctl"));
    command.args(arguments).env_remove("DATABASE_URL").env("HOME", &server.folder);
    command.env("SYNCCTL_DB_DATA_DIR", server.folder.join("postgres")).stdin(Stdio::null());
    command
}

#[test]
fn a_backup_brings_everything_back_and_a_broken_one_changes_nothing() {
    let server = private();
    let run = |arguments: &[&str]| syncctl(&server, arguments).output().expect("syncctl");
    let code = |arguments: &[&str]| run(arguments).status.code();
    start(&server.cluster);
    assert_eq!(code(&["db", "migrate"]), Some(0));
    let name_users = |name: &str| {
        let users = format!(
            "DELETE FROM users; INSERT INTO users (email) SELECT '{name}' || n || '@example.com' FROM generate_series(1, 50) n"
        );
        server.connect("syncctl").batch_execute(&users).expect("users");
    };
    let names = |database: &str| -> String {
        let first = "SELECT min(email) || ' of ' || count(*) FROM users";
        server.connect(database).query_one(first, &[]).expect("a row").get(0)
    };
    name_users("ann");
    let backup = server.folder.join("backup");
    let path = backup.to_str().expect("a path");
    assert_eq!(code(&["db", "dump", path]), Some(0));
    assert_eq!(fs::metadata(&backup).expect("the backup").mode() & 0o777, 0o600);
    assert_eq!(code(&["db", "dump", path]), Some(2), "a backup is not written over");

    name_users("bob");
    assert_eq!(code(&["db", "restore", path]), Some(2), "users are not replaced unasked");
    let half = server.folder.join("half");
    let content = fs::read(&backup).expect("the backup");
    fs::write(&half, &content[..content.len() / 2]).expect("written");
    assert_eq!(code(&["db", "restore", "--replace", half.to_str().expect("a path")]), Some(1));
    {
        let _connected = server.connect("syncctl");
        let refused = run(&["db", "restore", "--replace", path]);
        assert_eq!(refused.status.code(), Some(69));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("stop the jobs"), "{refused:?}");
    }
    assert_eq!(names("syncctl"), "bob10@example.com of 50");

    assert_eq!(code(&["db", "restore", "--replace", path]), Some(0));
    assert_eq!(names("syncctl"), "ann10@example.com of 50");
    assert_eq!(names("syncctl_before"), "bob10@example.com of 50");
    let databases = "SELECT count(*) FROM pg_database WHERE datname LIKE 'syncctl%'";
    assert_eq!(server.connect("postgres").query_one(databases, &[]).expect("a row").get::<_, i64>(0), 2);
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let theses = folder.path().join("theses");
    fs::create_dir(&theses).expect("a folder");
    fs::write(theses.join("thesis.txt"), "chapter 1").expect("written");
    let before = fs::metadata(&theses).expect("the folder");
    let error = Cluster::at(&theses).ensure_running().expect_err("not a cluster");
    assert_eq!(error.downcast_ref::<Fault>().map(|fault| fault.exit), Some(Exit::Settings), "{error:#}");
    assert!(format!("{error:#}").contains("it contains other files and no private cluster"), "{error:#}");
    assert_eq!(fs::read_dir(&theses).expect("the folder").count(), 1);
    let after = fs::metadata(&theses).expect("the folder");
    assert_eq!((after.uid(), after.mode()), (before.uid(), before.mode()));
}
