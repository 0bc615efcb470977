//! Secrets among the settings: which they are, how they are read from files, and what is printed instead of them.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use toml::Value;
use url::Url;

use super::Target;
use crate::error::Fault;

/// Keys whose values are never printed.
pub(super) const SECRETS: [&str; 6] =
    ["db.url", "db.password", "seal.keys", "webhook.gmail_token", "webhook.attendee_secret", "healthchecks.url"];

/// Sections whose keys are names of the user's choice, and whose values are secret texts.
const NAMED: [&str; 1] = ["healthchecks.jobs."];

/// Whether a key is a name in such a section.
pub(super) fn is_named(key: &str) -> bool {
    NAMED.iter().any(|section| key.starts_with(section))
}

/// The text of a file that holds one secret.
pub(super) fn read_secret(path: &Path, origin: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::settings(format!("{origin}: {} cannot be read: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Reads the key of a target that keeps it in a file, which systemd may have put among the credentials of the unit; answers what is wrong with it.
pub(super) fn complete(target: &mut Target, credentials: Option<&Path>) -> Result<(), String> {
    let file = &match credentials {
        Some(folder) if !target.secret_file.as_os_str().is_empty() => folder.join(&target.secret_file),
        _ => target.secret_file.clone(),
    };
    if file.as_os_str().is_empty() {
        return Ok(());
    }
    if !target.secret.expose_secret().is_empty() {
        return Err("has both secret and secret_file".into());
    }
    let text = std::fs::read_to_string(file).map_err(|error| format!("secret_file {}: {error}", file.display()))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    // Unsigned requests would look like a choice.
    if secret.is_empty() {
        return Err(format!("secret_file {} is empty", file.display()));
    }
    target.secret = SecretString::from(secret);
    Ok(())
}

/// A value as it may be shown.
pub(super) fn masked(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if (SECRETS.contains(&key) || is_named(key)) && !text.is_empty() => "***".into(),
        Value::Array(items) => Value::Array(items.iter().map(masked_section).collect()).to_string(),
        value => value.to_string(),
    }
}

/// A target has a key of its own, and perhaps a password in its address.
fn masked_section(item: &Value) -> Value {
    let Value::Table(table) = item else { return item.clone() };
    let mut table = table.clone();
    if table.contains_key("secret") {
        table.insert("secret".into(), "***".into());
    }
    if let Some(mut url) = table.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok())
        && url.password().is_some()
        && url.set_password(Some("***")).is_ok()
    {
        table.insert("url".into(), url.to_string().into());
    }
    Value::Table(table)
}
