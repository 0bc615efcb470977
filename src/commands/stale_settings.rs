//! Settings that were changed since the last complete passes, so that what is stored is not as they say.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Settings, of_passes};
use crate::db::{Pool, streams};

/// A setting that is another one now.
#[derive(Debug)]
pub(super) struct Changed {
    pub service: String,
    pub key: String,
    /// What it is, and what it was: as TOML writes them.
    pub now: String,
    pub was: Vec<String>,
    /// Streams whose last complete pass was made with another value, and how many there are of the service.
    pub streams: i64,
    pub of: i64,
}

impl Changed {
    /// `was "7days" in the last complete pass of 2 of 2 streams`
    pub(super) fn text(&self) -> String {
        format!("was {} in the last complete pass of {} of {} streams", self.was.join(", "), self.streams, self.of)
    }

    /// What makes it good.
    pub(super) fn remedy(&self) -> String {
        format!("`syncctl resync --all --service {}`, if what is stored is to be as it says now", self.service)
    }
}

/// What was changed, by service and key.
pub(super) async fn changed(pool: &Pool, settings: &Settings) -> anyhow::Result<Vec<Changed>> {
    let mut found: BTreeMap<(String, String), Changed> = BTreeMap::new();
    let passed = streams::passed_with(pool).await?;
    let mut of: BTreeMap<&str, i64> = BTreeMap::new();
    for passed in &passed {
        *of.entry(&passed.service).or_default() += passed.streams;
    }
    for passed in &passed {
        for (key, now) in of_passes(settings, &passed.service)? {
            // One that the pass knew nothing of says nothing.
            let Some(was) = passed.settings.get(key).and_then(Value::as_str).filter(|was| *was != now) else { continue };
            let new = || Changed {
                service: passed.service.clone(),
                key: key.to_owned(),
                now,
                was: Vec::new(),
                streams: 0,
                of: of.get(passed.service.as_str()).copied().unwrap_or(0),
            };
            let changed = found.entry((passed.service.clone(), key.to_owned())).or_insert_with(new);
            changed.streams += passed.streams;
            if !changed.was.iter().any(|known| known == was) {
                changed.was.push(was.to_owned());
            }
        }
    }
    Ok(found.into_values().collect())
}
