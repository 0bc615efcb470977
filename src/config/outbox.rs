//! Outbox settings: targets, the event types that they take, and retries. `config/load.rs` reads the files with their secrets.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
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
    /// Signing key. Empty: requests are not signed. For the Standard Webhooks signature, base64 is decoded, with or without `whsec_` in front.
    #[serde(default, serialize_with = "super::secrets::mask")]
    #[schemars(with = "String")]
    pub secret: SecretString,
    /// File with the signing key, as an alternative to `secret`, private to its owner (mode 0600). A relative path is looked up in
    /// `$CREDENTIALS_DIRECTORY` if that is set, or as `/etc/credstore/syncctl.NAME`.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// Event types to deliver: names, or prefixes such as `drive.*`. Empty or `*`: all standard types. Opt-in types are only written if a target names
    /// them, or a prefix that no standard type has, such as `calendar.*`.
    #[serde(default)]
    pub events: Vec<String>,
}

/// Prefix of a secret in the form of Standard Webhooks, followed by the key in base64.
const SECRET_PREFIX: &str = "whsec_";

/// The event types of a service. No two services have types with the same first word.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTypes {
    /// Delivered to each target with a pattern that matches.
    pub standard: &'static [&'static str],
    /// Neither written nor delivered unless a target asks for them.
    pub opt_in: &'static [&'static str],
}

impl EventTypes {
    /// All types.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        self.standard.iter().chain(self.opt_in).copied()
    }
}

/// Whether a pattern of the settings matches this event type.
pub fn matches(pattern: &str, kind: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == kind, |prefix| kind.starts_with(prefix))
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
    /// The opt-in types of a service that a target asks for.
    pub fn requested(&self, types: &EventTypes) -> HashSet<&'static str> {
        types.opt_in.iter().copied().filter(|kind| self.targets.iter().any(|target| target.asks_for(kind, types))).collect()
    }

    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 9] {
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
            (
                self.targets.iter().all(Target::has_secret_in_form),
                "outbox.targets",
                "targets whose secret, if it begins with whsec_, continues with a key in base64",
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
    /// Whether it takes an opt-in type: by name, or by a prefix that no standard type has. So existing patterns do not take types of later versions.
    pub fn asks_for(&self, kind: &str, types: &EventTypes) -> bool {
        let takes_standard = |pattern: &str| types.standard.iter().any(|standard| matches(pattern, standard));
        let asks = |pattern: &str| pattern == kind || (pattern != "*" && matches(pattern, kind) && !takes_standard(pattern));
        self.events.iter().any(|pattern| asks(pattern))
    }

    /// The key of the Standard Webhooks signature: the base64 after `whsec_`, or the secret as base64; as it is if it is neither.
    pub fn standard_key(&self) -> Vec<u8> {
        let secret = self.secret.expose_secret();
        let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
        BASE64.decode(encoded.as_bytes()).unwrap_or_else(|_| secret.as_bytes().to_vec())
    }

    fn has_secret_in_form(&self) -> bool {
        let encoded = self.secret.expose_secret().strip_prefix(SECRET_PREFIX);
        encoded.is_none_or(|encoded| BASE64.decode(encoded.as_bytes()).is_ok_and(|key| !key.is_empty()))
    }

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

    fn target(pattern: &str) -> Target {
        Target {
            name: "n8n".into(),
            url: "https://n8n.example.com/webhook/1".into(),
            secret: SecretString::default(),
            secret_file: PathBuf::new(),
            events: vec![pattern.into()],
        }
    }

    #[test]
    fn opt_in_types_are_taken_by_name_or_by_a_prefix_of_their_own() {
        let types = EventTypes { standard: &["mail.message.detected"], opt_in: &["mail.message.received", "mail.label.changed"] };
        let asks = |pattern: &str| [0, 1].map(|at: usize| target(pattern).asks_for(types.opt_in[at], &types));
        let rows = [
            ("*", [false, false]),
            ("mail.*", [false, false]),
            ("mail.message.*", [false, false]),
            ("mail.message.received", [true, false]),
            ("mail.label.*", [false, true]),
            ("drive.*", [false, false]),
        ];
        for (pattern, expected) in rows {
            assert_eq!(asks(pattern), expected, "{pattern}");
        }
        let everything = Target { events: Vec::new(), ..target("*") };
        assert!(!types.opt_in.iter().any(|kind| everything.asks_for(kind, &types)));
        let outbox = Outbox { targets: vec![target("*"), target("mail.label.*")], ..Outbox::default() };
        assert_eq!(outbox.requested(&types), HashSet::from(["mail.label.changed"]));
        assert_eq!(Outbox::default().requested(&types), HashSet::new());
    }

    #[test]
    fn a_secret_is_base64_with_or_without_its_prefix_or_the_key_itself() {
        let of = |secret: &str| Target { secret: secret.into(), ..target("*") };
        for secret in ["whsec_MfKQ9r8GKYqrTwjU", "MfKQ9r8GKYqrTwjU"] {
            assert_eq!(of(secret).standard_key(), BASE64.decode(b"MfKQ9r8GKYqrTwjU").expect("base64"), "{secret}");
        }
        assert_eq!(of("not base64!").standard_key(), b"not base64!");
        assert!(of("whsec_MfKQ9r8GKYqrTwjU").has_secret_in_form() && of("not base64!").has_secret_in_form());
        assert!(!of("whsec_not base64!").has_secret_in_form() && !of("whsec_").has_secret_in_form());
    }

    #[test]
    fn patterns_are_names_or_beginnings_at_a_dot() {
        for good in ["*", "drive.*", "drive.file.*", "gmail.message.detected"] {
            assert!(target(good).has_patterns(), "{good}");
        }
        for bad in ["", "dri*", "drive.%", "*.file", "drive.*.moved"] {
            assert!(!target(bad).has_patterns(), "{bad}");
        }
    }
}
