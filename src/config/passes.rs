//! Settings that a complete pass applies to what it reads: of what is stored already those of its last pass are in force. Pure.

use std::collections::BTreeMap;

use toml::Value;

use super::Settings;

/// By service; keys as `config show` has them.
const OF_PASSES: [(&str, &[&str]); 3] = [
    ("calendar", &["calendar.window_past", "calendar.window_future", "calendar.calendars", "calendar.meeting_words"]),
    ("drive", &["drive.documents", "drive.content_max_size"]),
    ("gmail", &["gmail.window", "gmail.store", "gmail.whole_max_size", "gmail.virtual_address", "gmail.domains"]),
];

/// The settings of a service that its passes depend on, as TOML writes their values; of a service that has none: nothing.
///
/// # Errors
/// Settings that TOML cannot write, which would be a fault of this program.
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
            let found = of_passes(&settings, service).expect("settings");
            assert_eq!(found.keys().copied().collect::<Vec<_>>().len(), keys.len(), "{service}: {found:?}");
        }
        assert_eq!(of_passes(&settings, "gmail").expect("settings")["gmail.store"], "\"detected\"");
        assert!(of_passes(&settings, "attendee").expect("settings").is_empty());
    }
}
