//! Units for this machine: the templates with the path of the binary, and one drop-in with other machine-specific settings.

use std::path::{Path, PathBuf};

use super::files::{self, File, State};
use super::{Done, Machine, Where, is_open, jobs};
use crate::config::{Loaded, MACHINE_SETTINGS, Settings};
use crate::error::Fault;
use crate::services::registry;

/// Folder of units installed by a package.
const PACKAGED: &str = "/usr/lib/systemd/system";
pub(super) const SYSTEM: &str = "etc/systemd/system";
/// Read after the drop-ins common to all services and before the operator's.
const THIS_MACHINE: &str = "syncctl-.service.d/40-this-machine.conf";
/// Folders that ProtectHome and PrivateTmp hide from services.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

macro_rules! templates {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../../../systemd/", $name)))),+] };
}

/// Files that all services need. For a user's manager, lines that only the system manager supports are removed.
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

/// A service and the timer or socket that starts it.
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
    "syncctl-roll-instances" "timer",
    "syncctl-db-prune" "timer",
    "syncctl-verify" "timer",
    "syncctl-report" "timer",
    "syncctl-metrics" "timer",
    "syncctl-sync" "timer",
];

impl Unit {
    /// The `syncctl` arguments that the service runs.
    fn command(&self) -> &'static str {
        self.service.1.lines().find_map(|line| line.strip_prefix("ExecStart=syncctl ")).unwrap_or_default()
    }

    fn is_optional(&self) -> bool {
        jobs::is_optional(self.command())
    }

    /// Returns the names of its timers or sockets with the commands they run: one per service for a template unit, otherwise one.
    fn instances(&self) -> Vec<(String, String)> {
        let started_by = self.started_by.0;
        if started_by.contains('@') {
            registry::names(|service| service.channels.is_some())
                .into_iter()
                .map(|service| (started_by.replace('@', &format!("@{service}")), self.command().replace("%i", service)))
                .collect()
        } else {
            vec![(started_by.to_owned(), self.command().to_owned())]
        }
    }

    /// Returns the names of the timers or sockets to start. Empty if the settings do not require the unit.
    fn required(&self, settings: &Settings) -> Vec<String> {
        let required = self.instances().into_iter().filter(|(_, command)| jobs::is_required(settings, command));
        required.map(|(name, _)| name).collect()
    }
}

/// Writes the units that the settings require.
pub(super) fn install(destination: &Where, loaded: &Loaded, machine: &Machine) -> anyhow::Result<Done> {
    use secrecy::ExposeSecret as _;
    let settings = &loaded.settings;
    let has_database = !settings.db.url.expose_secret().is_empty() || (!destination.user && has_credential("db_url"));
    // An image gets its secrets later.
    if !has_database && destination.prefix.is_none() {
        return Err(Fault::settings(
            "no database is configured, and units cannot use the private cluster, which would be stopped with each run: set db.url (for system units \
             also as /etc/credstore/syncctl.db_url), or use `syncctl install crontab`",
        )
        .into());
    }
    let folder =
        if destination.user { user_units()? } else { destination.prefix.as_deref().unwrap_or(Path::new("/")).join(SYSTEM) };
    let (chosen, rest): (Vec<&Unit>, Vec<&Unit>) =
        UNITS.iter().partition(|unit| unit.is_optional() || !unit.required(settings).is_empty());
    let written = files::write(&unit_files(&chosen, &folder, destination, settings, machine)?, destination.dry_run)?;
    let mut notes = Vec::new();
    if written.iter().all(|file| matches!(file.state, State::Unchanged | State::Packaged)) {
        notes.push("nothing to write: every file is up to date".to_owned());
    }
    let manager = if destination.user { "systemctl --user" } else { "systemctl" };
    let existing = rest.iter().filter(|unit| folder.join(unit.started_by.0).exists());
    // By instance, because a template unit cannot be stopped.
    let leftover: Vec<String> = existing.flat_map(|unit| unit.instances()).map(|(name, _)| name).collect();
    if !leftover.is_empty() {
        notes.push(format!(
            "no longer required by the settings: {0}; run `{manager} disable --now {0}`, then delete them",
            leftover.join(" ")
        ));
    }
    Ok(Done {
        dry_run: destination.dry_run,
        files: written,
        notes,
        next: next_commands(&chosen, manager, destination.user, settings),
    })
}

/// Returns the files of these units and their common files, rendered for this machine.
fn unit_files(
    chosen: &[&Unit],
    folder: &Path,
    destination: &Where,
    settings: &Settings,
    machine: &Machine,
) -> anyhow::Result<Vec<File>> {
    let common = COMMON.iter().chain(if destination.user { OF_USER.as_slice() } else { OF_SYSTEM.as_slice() });
    let of_units = chosen.iter().flat_map(|unit| [&unit.service, &unit.started_by]);
    let rendered =
        common.chain(of_units).map(|(name, template)| (*name, rendered(template, destination.user, settings, machine)));
    let this_machine = (THIS_MACHINE, this_machine(destination.user, machine)?);
    let looks_at_package = !destination.user && destination.prefix.is_none();
    let file = |(name, text): (&str, String)| File {
        path: folder.join(name),
        text,
        packaged: looks_at_package.then(|| Path::new(PACKAGED).join(name)),
    };
    Ok(rendered.chain([this_machine]).map(file).collect())
}

/// Returns the commands that the operator runs next.
fn next_commands(chosen: &[&Unit], manager: &str, user: bool, settings: &Settings) -> Vec<String> {
    let started: Vec<String> = chosen.iter().flat_map(|unit| unit.required(settings)).collect();
    let mut next = vec![format!("{manager} daemon-reload"), format!("{manager} enable --now {}", started.join(" "))];
    for unit in chosen.iter().filter(|unit| unit.is_optional()) {
        next.push(format!("{manager} enable --now {}    # optional: see the top of {}", unit.started_by.0, unit.service.0));
    }
    if user {
        next.push("loginctl enable-linger    # to run them while you are not logged in".into());
    }
    next.push(format!("{manager} list-timers 'syncctl-*'"));
    next
}

/// Renders a template for this machine.
fn rendered(template: &str, user: bool, settings: &Settings, machine: &Machine) -> String {
    let binary = machine.binary.display();
    let mut text = String::new();
    for line in template.lines() {
        match line {
            // The bare name in the template finds the package's binary; any other needs its full path.
            line if line.starts_with("ExecStart=syncctl ") && machine.binary != Path::new("/usr/bin/syncctl") => {
                text.push_str(&line.replacen("syncctl", &binary.to_string(), 1));
            }
            line if user && ["LoadCredential=", "ReadWritePaths="].iter().any(|only_root| line.starts_with(only_root)) => {
                continue;
            }
            // journalctl selects user units by another option.
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

/// Returns the drop-in with settings specific to this machine.
fn this_machine(user: bool, machine: &Machine) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Written by `syncctl install systemd`, which overwrites it. Put your own settings into 50-local.conf in this folder.\n[Service]\n",
    );
    let is_hidden = |path: &Path| HIDDEN.iter().any(|folder| path.starts_with(folder));
    if let Some(settings) = machine.settings.as_deref().filter(|path| *path != Path::new(MACHINE_SETTINGS) || user) {
        if user || (is_open(settings)? && !is_hidden(settings)) {
            text.push_str(&format!("Environment=SYNCCTL_CONFIG={}\n", settings.display()))
        } else {
            text.push_str(&as_credential(settings))
        }
    } else if let Some(settings) = machine.settings.as_deref()
        && !is_open(settings)?
    {
        text.push_str(&as_credential(settings));
    }
    if !user && is_hidden(&machine.binary) {
        let binary = machine.binary.display();
        text.push_str(&format!("# Services see only the binary in its folder.\nProtectHome=tmpfs\nBindReadOnlyPaths={binary}\n"));
    }
    Ok(text)
}

/// Passes settings that the services' user cannot read through systemd, which can.
fn as_credential(settings: &Path) -> String {
    format!("LoadCredential=syncctl.toml:{}\nEnvironment=SYNCCTL_CONFIG=%d/syncctl.toml\n", settings.display())
}

fn has_credential(name: &str) -> bool {
    ["/etc/credstore", "/run/credstore", "/usr/lib/credstore", "/etc/credstore.encrypted"]
        .iter()
        .any(|folder| Path::new(folder).join(format!("syncctl.{name}")).exists())
}

/// Returns the `syncctl` arguments that a timer runs.
pub(super) fn started_by(timer: &str) -> Option<String> {
    UNITS.iter().flat_map(Unit::instances).find_map(|(name, command)| (name == timer).then_some(command))
}

/// Returns the `syncctl` arguments run by the timers that these settings require.
pub(super) fn required(settings: &Settings) -> Vec<String> {
    let commands = UNITS.iter().flat_map(Unit::instances).map(|(_, command)| command);
    commands.filter(|command| jobs::is_required(settings, command)).collect()
}

/// Returns the folder of this user's units.
pub(super) fn user_units() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let config =
        config.ok_or_else(|| Fault::usage("neither $XDG_CONFIG_HOME nor $HOME is set: cannot find the folder for user units"))?;
    Ok(config.join("systemd/user"))
}
