//! How settings are serialized: masked, except where the secrets are asked for.

use secrecy::{ExposeSecret as _, SecretString};
use serde::ser::Error as _;
use serde::{Serialize as _, Serializer};

use super::{MASK, without_path};
use crate::config::Settings;

/// Serializes a secret masked, so that settings can be serialized anywhere; an empty one stays empty.
pub fn mask<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if secret.expose_secret().is_empty() { "" } else { MASK })
}

/// Serializes the URL of a target without its path.
pub fn mask_path<S: Serializer>(url: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&without_path(url))
}

/// Serializes settings with all their secrets in clear, for the standard input of a process that must have them.
pub fn expose<S: Serializer>(settings: &Settings, to: S) -> Result<S::Ok, S::Error> {
    let mut json = serde_json::to_value(settings).map_err(S::Error::custom)?;
    let Settings { db, seal, webhook, healthchecks, outbox, .. } = settings;
    let clear = |secret: &SecretString| secret.expose_secret().to_owned().into();
    json["db"]["url"] = clear(&db.url);
    json["db"]["password"] = clear(&db.password);
    json["seal"]["keys"] = clear(&seal.keys);
    json["webhook"]["gmail_token"] = clear(&webhook.gmail_token);
    json["webhook"]["attendee_secret"] = clear(&webhook.attendee_secret);
    json["webhook"]["classify_secret"] = clear(&webhook.classify_secret);
    json["healthchecks"]["url"] = clear(&healthchecks.url.0);
    for (job, url) in &healthchecks.jobs {
        json["healthchecks"]["jobs"][job] = clear(&url.0);
    }
    for (at, target) in outbox.targets.iter().enumerate() {
        json["outbox"]["targets"][at]["secret"] = clear(&target.secret);
        json["outbox"]["targets"][at]["url"] = target.url.clone().into();
    }
    json.serialize(to)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use toml::Value;

    use super::*;
    use crate::config::Target;
    use crate::config::reference::default_values;
    use crate::config::secrets::SECRETS;
    use crate::config::tree::nest;

    const HUSH: &str = "https://hush.example/{job}";

    #[test]
    fn every_secret_is_masked_unless_it_is_exposed() {
        let defaults = default_values().expect("the defaults");
        let mut masked = Vec::new();
        for key in defaults.keys() {
            let mut values = defaults.clone();
            values.insert(key.clone(), HUSH.into());
            // Numbers, durations and lists refuse the text.
            let Ok(settings) = Value::Table(nest(values.iter())).try_into::<Settings>() else { continue };
            if !serde_json::to_string(&settings).expect("JSON").contains(HUSH) {
                let json = expose(&settings, serde_json::value::Serializer).expect("JSON");
                assert!(json.to_string().contains(HUSH), "{key} is not exposed");
                masked.push(key.clone());
            }
        }
        let mut secrets = SECRETS.map(str::to_owned);
        secrets.sort();
        assert_eq!(masked, secrets);
    }

    #[test]
    fn secrets_of_targets_and_single_jobs_are_masked_unless_they_are_exposed() {
        let mut settings = Settings::default();
        settings.healthchecks.jobs.insert("gmail cron".into(), HUSH.to_owned().try_into().expect("a URL"));
        settings.outbox.targets.push(Target {
            name: "n8n".into(),
            url: "https://n8n.example.com/hush".into(),
            secret: "hush".into(),
            secret_file: PathBuf::new(),
            events: Vec::new(),
        });
        let json = serde_json::to_value(&settings).expect("JSON");
        assert!(!json.to_string().contains("hush"), "{json}");
        let exposed = expose(&settings, serde_json::value::Serializer).expect("JSON");
        let target = exposed["outbox"]["targets"][0].as_object().expect("a target");
        assert_eq!((&target["url"], &target["secret"]), (&"https://n8n.example.com/hush".into(), &"hush".into()));
        assert_eq!(exposed["healthchecks"]["jobs"]["gmail cron"], HUSH);
    }
}
