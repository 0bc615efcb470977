//! Settings of the outbox: where events go, and how patiently. Knows no file; `config/load.rs` reads the secrets that lie in one.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::expose;

/// Events for the outside.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    /// Who gets them: `[[outbox.targets]]`, or a TOML array where it is a variable or a flag.
    pub targets: Vec<Target>,
    /// How long a target may take to answer one event.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Failed tries of one event before it is dead.
    pub max_attempts: u32,
    /// Longest wait after the first failed try; it doubles, with full jitter.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub backoff_base: Duration,
    /// Longest wait between tries, also where a target asks for more.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub backoff_cap: Duration,
    /// Requests to one target under way at once.
    pub concurrency: u32,
    /// Whether a target may be on loopback or in a private network.
    pub allow_private: bool,
    /// How long events are kept once nobody waits for them.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// How long a sync may spend on deliveries at its end: no request begins after two fifths of it or takes more than half; 0s: none.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub run_budget: Duration,
}

/// Somebody who wants events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What reports and tables call it.
    pub name: String,
    /// Where events are POSTed: http or https.
    pub url: String,
    /// Key of the signature; empty: requests are not signed.
    #[serde(default, serialize_with = "expose")]
    #[schemars(with = "String")]
    pub secret: SecretString,
    /// A file with the key instead, private to its owner (mode 0600); a relative path is one in `$CREDENTIALS_DIRECTORY` where there is such a folder, or `syncctl.` and the name in `/etc/credstore`.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// Types of event: names, or beginnings such as `drive.*`; empty: all.
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
    /// Bounds that types cannot say: whether each holds, the key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 8] {
        let named = |(at, target): (usize, &Target)| {
            !target.name.is_empty() && self.targets[..at].iter().all(|earlier| earlier.name != target.name)
        };
        [
            (self.targets.iter().enumerate().all(named), "outbox.targets", "targets with names of their own"),
            (self.targets.iter().all(Target::has_url), "outbox.targets", "targets with an http or https url each"),
            (
                self.targets.iter().all(Target::has_patterns),
                "outbox.targets",
                "targets whose events are names, or beginnings like drive.*",
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
    fn patterns_are_names_or_beginnings_at_a_dot() {
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
