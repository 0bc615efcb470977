//! Other accounts of the same machine: what they could plant where root reads and writes, and what they could read.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::World;
use crate::support::receiver::Receiver;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The ID of the attacking account. Only root can act as it.
pub fn nobody() -> u32 {
    let output = Command::new("id").args(["-u", "nobody"]).output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("an id")
}

/// The binary in a place where every account may run it.
pub fn binary_for_all(folder: &Path) -> PathBuf {
    let (built, binary) = (Path::new(env!("CARGO_BIN_EXE_syncctl")), folder.join("syncctl"));
    let is_ours = fs::metadata(built).expect("the binary").uid() == rustix::process::geteuid().as_raw();
    if !is_ours || fs::hard_link(built, &binary).is_err() {
        fs::copy(built, &binary).expect("a copy");
    }
    binary
}

/// A folder of the other account, below one of root's.
fn theirs(world: &World) -> PathBuf {
    fs::set_permissions(world.folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let folder = world.folder.path().join("theirs");
    fs::create_dir(&folder).expect("a folder");
    chown(&folder, Some(nobody()), Some(nobody())).expect("an owner");
    folder
}

fn their_link(target: &Path, link: &Path) {
    symlink(target, link).expect("a link");
    lchown(link, Some(nobody()), None).expect("an owner");
}

#[test]
fn a_link_that_another_user_put_there_leads_no_file_anywhere() {
    if !is_root() {
        return;
    }
    let world = World::with_users(1, 1);
    let folder = theirs(&world);
    let secrets = world.folder.path().join("secrets");
    fs::create_dir(&secrets).expect("a folder");
    let secret = secrets.join("shadow");
    fs::write(&secret, "root's alone").expect("a file");
    their_link(&secret, &folder.join("syncctl.prom"));
    their_link(&secrets, &folder.join("pages"));
    // In a sticky folder only its owner could replace a link, and the owner made this one.
    let shared = world.folder.path().join("shared");
    fs::create_dir(&shared).expect("a folder");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).expect("a mode");
    their_link(&secret, &shared.join("report.html"));
    // Root's own link, which they could replace at any moment.
    symlink(&secret, folder.join("ours.prom")).expect("a link");
    for (command, path) in [
        (["metrics", "--textfile"], folder.join("syncctl.prom")),
        (["metrics", "--textfile"], folder.join("ours.prom")),
        (["report", "--html"], folder.join("pages/report.html")),
        (["report", "--html"], shared.join("report.html")),
    ] {
        let refused = world.syncctl(&[command[0], command[1], path.to_str().expect("a path")]).expect(1);
        assert!(refused.stderr.contains("is not followed: another user"), "{refused:?}");
    }
    assert_eq!(fs::read_to_string(&secret).expect("the file"), "root's alone");
    assert_eq!(fs::read_dir(&secrets).expect("the folder").count(), 1);
    // A folder of another account is allowed, and a link of root's own is followed.
    let ours = world.folder.path().join("ours");
    symlink(&folder, &ours).expect("a link");
    world.syncctl(&["metrics", "--textfile", ours.join("good.prom").to_str().expect("a path")]).expect(0);
    assert!(folder.join("good.prom").is_file());
}

#[test]
fn keys_of_another_user_or_that_others_may_read_are_refused() {
    let mut world = World::with_users(1, 1);
    let (keys, accounts) = (world.folder.path().join("seal.keys"), world.sim.text("accounts"));
    let before = fs::read(&keys).expect("keys");
    let refused = |world: &World, why: &str| {
        for arguments in [&["accounts", "import", "-"][..], &["accounts", "rekey", "--new-key"], &["calendar", "cron", "--force"]]
        {
            let refused = world.syncctl_with_input(arguments, &accounts).expect(78);
            assert!(refused.stderr.contains("seal.key") && refused.stderr.contains(why), "{arguments:?}: {refused:?}");
        }
        assert_eq!(fs::read(&keys).expect("keys"), before);
    };
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).expect("a mode");
        refused(&world, "others may read or change it");
    }
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("a mode");
    if is_root() {
        chown(&keys, Some(nobody()), None).expect("an owner");
        refused(&world, "it belongs to another user");
        chown(&keys, Some(0), None).expect("an owner");
    }
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    // The same applies to keys named by a variable.
    let other = world.folder.path().join("other.keys");
    fs::write(&other, &before).expect("keys");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).expect("a mode");
    world.set("SYNCCTL_SEAL_KEYS_FILE", other.display().to_string());
    assert!(world.syncctl(&["status"]).expect(78).stderr.contains("others may read or change it"));
    fs::remove_file(&other).expect("removed");
    world.settings.pop();

    // The key that signs events is such a file, too.
    let (secret, receiver) = (world.folder.path().join("n8n.key"), Receiver::start());
    fs::write(&secret, "wherever").expect("a key");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("a mode");
    world.set("SYNCCTL_OUTBOX_ALLOW_PRIVATE", "true");
    world.set("SYNCCTL_OUTBOX_TARGETS", format!("[{{ name = \"n8n\", url = {:?}, secret_file = {secret:?} }}]", receiver.url()));
    let refused = world.syncctl(&["deliver"]).expect(78);
    assert!(refused.stderr.contains("secret_file") && refused.stderr.contains("others may read or change it"), "{refused:?}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a mode");
    world.syncctl(&["deliver"]).expect(0);
}

#[test]
fn a_crontab_runs_nothing_that_another_user_may_change() {
    if !is_root() {
        return;
    }
    let world = World::empty();
    let folder = theirs(&world);
    let settings = |path: PathBuf, owner: u32, mode: u32| {
        fs::write(&path, "[log]\nlevel = \"warn\"\n").expect("the settings");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        chown(&path, Some(owner), None).expect("an owner");
        path
    };
    let good = settings(world.folder.path().join("good.toml"), 0, 0o644);
    let bad = [
        settings(world.folder.path().join("theirs.toml"), nobody(), 0o644),
        settings(world.folder.path().join("open.toml"), 0, 0o666),
        // The owner of the folder may replace the file.
        settings(folder.join("syncctl.toml"), 0, 0o644),
    ];
    let install = |binary: &Path, settings: &Path, more: &[&str]| {
        let mut command = Command::new(binary);
        command.args(["install", "crontab", "--dry-run", "--config"]).arg(settings).args(more).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", world.folder.path());
        let output = command.output().expect("syncctl");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let binary = &binary_for_all(world.folder.path());
    for path in &bad {
        let (code, said) = install(binary, path, &[]);
        assert!(
            code == Some(78) && said.contains("another user may change") && said.contains("scheduled jobs"),
            "{path:?}: {code:?} {said}"
        );
    }
    let (code, said) = install(&binary_for_all(&folder), &good, &[]);
    assert!(code == Some(78) && said.contains("another user may change") && said.contains("theirs"), "{code:?} {said}");
    // The user that runs the jobs may change what they run.
    assert_eq!(install(binary, &bad[0], &["--run-as", "nobody"]).0, Some(0));
    assert_eq!(install(binary, &good, &["--run-as", "nobody"]).0, Some(0));
    assert_eq!(install(binary, &good, &[]).0, Some(0));
    assert_eq!(install(binary, &good, &["--run-as", "nosuchuser"]).0, Some(2));
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_in_memory_is_shown_to_no_other_process_of_the_same_user() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let binary = binary_for_all(folder.path());
    // It waits for a setting from a pipe without a writer.
    let pipe = folder.path().join("level");
    assert!(Command::new("mkfifo").args(["-m", "644"]).arg(&pipe).status().expect("mkfifo").success());
    let mut command = Command::new(&binary);
    command
        .args(["config", "show"])
        .env_clear()
        .env("SYNCCTL_LOG_LEVEL_FILE", &pipe)
        .uid(nobody())
        .gid(nobody())
        .stdout(Stdio::null());
    let mut child = command.spawn().expect("syncctl");
    // The kernel assigns these files to root if the process is not dumpable.
    let environment = format!("/proc/{}/environ", child.id());
    let owner = || fs::metadata(&environment).expect("the process").uid();
    let began = Instant::now();
    let mut is_open = true;
    while is_open && began.elapsed() < Duration::from_secs(300) {
        std::thread::yield_now();
        is_open = owner() != 0;
    }
    let ended = child.try_wait().expect("a child");
    child.kill().expect("killed");
    child.wait().expect("it ends");
    assert!(ended.is_none() && !is_open, "another process of its user may read its memory, or it ended: {ended:?}");
}
