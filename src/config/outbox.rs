//! Outbox settings: targets and retries. `config/load.rs` reads the files with their secrets.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

/// Delivery of events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    /// Where events are delivered: `[[outbox.targets]]`, or a TOML array in a variable or flag.
    pub targets: Vec<Target>,
    /// Timeout of one request to a target.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Failed attempts per event before it is marked dead.
    pub max_attempts: u32,
    /// Maximum wait after the first failed attempt. Doubles with each attempt, with full jitter.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub backoff_base: Duration,
    /// Maximum wait between attempts, even if a target asks for more.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub backoff_cap: Duration,
    /// Maximum number of concurrent requests per target.
    pub concurrency: u32,
    /// Whether a target may be on loopback or in a private network.
    pub allow_private: bool,
    /// How long events are kept after their creation. Events with pending deliveries are always kept.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// Time that a sync may spend on deliveries at its end. No request starts after two fifths of it or takes more than half. 0s: no deliveries.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub run_budget: Duration,
}

/// A receiver of events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Unique name, used in reports and tables.
    pub name: String,
    /// http or https URL to which events are POSTed.
    #[serde(serialize_with = "super::secrets::mask_path")]
    pub url: String,
    /// Signing key. Empty: requests are not signed.
    #[serde(default, serialize_with = "super::secrets::mask")]
    #[schemars(with = "String")]
    pub secret: SecretString,
    /// File with the signing key, as an alternative to `secret`, private to its owner (mode 0600). A relative path is looked up in
    /// `$CREDENTIALS_DIRECTORY` if that is set, or as `/etc/credstore/syncctl.NAME`.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// Event types to deliver: names, or prefixes such as `drive.*`. Empty: all.
    #[serde(default)]
    pub events: Vec<String>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            timeout: Duration::from_secs(10),
            max_attempts: 12,
            backoff_base: Duration::from_secs(30),
            backoff_cap: Duration::from_secs(60 * 60),
            concurrency: 8,
            allow_private: false,
            keep: Duration::from_secs(30 * 24 * 60 * 60),
            run_budget: Duration::from_secs(10),
        }
    }
}

impl Outbox {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 8] {
        let named = |(at, target): (usize, &Target)| {
            !target.name.is_empty() && self.targets[..at].iter().all(|earlier| earlier.name != target.name)
        };
        [
            (self.targets.iter().enumerate().all(named), "outbox.targets", "targets with distinct names"),
            (self.targets.iter().all(Target::has_url), "outbox.targets", "targets that each have an http or https url"),
            (
                self.targets.iter().all(Target::has_patterns),
                "outbox.targets",
                "targets whose events are names, or prefixes like drive.*",
            ),
            (!self.timeout.is_zero(), "outbox.timeout", "more than 0s"),
            ((1..=1000).contains(&self.max_attempts), "outbox.max_attempts", "1 to 1000"),
            (self.backoff_base <= self.backoff_cap, "outbox.backoff_base", "at most outbox.backoff_cap"),
            ((1..=256).contains(&self.concurrency), "outbox.concurrency", "1 to 256"),
            (self.backoff_cap <= Duration::from_secs(30 * 24 * 60 * 60), "outbox.backoff_cap", "at most 30days"),
        ]
    }
}

impl Target {
    fn has_url(&self) -> bool {
        Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    }

    fn has_patterns(&self) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        self.events.iter().all(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => (beginning.is_empty() || beginning.ends_with('.')) && beginning.chars().all(word),
            None => !pattern.is_empty() && pattern.chars().all(word),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_or_prefixes_that_end_at_a_dot() {
        let target = |pattern: &str| Target {
            name: "n8n".into(),
            url: "https://n8n.example.com/webhook/1".into(),
            secret: SecretString::default(),
            secret_file: PathBuf::new(),
            events: vec![pattern.into()],
        };
        for good in ["*", "drive.*", "drive.file.*", "gmail.message.detected"] {
            assert!(target(good).has_patterns(), "{good}");
        }
        for bad in ["", "dri*", "drive.%", "*.file", "drive.*.moved"] {
            assert!(!target(bad).has_patterns(), "{bad}");
        }
    }
}
