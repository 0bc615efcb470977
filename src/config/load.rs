//! Layers the settings (defaults < files < environment and credentials < flags) and records the origin of each value.

mod any;
mod files;
mod origin;
mod refusals;
mod service_variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::IntoDeserializer;
use toml::{Table, Value};

use super::Settings;
use super::reference::default_values;
use super::secrets::{self, Credentials, MACHINE_SETTINGS, SECRETS, masked, read_secret};
use super::tree::{flatten, key_lines, kind, line_of, nest, too_deep};
use crate::error::Fault;

pub(crate) use any::read_any;
pub use origin::Origin;

/// Well-known variables without our prefix.
const ALIASES: [(&str, &str); 1] = [("DATABASE_URL", "db.url")];
/// Variables with our prefix that are not settings.
const RESERVED: [&str; 1] = ["SYNCCTL_CONFIG"];

/// Settings on the command line.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--set KEY=VALUE`, and flags that are shorthands for one key.
    pub set: Vec<(String, String)>,
}

/// The effective settings and the origin of each key.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective settings.
    pub settings: Settings,
    /// Key, masked value and origin, ordered by key.
    pub shown: Vec<(String, String, Origin)>,
    /// The settings files that were read; the values of later ones win.
    pub files: Vec<PathBuf>,
}

/// Loads the settings of this process.
///
/// # Errors
/// Returns `Fault::settings` (exit 78) with the file and line (or variable, or flag), the key, and the allowed values.
pub fn load(flags: &Flags) -> anyhow::Result<Loaded> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    let mut layers = Layers::of_defaults()?;
    let files = files::find(flags, &environment)?;
    let credentials = &Credentials::of(&environment, files.first().map(PathBuf::as_path));
    for path in &files {
        layers.add_file(path)?;
        // The store belongs to the machine's settings: those of the user win over both.
        if matches!(credentials, Credentials::Kept(_)) && path == Path::new(MACHINE_SETTINGS) {
            layers.add_credentials(credentials)?;
        }
    }
    if matches!(credentials, Credentials::Handed(_)) {
        layers.add_credentials(credentials)?;
    }
    layers.add_environment(&environment)?;
    for (key, value) in &flags.set {
        layers.set_text(key, value, Origin::Flag)?;
    }
    layers.finish(files, credentials)
}

/// Leaves by dotted key. The defaults are loaded first, so that the type of each key is known.
#[derive(Clone)]
struct Layers {
    leaves: BTreeMap<String, (Value, Origin)>,
    /// The line of each key in each file, including keys inside lists of sections.
    lines: BTreeMap<PathBuf, BTreeMap<String, usize>>,
}

impl Layers {
    fn of_defaults() -> anyhow::Result<Self> {
        let leaves = default_values()?.into_iter().map(|(key, value)| (key, (value, Origin::Default))).collect();
        Ok(Self { leaves, lines: BTreeMap::new() })
    }

    fn add_file(&mut self, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            // The machine's settings may hold secrets and be unreadable for this user.
            let own = if path == Path::new(MACHINE_SETTINGS) { "; use --config to name another file" } else { "" };
            Fault::settings(format!("{shown}: cannot be read: {error}{own}"))
        })?;
        self.add_text(path, &text)
    }

    fn add_text(&mut self, path: &Path, text: &str) -> anyhow::Result<()> {
        if let Some(at) = too_deep(text) {
            let line = line_of(text, at);
            return Err(Fault::settings(format!("{}:{line}: keys, lists or tables nest too deeply", path.display())).into());
        }
        let table: Table = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            Fault::settings(format!("{}:{line}: not valid TOML: {}", path.display(), error.message()))
        })?;
        let lines = key_lines(text);
        let mut entries = Vec::new();
        flatten("", &table, &mut |key, value| entries.push((key, value.clone())));
        for (key, value) in entries {
            let line = lines.get(&key).copied().unwrap_or(1);
            self.set(&key, value, Origin::File { path: path.to_owned(), line })?;
        }
        self.lines.insert(path.to_owned(), lines);
        Ok(())
    }

    fn add_credentials(&mut self, credentials: &Credentials) -> anyhow::Result<()> {
        for key in SECRETS {
            if let Some(path) = credentials.file(&key.replace('.', "_")) {
                let secret = read_secret(key, &path, "credentials")?;
                let is_handed = matches!(credentials, Credentials::Handed(_));
                self.set_text(key, &secret, if is_handed { Origin::Credential(path) } else { Origin::Store(path) })?;
            }
        }
        Ok(())
    }

    fn add_environment(&mut self, environment: &BTreeMap<String, String>) -> anyhow::Result<()> {
        for (name, value) in environment {
            if RESERVED.contains(&name.as_str()) {
                continue;
            }
            // A variable that ends in _FILE may itself be a setting (SYNCCTL_SEAL_KEY_FILE).
            let (stem, from_file) = match name.strip_suffix("_FILE") {
                Some(stem) if self.key_of(name).is_none() => (stem, true),
                _ => (name.as_str(), false),
            };
            match self.key_of(stem) {
                Some(key) if from_file => {
                    let secret = read_secret(&key, Path::new(value), &format!("${name}"))?;
                    self.set_text(&key, &secret, Origin::Credential(PathBuf::from(value)))?;
                }
                Some(key) => self.set_text(&key, value, Origin::Variable(name.clone()))?,
                None if service_variables::is_of_a_service(name, value, environment) => {}
                None if name.starts_with("SYNCCTL_") => {
                    return Err(Fault::settings(self.unknown_variable(name)).into());
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The key that a variable sets.
    fn key_of(&self, variable: &str) -> Option<String> {
        if let Some((_, key)) = ALIASES.iter().find(|(alias, _)| *alias == variable) {
            return Some((*key).to_owned());
        }
        let name = variable.strip_prefix("SYNCCTL_")?;
        self.leaves.keys().find(|key| key.replace('.', "_").to_uppercase() == name).cloned()
    }

    /// Sets a key from text, parsed by the type of its default.
    fn set_text(&mut self, key: &str, text: &str, origin: Origin) -> anyhow::Result<()> {
        let wrong = |kind: &str| Fault::settings(format!("{origin}: {key} must be {kind}, not {text:?}"));
        let value = match self.leaves.get(key).map(|(value, _)| value) {
            Some(Value::Integer(_)) => Value::Integer(text.trim().parse().map_err(|_| wrong("a whole number"))?),
            Some(Value::Float(_)) => Value::Float(text.trim().parse().map_err(|_| wrong("a number"))?),
            Some(Value::Boolean(_)) => Value::Boolean(text.trim().parse().map_err(|_| wrong("true or false"))?),
            // A TOML array, as `config show` prints it; the only way to write a list of sections here.
            Some(Value::Array(_)) if text.trim_start().starts_with('[') => {
                let list = if too_deep(text).is_none() { text.parse().ok() } else { None };
                // Quote neither the text nor the parser's message, which contains it: it may hold secrets.
                list.ok_or_else(|| Fault::settings(format!("{origin}: {key} is not a valid TOML list")))?
            }
            Some(Value::Array(_)) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect::<Vec<_>>().into()
            }
            _ => Value::from(text),
        };
        self.set(key, value, origin)
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> anyhow::Result<()> {
        if secrets::is_named(key) && value.is_str() {
            self.leaves.insert(key.to_owned(), (value, origin));
            return Ok(());
        }
        let Some((old, _)) = self.leaves.get(key) else {
            return Err(Fault::settings(format!("{origin}: {}", self.unknown(key))).into());
        };
        let value = match (old, value) {
            (Value::Float(_), Value::Integer(n)) => Value::Float(n as f64),
            // One word instead of a list of words.
            (Value::Array(old), Value::String(word)) if old.first().is_some_and(Value::is_str) => vec![word].into(),
            (old, value) if old.same_type(&value) => value,
            (old, value) => {
                let message = format!("{origin}: {key} must be {}, not {}", kind(old), kind(&value));
                return Err(Fault::settings(message).into());
            }
        };
        self.leaves.insert(key.to_owned(), (value, origin));
        Ok(())
    }

    fn finish(self, files: Vec<PathBuf>, credentials: &Credentials) -> anyhow::Result<Loaded> {
        let merged = nest(self.leaves.iter().map(|(key, (value, _))| (key, value)));
        let mut settings: Settings = serde_path_to_error::deserialize(Value::Table(merged).into_deserializer()).map_err(
            |error: serde_path_to_error::Error<toml::de::Error>| {
                let path = error.path().to_string();
                let key = self.leaves.keys().find(|known| path.starts_with(*known)).unwrap_or(&path).clone();
                let reason = error.into_inner().message().trim().to_owned();
                match path.strip_prefix(&key) {
                    Some(inside) if inside.starts_with('[') => self.refused_inside(&key, &path, &reason),
                    _ => self.refused(&key, &reason),
                }
            },
        )?;
        if let Some((key, must)) = settings.out_of_bounds() {
            return Err(self.refused(key, &format!("must be {must}")).into());
        }
        for (at, target) in settings.outbox.targets.iter_mut().enumerate() {
            secrets::complete(target, credentials)
                .map_err(|wrong| self.refused_inside("outbox.targets", &format!("outbox.targets[{at}]"), &wrong))?;
        }
        secrets::complete_endpoint(&mut settings.classify.endpoint, credentials)
            .map_err(|wrong| self.refused("classify.endpoint.key_file", &wrong))?;
        let shown = self.leaves.iter().map(|(key, (value, origin))| (key.clone(), masked(key, value), origin.clone())).collect();
        Ok(Loaded { settings, shown, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_wins_over_the_machines_key_by_key() {
        let (machine, own) = (Path::new("/etc/syncctl/syncctl.toml"), Path::new("/home/ann/.config/syncctl/syncctl.toml"));
        let mut layers = Layers::of_defaults().expect("defaults");
        let text = "[calendar]\npage_size = 100\nenabled = false\n";
        layers.add_text(machine, text).expect("the machine's");
        layers.add_text(own, "[calendar]\n\npage_size = 200\n").expect("the user's");
        let loaded = layers.clone().finish(vec![machine.into(), own.into()], &Credentials::None).expect("settings");
        assert_eq!((loaded.settings.calendar.page_size, loaded.settings.calendar.enabled), (200, false));
        let from = |key: &str| {
            loaded.shown.iter().find(|(known, ..)| known == key).map(|(.., origin)| origin.to_string()).unwrap_or_default()
        };
        assert_eq!(from("calendar.page_size"), format!("{}:3", own.display()));
        assert_eq!(from("calendar.enabled"), format!("{}:3", machine.display()));
        assert_eq!(from("calendar.window_past"), "default");
        // Each file has its own lines.
        layers.add_text(machine, "\n[[outbox.targets]]\nname = \"n8n\"\nurl = \"x\"\n").expect("the machine's");
        layers.add_text(own, "[log]\n").expect("the user's");
        let refused = layers.refused_inside("outbox.targets", "outbox.targets[0].url", "wrong");
        assert_eq!(refused.message, format!("{}:4: outbox.targets[0].url: wrong", machine.display()));
    }
}
