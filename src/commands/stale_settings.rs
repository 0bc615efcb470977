//! Finds settings changed since the last full passes, so that stored data does not match them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Settings, of_passes};
use crate::db::{Pool, streams};
use crate::services::registry;

/// A changed setting.
#[derive(Debug)]
pub(super) struct Changed {
    pub service: String,
    pub key: String,
    /// The current value and the earlier ones, as in TOML.
    pub now: String,
    pub was: Vec<String>,
    /// Number of streams whose last full pass used another value, and number of all streams of the service.
    pub streams: i64,
    pub of: i64,
}

impl Changed {
    /// `was "7days" in the last full pass of 2 of 2 streams`
    pub(super) fn text(&self) -> String {
        format!("was {} in the last full pass of {} of {} streams", self.was.join(", "), self.streams, self.of)
    }

    /// Returns the remedy.
    pub(super) fn remedy(&self) -> String {
        format!("`syncctl resync --all --service {}`, to bring stored data up to the new value", self.service)
    }
}

/// Returns the changed settings, by service and key.
pub(super) async fn changed(pool: &Pool, settings: &Settings) -> anyhow::Result<Vec<Changed>> {
    let mut changes: BTreeMap<(String, String), Changed> = BTreeMap::new();
    let passed = streams::passed_with(pool).await?;
    let mut of: BTreeMap<&str, i64> = BTreeMap::new();
    for passed in &passed {
        *of.entry(&passed.service).or_default() += passed.streams;
    }
    for passed in &passed {
        let keys = registry::find(&passed.service).map_or(&[][..], |service| service.pass_settings);
        for (key, now) in of_passes(settings, keys)? {
            // Skip settings that the pass did not record.
            let Some(was) = passed.settings.get(key).and_then(Value::as_str).filter(|was| *was != now) else { continue };
            let new = || Changed {
                service: passed.service.clone(),
                key: key.to_owned(),
                now,
                was: Vec::new(),
                streams: 0,
                of: of.get(passed.service.as_str()).copied().unwrap_or(0),
            };
            let changed = changes.entry((passed.service.clone(), key.to_owned())).or_insert_with(new);
            changed.streams += passed.streams;
            if !changed.was.iter().any(|known| known == was) {
                changed.was.push(was.to_owned());
            }
        }
    }
    Ok(changes.into_values().collect())
}
