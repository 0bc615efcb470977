//! Secret settings: which keys are secret, how they are read from files, and how they are masked.

mod serialized;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use toml::Value;
use url::Url;

use super::{Endpoint, Target};
use crate::error::Fault;
use crate::trusted;

pub use serialized::expose;
pub(super) use serialized::{mask, mask_path};

/// The machine-wide settings file.
pub const MACHINE_SETTINGS: &str = "/etc/syncctl/syncctl.toml";

/// Printed in place of a secret.
const MASK: &str = "***";

/// Keys whose values are never printed.
pub(super) const SECRETS: [&str; 7] = [
    "db.url",
    "db.password",
    "seal.keys",
    "webhook.gmail_token",
    "webhook.attendee_secret",
    "webhook.classify_secret",
    "healthchecks.url",
];

/// Sections with user-chosen keys and secret string values.
const NAMED: [&str; 1] = ["healthchecks.jobs."];

/// Whether a key is in one of the `NAMED` sections.
pub(super) fn is_named(key: &str) -> bool {
    NAMED.iter().any(|section| key.starts_with(section))
}

/// Reads the secret of a key from a file. Seal key files must be private.
pub(super) fn read_secret(key: &str, path: &Path, origin: &str) -> anyhow::Result<String> {
    let text = if key == "seal.keys" { trusted::read_keys(path) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|error| Fault::settings(format!("{origin}: {} cannot be read: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// The folder from which systemd loads the credentials of units. Readable only by root.
const STORE: &str = "/etc/credstore";

/// Credential files passed by systemd or, for commands run by hand with the machine's settings, those in systemd's credential store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// `$CREDENTIALS_DIRECTORY` of a unit.
    Handed(PathBuf),
    /// A store in which names have our prefix: `syncctl.db_url`.
    Kept(PathBuf),
    /// Other settings are in use, so the units' database is not meant.
    None,
}

impl Credentials {
    /// `settings`: the settings file in use.
    pub fn of(environment: &BTreeMap<String, String>, settings: Option<&Path>) -> Self {
        match environment.get("CREDENTIALS_DIRECTORY") {
            Some(folder) => Self::Handed(folder.into()),
            None if settings == Some(Path::new(MACHINE_SETTINGS)) => Self::Kept(STORE.into()),
            None => Self::None,
        }
    }

    /// The file of a credential, if it exists. Unreadable files of a store are ignored: they are not meant for this user.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Handed(folder) => Some(folder.join(name)).filter(|path| path.is_file()),
            Self::Kept(folder) => {
                let path = folder.join(format!("syncctl.{name}"));
                let opened = File::open(&path).map_err(|error| error.kind());
                (!matches!(opened, Err(ErrorKind::NotFound | ErrorKind::PermissionDenied))).then_some(path)
            }
            Self::None => None,
        }
    }
}

/// Reads the signing key of a target from `secret_file`, which may name a credential. The error is a message.
pub(super) fn complete(target: &mut Target, credentials: &Credentials) -> Result<(), String> {
    if target.secret_file.as_os_str().is_empty() {
        return Ok(());
    }
    if !target.secret.expose_secret().is_empty() {
        return Err("has both secret and secret_file".into());
    }
    // Fail rather than send unsigned requests.
    target.secret = named_secret(&target.secret_file, credentials).map_err(|wrong| format!("secret_file {wrong}"))?;
    Ok(())
}

/// Reads the key of the model endpoint in the same way.
pub(super) fn complete_endpoint(endpoint: &mut Endpoint, credentials: &Credentials) -> Result<(), String> {
    if !endpoint.key_file.as_os_str().is_empty() {
        endpoint.key = named_secret(&endpoint.key_file, credentials)?;
    }
    Ok(())
}

/// Reads a secret from the credential of this name or, if it does not exist, from the file at this path. The error is a message.
fn named_secret(named: &PathBuf, credentials: &Credentials) -> Result<SecretString, String> {
    let file = &match credentials {
        Credentials::Handed(folder) => folder.join(named),
        Credentials::Kept(_) | Credentials::None => {
            named.to_str().and_then(|name| credentials.file(name)).unwrap_or_else(|| named.clone())
        }
    };
    // Credentials from systemd or its store need no check of permissions.
    let text = if file == named { trusted::read_keys(file) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(format!("{} is empty", file.display())),
        secret => Ok(SecretString::from(secret)),
    }
}

/// The value with secrets masked.
pub(super) fn masked(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if (SECRETS.contains(&key) || is_named(key)) && !text.is_empty() => MASK.into(),
        Value::Array(items) => Value::Array(items.iter().map(masked_section).collect()).to_string(),
        Value::String(text) => Value::from(without_password(text)).to_string(),
        value => value.to_string(),
    }
}

/// Masks the password if the text is a URL.
fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some(MASK)) {
            Ok(()) => url.to_string(),
            Err(()) => MASK.into(),
        },
        // An invalid URL may still contain a password.
        Err(_) if text.contains("://") && text.contains('@') => MASK.into(),
        _ => text.to_owned(),
    }
}

/// The origin of a target's URL. The path is masked because anyone who knows it can send to the target.
fn without_path(text: &str) -> String {
    let origin = Url::parse(text).map(|url| url.origin().ascii_serialization());
    match origin {
        Ok(origin) if text.trim_end_matches('/') == origin => text.to_owned(),
        Ok(origin) => format!("{origin}/{MASK}"),
        Err(_) => MASK.into(),
    }
}

/// Masks the signing key and the URL path of a target.
fn masked_section(item: &Value) -> Value {
    let Value::Table(table) = item else { return item.clone() };
    let mut table = table.clone();
    if table.contains_key("secret") {
        table.insert("secret".into(), MASK.into());
    }
    if let Some(url) = table.get("url").and_then(Value::as_str).map(without_path) {
        table.insert("url".into(), url.into());
    }
    Value::Table(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_settings_never_use_the_secrets_of_the_machine() {
        let (none, unit) = (BTreeMap::new(), BTreeMap::from([("CREDENTIALS_DIRECTORY".to_owned(), "/run/c".to_owned())]));
        let (machine, own) = (Some(Path::new(MACHINE_SETTINGS)), Some(Path::new("/tmp/demo/syncctl.toml")));
        assert_eq!(Credentials::of(&none, machine), Credentials::Kept(STORE.into()));
        assert_eq!(Credentials::of(&none, own), Credentials::None);
        assert_eq!(Credentials::of(&none, None), Credentials::None);
        assert_eq!(Credentials::of(&unit, own), Credentials::Handed("/run/c".into()));
    }

    #[test]
    fn target_urls_and_passwords_in_urls_are_masked() {
        let target =
            |url: &str| toml::toml! { name = "n8n" }.into_iter().chain([("url".to_owned(), url.into())]).collect::<toml::Table>();
        for (url, shown) in [
            ("https://n8n.example.com", "https://n8n.example.com"),
            ("https://n8n.example.com:8443/", "https://n8n.example.com:8443/"),
            ("https://n8n.example.com/webhook/hush", "https://n8n.example.com/***"),
            ("https://n8n.example.com/?key=hush", "https://n8n.example.com/***"),
            ("https://hush@n8n.example.com/", "https://n8n.example.com/***"),
            ("https://n8n.example.com:port/hush", "***"),
        ] {
            let text = masked("outbox.targets", &Value::Array(vec![Value::Table(target(url))]));
            assert!(text.contains(&format!("url = {shown:?}")) && !text.contains("hush"), "{text}");
        }
        for (value, shown) in [
            ("http://me:hush@proxy.example:3128/x", "\"http://me:***@proxy.example:3128/x\""),
            ("https://me:hush@proxy.example:port", "\"***\""),
            ("https://proxy.example/x?y", "\"https://proxy.example/x?y\""),
            ("warn,syncctl=debug", "\"warn,syncctl=debug\""),
        ] {
            assert_eq!(masked("google.root", &value.into()), shown);
        }
    }

    #[test]
    fn whoever_can_read_the_credential_store_gets_those_of_the_units() {
        let store = tempfile::tempdir().expect("a folder");
        std::fs::write(store.path().join("syncctl.db_url"), "postgres://db.example.org/syncctl\n").expect("written");
        std::fs::write(store.path().join("other.seal_keys"), "none of ours").expect("written");
        let credentials = Credentials::Kept(store.path().to_owned());
        let path = credentials.file("db_url").expect("it is there");
        assert_eq!(read_secret("db.url", &path, "credentials").expect("readable"), "postgres://db.example.org/syncctl");
        assert_eq!((credentials.file("seal_keys"), credentials.file("../x")), (None, None));

        std::fs::write(store.path().join("syncctl.n8n"), "key\n").expect("written");
        let mut target = Target {
            name: "n8n".into(),
            url: "https://n8n.example.com/webhook/1".into(),
            secret: SecretString::default(),
            secret_file: "n8n".into(),
            events: Vec::new(),
        };
        complete(&mut target, &credentials).expect("found");
        assert_eq!(target.secret.expose_secret(), "key");
    }
}
