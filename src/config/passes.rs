//! Settings that a full pass applies to the items it reads. Stored items keep the settings of the last full pass. Pure.

use std::collections::BTreeMap;

use toml::Value;

use super::Settings;

/// The settings of these keys (as in `config show`) that exist, with TOML values.
///
/// # Errors
/// Returns an error if the settings cannot be serialized as TOML, which would be a bug.
pub fn of_passes(settings: &Settings, keys: &[&'static str]) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let all = Value::try_from(settings)?;
    let value = |key: &str| key.split('.').try_fold(&all, |at, part| at.get(part)).map(Value::to_string);
    Ok(keys.iter().filter_map(|key| Some((*key, value(key)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_toml_and_unknown_keys_have_none() {
        let values = of_passes(&Settings::default(), &["gmail.store", "gmail.stored"]).expect("settings");
        assert_eq!(values, BTreeMap::from([("gmail.store", "\"detected\"".to_owned())]));
    }
}
