//! Units for this machine: the templates with the path of the binary, and one file with what else is this machine's.

use std::path::{Path, PathBuf};

use super::files::{self, File, State};
use super::{Done, Machine, Where, is_open, jobs};
use crate::config::{Loaded, MACHINE_SETTINGS, Settings};
use crate::error::Fault;

/// Where units lie that a package has brought.
const PACKAGED: &str = "/usr/lib/systemd/system";
pub(super) const SYSTEM: &str = "etc/systemd/system";
/// Read after what all services have in common, before what the operator adds.
const THIS_MACHINE: &str = "syncctl-.service.d/40-this-machine.conf";
/// The services that a unit with an instance is for.
const INSTANCES: [&str; 3] = ["calendar", "drive", "gmail"];
/// Where services see nothing, by ProtectHome and PrivateTmp.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

macro_rules! templates {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../../../systemd/", $name)))),+] };
}

/// What all services need: for a user's own manager without what only root's can do.
const COMMON: [(&str, &str); 4] = templates![
    "syncctl-.service.d/10-common.conf",
    "syncctl-.timer.d/10-common.conf",
    "syncctl-failed@.service",
    "syncctl-public.service",
];
const OF_SYSTEM: [(&str, &str); 5] = templates![
    "syncctl-.service.d/15-account.conf",
    "syncctl-.service.d/20-hardening.conf",
    "syncctl-failed@.service.d/10-common.conf",
    "syncctl-failed@.service.d/15-account.conf",
    "syncctl-failed@.service.d/30-groups.conf",
];
const OF_USER: [(&str, &str); 1] = templates!["syncctl-failed@.service.d/10-common.conf"];

/// A service with what starts it.
struct Unit {
    service: (&'static str, &'static str),
    started_by: (&'static str, &'static str),
}

macro_rules! units {
    ($($name:literal $ending:literal),+ $(,)?) => { [$(Unit {
        service: (concat!($name, ".service"), include_str!(concat!("../../../systemd/", $name, ".service"))),
        started_by: (concat!($name, ".", $ending), include_str!(concat!("../../../systemd/", $name, ".", $ending))),
    }),+] };
}

static UNITS: &[Unit] = &units![
    "syncctl-calendar" "timer",
    "syncctl-drive" "timer",
    "syncctl-gmail" "timer",
    "syncctl-attendee-schedule" "timer",
    "syncctl-attendee" "timer",
    "syncctl-classify" "timer",
    "syncctl-renew-watches@" "timer",
    "syncctl-renew-webhooks@" "timer",
    "syncctl-webhook" "socket",
    "syncctl-drain" "timer",
    "syncctl-deliver" "timer",
    "syncctl-db-prune" "timer",
    "syncctl-verify" "timer",
    "syncctl-report" "timer",
    "syncctl-metrics" "timer",
    "syncctl-sync" "timer",
];

impl Unit {
    /// What its service runs.
    fn command(&self) -> &'static str {
        self.service.1.lines().find_map(|line| line.strip_prefix("ExecStart=syncctl ")).unwrap_or_default()
    }

    fn is_offered(&self) -> bool {
        jobs::offered(self.command())
    }

    /// What starts it, by name, with what it runs then: one for each service where the unit has an instance.
    fn instances(&self) -> Vec<(String, String)> {
        let started_by = self.started_by.0;
        match started_by.contains('@') {
            true => INSTANCES
                .iter()
                .map(|service| (started_by.replace('@', &format!("@{service}")), self.command().replace("%i", service)))
                .collect(),
            false => vec![(started_by.to_owned(), self.command().to_owned())],
        }
    }

    /// What is to be started, by name. Empty: the settings do not call for it.
    fn wanted(&self, settings: &Settings) -> Vec<String> {
        let wanted = self.instances().into_iter().filter(|(_, command)| jobs::wanted(settings, command));
        wanted.map(|(name, _)| name).collect()
    }
}

/// Writes the units that the settings call for.
pub(super) fn install(place: &Where, loaded: &Loaded, machine: &Machine) -> anyhow::Result<Done> {
    use secrecy::ExposeSecret as _;
    let settings = &loaded.settings;
    let named = !settings.db.url.expose_secret().is_empty() || (!place.user && has_credential("db_url"));
    // An image gets its secrets elsewhere.
    if !named && place.prefix.is_none() {
        return Err(Fault::settings(
            "no database is named, and units cannot use the private cluster, which would be stopped with each run: set db.url (for all users of \
             this machine also as /etc/credstore/syncctl.db_url), or use `syncctl install crontab`",
        )
        .into());
    }
    let folder = match place.user {
        true => user_units()?,
        false => place.prefix.as_deref().unwrap_or(Path::new("/")).join(SYSTEM),
    };
    let (chosen, left): (Vec<&Unit>, Vec<&Unit>) =
        UNITS.iter().partition(|unit| unit.is_offered() || !unit.wanted(settings).is_empty());
    let written = files::write(&unit_files(&chosen, &folder, place, settings, machine)?, place.dry_run)?;
    let mut notes = Vec::new();
    if written.iter().all(|file| matches!(file.state, State::Unchanged | State::Packaged)) {
        notes.push("nothing to write: every file is as it should be".to_owned());
    }
    let manager = if place.user { "systemctl --user" } else { "systemctl" };
    let there = left.iter().filter(|unit| folder.join(unit.started_by.0).exists());
    // By instance: a template cannot be stopped.
    let leftover: Vec<String> = there.flat_map(|unit| unit.instances()).map(|(name, _)| name).collect();
    if !leftover.is_empty() {
        notes.push(format!(
            "no longer called for by the settings: {0}; `{manager} disable --now {0}`, then delete them",
            leftover.join(" ")
        ));
    }
    Ok(Done { dry_run: place.dry_run, files: written, notes, next: next_commands(&chosen, manager, place.user, settings) })
}

/// The files of these units and of what they have in common, as this machine has them.
fn unit_files(
    chosen: &[&Unit],
    folder: &Path,
    place: &Where,
    settings: &Settings,
    machine: &Machine,
) -> anyhow::Result<Vec<File>> {
    let common = COMMON.iter().chain(if place.user { OF_USER.as_slice() } else { OF_SYSTEM.as_slice() });
    let of_units = chosen.iter().flat_map(|unit| [&unit.service, &unit.started_by]);
    let rendered = common.chain(of_units).map(|(name, template)| (*name, rendered(template, place.user, settings, machine)));
    let this_machine = (THIS_MACHINE, this_machine(place.user, machine)?);
    let looks_at_package = !place.user && place.prefix.is_none();
    let file = |(name, text): (&str, String)| File {
        path: folder.join(name),
        text,
        packaged: looks_at_package.then(|| Path::new(PACKAGED).join(name)),
    };
    Ok(rendered.chain([this_machine]).map(file).collect())
}

/// What the operator runs next.
fn next_commands(chosen: &[&Unit], manager: &str, user: bool, settings: &Settings) -> Vec<String> {
    let started: Vec<String> = chosen.iter().flat_map(|unit| unit.wanted(settings)).collect();
    let mut next = vec![format!("{manager} daemon-reload"), format!("{manager} enable --now {}", started.join(" "))];
    for unit in chosen.iter().filter(|unit| unit.is_offered()) {
        next.push(format!(
            "{manager} enable --now {}    # if you have a use for it: see the head of {}",
            unit.started_by.0, unit.service.0
        ));
    }
    if user {
        next.push("loginctl enable-linger    # so that they run while you are not logged in".into());
    }
    next.push(format!("{manager} list-timers 'syncctl-*'"));
    next
}

/// A template as this machine has it.
fn rendered(template: &str, user: bool, settings: &Settings, machine: &Machine) -> String {
    let binary = machine.binary.display();
    let mut text = String::new();
    for line in template.lines() {
        match line {
            // A package's unit finds a package's binary.
            line if line.starts_with("ExecStart=syncctl ") && machine.binary != Path::new("/usr/bin/syncctl") => {
                text.push_str(&line.replacen("syncctl", &binary.to_string(), 1));
            }
            line if user && ["LoadCredential=", "ReadWritePaths="].iter().any(|only_root| line.starts_with(only_root)) => {
                continue;
            }
            // The journal has the units of a user under another name.
            line if user && line.contains("--unit=") => text.push_str(&line.replace("--unit=", "--user-unit=")),
            "LoadCredential=seal_keys:syncctl.seal_keys" if !settings.seal.key_file.as_os_str().is_empty() => {
                text.push_str(&format!("LoadCredential=seal_keys:{}", settings.seal.key_file.display()));
            }
            line => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// What of this machine no template can know.
fn this_machine(user: bool, machine: &Machine) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Made by `syncctl install systemd`, which writes it anew. What is yours goes into 50-local.conf beside it.\n[Service]\n",
    );
    let is_hidden = |path: &Path| HIDDEN.iter().any(|folder| path.starts_with(folder));
    if let Some(settings) = machine.settings.as_deref().filter(|path| *path != Path::new(MACHINE_SETTINGS) || user) {
        match user || (is_open(settings)? && !is_hidden(settings)) {
            true => text.push_str(&format!("Environment=SYNCCTL_CONFIG={}\n", settings.display())),
            false => text.push_str(&handed_on(settings)),
        }
    } else if let Some(settings) = machine.settings.as_deref()
        && !is_open(settings)?
    {
        text.push_str(&handed_on(settings));
    }
    if !user && is_hidden(&machine.binary) {
        let binary = machine.binary.display();
        text.push_str(&format!(
            "# Services see nothing else of where the binary lies.\nProtectHome=tmpfs\nBindReadOnlyPaths={binary}\n"
        ));
    }
    Ok(text)
}

/// Settings that the services' user cannot read are handed on by systemd, which can.
fn handed_on(settings: &Path) -> String {
    format!("LoadCredential=syncctl.toml:{}\nEnvironment=SYNCCTL_CONFIG=%d/syncctl.toml\n", settings.display())
}

fn has_credential(name: &str) -> bool {
    ["/etc/credstore", "/run/credstore", "/usr/lib/credstore", "/etc/credstore.encrypted"]
        .iter()
        .any(|folder| Path::new(folder).join(format!("syncctl.{name}")).exists())
}

/// What a timer starts, as it stands after `syncctl`.
pub(super) fn started_by(timer: &str) -> Option<String> {
    UNITS.iter().flat_map(Unit::instances).find_map(|(name, command)| (name == timer).then_some(command))
}

/// What the timers start that these settings call for, as it stands after `syncctl`.
pub(super) fn called_for(settings: &Settings) -> Vec<String> {
    let commands = UNITS.iter().flat_map(Unit::instances).map(|(_, command)| command);
    commands.filter(|command| jobs::wanted(settings, command)).collect()
}

/// Where the units of this user lie.
pub(super) fn user_units() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let config =
        config.ok_or_else(|| Fault::usage("neither $XDG_CONFIG_HOME nor $HOME is set: where a user's units go is not known"))?;
    Ok(config.join("systemd/user"))
}
