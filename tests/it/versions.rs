//! Several versions of PostgreSQL on one machine: the private cluster and its clients stay with the version that created it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::ground::{private, start, syncctl};
use crate::support::postgres::Postgres;

/// Server programs that claim to be version 99, and fail at everything else.
const NEWER: &str = "#!/bin/sh
if [ \"$1\" = --version ]; then echo 'postgres (PostgreSQL) 99.1'; else echo \"$0 was run\" >&2; exit 1; fi
";

/// Runs the binary with a newer PostgreSQL first on PATH.
fn run_beside_newer(server: &Postgres, arguments: &[&str]) -> Output {
    let newer = server.folder.join("newer");
    fs::create_dir_all(&newer).expect("a folder");
    for name in ["postgres", "initdb", "pg_ctl", "psql", "pg_dump", "pg_restore"] {
        let program = newer.join(name);
        if !program.exists() {
            fs::write(&program, NEWER).expect("written");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(newer).chain(std::env::split_paths(&path))).expect("a PATH");
    syncctl(server, arguments).env("PATH", path).output().expect("syncctl")
}

#[test]
fn a_newer_version_beside_the_clusters_own_changes_nothing() {
    let server = private();
    start(&server.cluster);
    let backup = server.folder.join("backup");
    let backup = backup.to_str().expect("a path");
    let count = "SELECT count(*) FROM users";
    let steps: [&[&str]; 7] = [
        &["db", "migrate"],
        &["db", "dump", backup],
        &["db", "restore", backup],
        &["db", "psql", "-c", count],
        &["db", "stop"],
        &["db", "start"],
        &["db", "psql", "-c", count],
    ];
    for arguments in steps {
        let output = run_beside_newer(&server, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_backup_that_a_newer_version_wrote_is_refused_with_what_to_do() {
    let server = private();
    start(&server.cluster);
    let backup = server.folder.join("backup");
    let path = backup.to_str().expect("a path");
    assert!(syncctl(&server, &["db", "dump", path]).output().expect("syncctl").status.success());
    // "PGDMP", then the format's version: major, minor, revision.
    let mut bytes = fs::read(&backup).expect("the backup");
    assert_eq!(bytes.get(..6), Some(b"PGDMP\x01".as_slice()));
    bytes[6] = 99;
    fs::write(&backup, bytes).expect("written");
    let refused = syncctl(&server, &["db", "restore", path]).output().expect("syncctl");
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert!(words.contains("a newer PostgreSQL wrote it: restore it into a cluster of that version"), "{words}");
}
