//! Settings that a full pass applies to the items it reads. Stored items keep the settings of the last full pass. Pure.

use std::collections::BTreeMap;

use toml::Value;

use super::Settings;

/// By service, with keys as in `config show`.
const OF_PASSES: [(&str, &[&str]); 3] = [
    ("calendar", &["calendar.window_past", "calendar.window_future", "calendar.calendars", "calendar.meeting_words"]),
    ("drive", &["drive.documents", "drive.content_max_size"]),
    ("gmail", &["gmail.window", "gmail.store", "gmail.whole_max_size", "gmail.virtual_address", "gmail.domains"]),
];

/// The settings that the full passes of a service depend on, with TOML values. Empty for services without such settings.
///
/// # Errors
/// Returns an error if the settings cannot be serialized as TOML, which would be a bug.
pub fn of_passes(settings: &Settings, service: &str) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let all = Value::try_from(settings)?;
    let keys = OF_PASSES.iter().find(|(name, _)| *name == service).map_or(&[][..], |(_, keys)| *keys);
    let value = |key: &str| key.split('.').try_fold(&all, |at, part| at.get(part)).map(Value::to_string);
    Ok(keys.iter().filter_map(|key| Some((*key, value(key)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_a_setting() {
        let settings = Settings::default();
        for (service, keys) in OF_PASSES {
            let values = of_passes(&settings, service).expect("settings");
            assert_eq!(values.len(), keys.len(), "{service}: {values:?}");
        }
        assert_eq!(of_passes(&settings, "gmail").expect("settings")["gmail.store"], "\"detected\"");
        assert!(of_passes(&settings, "attendee").expect("settings").is_empty());
    }
}
