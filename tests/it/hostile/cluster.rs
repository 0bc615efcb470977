//! Root's private cluster and the account that runs its server, which may put anything into its folder: root must not be misled by it.
//! Without root, these tests have no second account, and check the remaining cases.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::local::{binary_for_all, is_root, nobody};
use crate::ground::{private, start, syncctl};
use crate::support::postgres::Postgres;

/// Entries with their owners and sizes.
fn listed(folder: &Path) -> Vec<(String, u32, u64)> {
    let entry = |entry: fs::DirEntry| {
        let metadata = entry.metadata().expect("an entry");
        (entry.file_name().to_string_lossy().into_owned(), metadata.uid(), metadata.len())
    };
    let mut entries: Vec<_> = fs::read_dir(folder).expect("the folder").map(|found| entry(found.expect("an entry"))).collect();
    entries.sort();
    entries
}

fn run_syncctl(server: &Postgres, arguments: &[&str]) -> Output {
    syncctl(server, arguments).output().expect("syncctl")
}

/// A cluster that was created and stopped, with its folder and a neighbouring folder that only root may enter.
fn stopped() -> (Postgres, PathBuf, PathBuf) {
    let server = private();
    start(&server.cluster);
    server.cluster.stop().expect("stopped");
    let (folder, secrets) = (server.folder.join("postgres"), server.folder.join("secrets"));
    fs::create_dir(&secrets).expect("a folder");
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o700)).expect("a mode");
    (server, folder, secrets)
}

/// Replaces something in the cluster's folder with a link, as its owner could.
fn link(target: &Path, in_place_of: &Path) {
    let owner = fs::symlink_metadata(in_place_of).expect("it").uid();
    fs::rename(in_place_of, in_place_of.with_extension("aside")).expect("moved aside");
    symlink(target, in_place_of).expect("a link");
    lchown(in_place_of, Some(owner), None).expect("its owner");
}

#[test]
fn a_link_in_the_place_of_the_data_has_root_write_and_delete_nothing() {
    let (server, folder, secrets) = stopped();
    fs::copy(folder.join("data/PG_VERSION"), secrets.join("PG_VERSION")).expect("a version");
    fs::write(secrets.join("postmaster.pid"), "").expect("a file that looks stale");
    let before = listed(&secrets);
    link(&secrets, &folder.join("data"));
    if is_root() {
        assert!(!run_syncctl(&server, &["db", "start"]).status.success());
        assert_eq!(listed(&secrets), before);
        let status = run_syncctl(&server, &["db", "status"]);
        assert!(String::from_utf8_lossy(&status.stdout).contains("not created yet"), "{status:?}");
    }
}

#[test]
fn a_link_in_the_place_of_the_lock_gives_nothing_away_however_it_is_timed() {
    let (server, folder, secrets) = stopped();
    let (lock, link, secret) = (folder.join("start.lock"), folder.join("link"), secrets.join("key"));
    fs::write(&secret, "root's alone").expect("a file");
    symlink(&secret, &link).expect("a link");
    let before = listed(&secrets);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                renameat_with(CWD, &lock, CWD, &link, RenameFlags::EXCHANGE).expect("exchanged");
            }
        });
        for _ in 0..40 {
            run_syncctl(&server, &["db", "stop"]);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(listed(&secrets), before);
}

#[test]
fn a_pid_file_has_root_end_no_process_that_its_owner_could_not_end() {
    let (server, folder, _) = stopped();
    // For example, root's own shell with this working directory.
    let data = folder.join("data");
    let mut shell = Command::new("cat").current_dir(&data).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat");
    let pid_file = data.join("postmaster.pid");
    fs::write(&pid_file, format!("{}\n{}\n1\n5432\n/run\n\n 1 1\nready   \n", shell.id(), data.display())).expect("written");
    let owner = fs::metadata(&data).expect("the folder").uid();
    chown(&pid_file, Some(owner), None).expect("its owner");
    if is_root() {
        assert!(run_syncctl(&server, &["db", "stop"]).status.success());
        assert!(shell.try_wait().expect("a child").is_none(), "it was ended");
    }
    drop(shell.stdin.take());
    shell.wait().expect("it ends");
}

#[test]
fn a_folder_that_another_user_made_or_could_have_made_is_refused() {
    let server = private();
    let at = |name: &str| server.folder.join(name);
    let folder = |name: &str, mode: u32, owner: u32| {
        fs::create_dir(at(name)).expect("a folder");
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("a mode");
        chown(at(name), Some(owner), Some(owner)).expect("an owner");
    };
    if !is_root() {
        return;
    }
    folder("theirs", 0o755, nobody());
    folder("shared", 0o1777, 0);
    folder("shared/theirs", 0o700, nobody());
    folder("open", 0o777, 0);
    folder("good", 0o755, 0);
    symlink(at("good"), at("shared/link")).expect("a link");
    lchown(at("shared/link"), Some(nobody()), None).expect("an owner");
    let refused = |command: &mut Command, path: &str| {
        let refused = command.env("SYNCCTL_DB_DATA_DIR", at(path)).output().expect("syncctl");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{path}: {refused:?}");
        assert!(said.contains("another user") && said.contains("private cluster"), "{path}: {said}");
    };
    for path in ["theirs/postgres", "shared/theirs", "shared/postgres", "open/postgres", "shared/link/postgres"] {
        for verb in ["start", "status"] {
            refused(&mut syncctl(&server, &["db", verb]), path);
        }
    }
    // An ordinary user gets no further.
    let mut ordinary = Command::new(binary_for_all(&server.folder));
    refused(ordinary.args(["db", "start"]).env_clear().uid(nobody()), "open/postgres");
    for empty in ["theirs", "shared/theirs", "open", "good"] {
        assert_eq!(listed(&at(empty)), [], "{empty}");
    }
}

#[test]
fn a_private_database_that_is_made_by_default_is_reported_once() {
    let server = private();
    let start = || {
        let started =
            syncctl(&server, &["db", "start"]).env("DATABSE_URL", "postgres://db.example.org/d").output().expect("syncctl");
        assert!(started.status.success(), "{started:?}");
        String::from_utf8_lossy(&started.stderr).into_owned()
    };
    let said = start();
    let folder = server.folder.join("postgres").display().to_string();
    assert!(said.starts_with("syncctl: no database is set in db.url or DATABASE_URL") && said.contains(&folder), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(start(), "");
}
