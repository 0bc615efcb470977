//! `syncctl install`: its files match the settings, parse, and run.

mod crontab;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::World;
use crate::support::world::RunResult;

const PUSH: &str = "[push]\naddress = \"https://sync.example.com/google\"\n[[outbox.targets]]\nname = \"n8n\"\nurl = \"https://n8n.example.com/webhook/1\"\n";

/// A world with its settings in a file, as on a machine with scheduled jobs.
struct Machine {
    world: World,
    settings: PathBuf,
    root: PathBuf,
}

impl Machine {
    fn with(more: &str) -> Self {
        let world = World::with_users(2, 3);
        let folder = world.folder.path().to_owned();
        let (settings, root) = (folder.join("syncctl.toml"), folder.join("root"));
        let (sim, keys) = (&world.sim.url, folder.join("seal.keys"));
        let text = format!(
            "[db]\nurl = {:?}\n[seal]\nkey_file = {keys:?}\n[google]\nroot = {sim:?}\n[attendee]\nroot = {sim:?}\n{more}",
            world.url
        );
        std::fs::write(&settings, text).expect("the settings");
        std::fs::create_dir(&root).expect("a root folder");
        Self { world, settings, root }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncctl"));
        command.args(arguments).arg("--config").arg(&self.settings).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.world.folder.path());
        command
    }

    fn syncctl(&self, arguments: &[&str]) -> RunResult {
        ran(&mut self.command(arguments))
    }

    fn install(&self, what: &str, more: &[&str]) -> RunResult {
        let root = self.root.to_str().expect("a path");
        self.syncctl(&[&["install", what, "--prefix", root], more].concat())
    }

    /// Every file below the root, by its path from there.
    fn files(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path)
                } else {
                    paths.insert(path.strip_prefix(&self.root).expect("below the root").display().to_string());
                }
            }
        }
        paths
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.root.join("etc/systemd/system").join(name)
    }

    fn read(&self, path: impl AsRef<Path>) -> String {
        std::fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
    }
}

fn ran(command: &mut Command) -> RunResult {
    let output = command.output().expect("the binary starts");
    RunResult {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn states(ran: &RunResult) -> BTreeSet<String> {
    let files: Value = ran.json()["files"].clone();
    files.as_array().expect("files").iter().map(|file| file["state"].as_str().expect("a state").to_owned()).collect()
}

/// systemd accepts the written units without warnings.
fn assert_verifies(machine: &Machine) {
    let units: Vec<PathBuf> = machine
        .files()
        .iter()
        .map(|file| machine.root.join(file))
        .filter(|path| path.extension().is_some_and(|ending| ["service", "timer", "socket"].iter().any(|known| ending == *known)))
        .collect();
    assert!(!units.is_empty(), "no units");
    let verified = ran(Command::new("systemd-analyze").arg("verify").args(&units));
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{verified:?}");
}

#[test]
fn units_are_those_that_the_settings_call_for_and_systemd_reads_them() {
    let machine = Machine::with(&format!("{PUSH}[gmail]\nenabled = false\n"));
    let done = machine.install("systemd", &[]).expect(0);
    assert_verifies(&machine);
    let files = machine.files();
    for unit in [
        "calendar.timer",
        "drive.service",
        "renew-watches@.timer",
        "webhook.socket",
        "drain.timer",
        "deliver.timer",
        "db-prune.timer",
        "report.timer",
        "metrics.service",
        "sync.timer",
        "public.service",
    ] {
        assert!(files.contains(&format!("etc/systemd/system/syncctl-{unit}")), "{unit}: {files:?}");
    }
    assert!(!files.contains("etc/systemd/system/syncctl-gmail.timer"), "{files:?}");
    for common in ["syncctl-.service.d/10-common.conf", "syncctl-failed@.service"] {
        assert!(machine.read(machine.unit(common)).contains("\nLimitCORE=0\n"), "{common}");
    }
    let start = machine.read(machine.unit("syncctl-calendar.service"));
    assert!(start.contains(&format!("ExecStart={} calendar cron\n", env!("CARGO_BIN_EXE_syncctl"))), "{start}");
    let enable = done.stdout.lines().find(|line| line.contains("enable --now")).expect("what to do next");
    assert!(
        enable.contains("syncctl-renew-watches@drive.timer") && !enable.contains("gmail") && enable.contains("webhook.socket"),
        "{enable}"
    );
    // Metrics without a reader, and a job that replaces others, are offered, not started.
    assert!(enable.contains("syncctl-report.timer") && !enable.contains("metrics") && !enable.contains("sync.timer"), "{enable}");
    assert!(done.stdout.contains("systemctl enable --now syncctl-sync.timer    #"), "{done:?}");
    assert!(done.stdout.contains("systemctl enable --now syncctl-metrics.timer    #"), "{done:?}");

    // Every service is as hardened as the templates, even if its binary is below a hidden folder.
    for file in files.iter().filter(|file| file.ends_with(".service")) {
        let analyzed = ran(Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
            .arg(machine.root.join(file)));
        assert_eq!(analyzed.code, 0, "{file}: {analyzed:?}");
    }
}

#[test]
fn without_push_gmail_and_targets_there_is_nothing_of_them() {
    let machine = Machine::with("[gmail]\nenabled = false\n");
    let done = machine.install("systemd", &[]).expect(0);
    assert_verifies(&machine);
    for not in ["gmail", "renew", "webhook", "drain", "deliver"] {
        assert!(!machine.files().iter().any(|file| file.contains(not)) && !done.stdout.contains(not), "{not}: {done:?}");
    }
}

#[test]
fn a_second_time_nothing_is_written_and_what_was_changed_is_kept() {
    let machine = Machine::with("");
    machine.install("systemd", &[]).expect(0);
    let again = machine.install("systemd", &["--json"]).expect(0);
    assert_eq!(states(&again), BTreeSet::from(["unchanged".to_owned()]));

    let timer = machine.unit("syncctl-calendar.timer");
    std::fs::write(&timer, "[Timer]\nOnCalendar=hourly\n").expect("an edit");
    let dry = machine.install("systemd", &["--dry-run"]).expect(0);
    assert!(dry.stdout.contains("OnCalendar=*:0/5") && dry.stdout.contains("changed"), "{dry:?}");
    assert_eq!(machine.read(&timer), "[Timer]\nOnCalendar=hourly\n");
    machine.install("systemd", &[]).expect(0);
    assert!(machine.read(&timer).contains("OnCalendar=*:0/5"));
    assert_eq!(machine.read(timer.with_extension("timer.bak")), "[Timer]\nOnCalendar=hourly\n");

    // Units that the settings no longer require are reported.
    let text = machine.read(&machine.settings);
    std::fs::write(&machine.settings, format!("{text}[drive]\nenabled = false\n")).expect("settings");
    let off = machine.install("systemd", &[]).expect(0);
    assert!(
        off.stdout.contains("no longer required by the settings") && off.stdout.contains("disable --now syncctl-drive.timer"),
        "{off:?}"
    );

    // A template cannot be stopped, only its instances.
    let machine = Machine::with(PUSH);
    machine.install("systemd", &[]).expect(0);
    let text = machine.read(&machine.settings).replace(PUSH, "");
    std::fs::write(&machine.settings, text).expect("settings");
    let off = machine.install("systemd", &[]).expect(0);
    assert!(off.stdout.contains("syncctl-renew-watches@calendar.timer") && !off.stdout.contains("@.timer"), "{off:?}");
}

#[test]
fn settings_and_keys_that_the_services_user_cannot_read_are_handed_on() {
    let machine = Machine::with("");
    std::fs::set_permissions(&machine.settings, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    machine.install("systemd", &[]).expect(0);
    let own = machine.read(machine.unit("syncctl-.service.d/40-this-machine.conf"));
    assert!(own.contains(&format!("LoadCredential=syncctl.toml:{}", machine.settings.display())), "{own}");
    assert!(own.contains("SYNCCTL_CONFIG=%d/syncctl.toml"), "{own}");
    let keys = format!("LoadCredential=seal_keys:{}", machine.world.folder.path().join("seal.keys").display());
    assert!(machine.read(machine.unit("syncctl-calendar.service")).contains(&keys));
    assert_verifies(&machine);
}

#[test]
fn settings_of_this_shell_alone_are_refused() {
    let machine = Machine::with("");
    let mut command = machine.command(&["install", "crontab", "--prefix", "/nowhere"]);
    let refused = ran(command.env("DATABASE_URL", "postgres://somewhere/else")).expect(78);
    assert!(refused.stderr.contains("db.url (from $DATABASE_URL)") && !refused.stderr.contains("somewhere"), "{refused:?}");
    let refused = machine.syncctl(&["install", "systemd", "--set", "calendar.page_size=7"]).expect(78);
    assert!(refused.stderr.contains("calendar.page_size (from flag)"), "{refused:?}");
}

#[test]
fn missing_rights_are_reported_before_anything_is_written() {
    let machine = Machine::with("");
    let folder = machine.root.join("etc/systemd/system");
    // A file in place of the folder makes writing fail, even for root.
    std::fs::create_dir_all(folder.parent().expect("a parent")).expect("folders");
    std::fs::write(&folder, "in the way").expect("a file");
    let refused = machine.install("systemd", &[]).expect(2);
    assert!(
        refused.stderr.contains("run this as root, or with --user") && refused.stderr.contains("nothing was written"),
        "{refused:?}"
    );
    assert_eq!(machine.files(), BTreeSet::from(["etc/systemd/system".to_owned()]));
}

#[test]
fn the_private_cluster_is_not_for_units() {
    let machine = Machine::with("");
    std::fs::write(&machine.settings, "").expect("settings");
    let refused = machine.syncctl(&["install", "systemd", "--user"]).expect(78);
    assert!(refused.stderr.contains("no database is configured") && refused.stderr.contains("install crontab"), "{refused:?}");
}

#[test]
fn units_of_a_user_need_no_root() {
    let machine = Machine::with("");
    let done = machine.syncctl(&["install", "systemd", "--user"]).expect(0);
    let folder = machine.world.folder.path().join(".config/systemd/user");
    let unit = machine.read(folder.join("syncctl-calendar.service"));
    assert!(!unit.contains("LoadCredential"), "{unit}");
    let report = machine.read(folder.join("syncctl-report.service"));
    assert!(report.contains("report --html %t/syncctl/report.html") && !report.contains("ReadWritePaths"), "{report}");
    assert!(
        !folder.join("syncctl-.service.d/15-account.conf").exists()
            && !folder.join("syncctl-.service.d/20-hardening.conf").exists()
    );
    assert!(machine.read(folder.join("syncctl-failed@.service")).contains("--user-unit="));
    let own = machine.read(folder.join("syncctl-.service.d/40-this-machine.conf"));
    assert!(own.contains(&format!("Environment=SYNCCTL_CONFIG={}", machine.settings.display())), "{own}");
    assert!(done.stdout.contains("systemctl --user enable --now"), "{done:?}");
}
