//! Push channel settings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{DAY, HOUR};

/// Push channels.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// https URL under which Google reaches `syncctl webhook serve`, without `/calendar` or `/drive`. Empty: no channels for Calendar and Drive.
    pub address: String,
    /// How long before its expiry a channel is replaced, but at most half its lifetime.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub renew_within: Duration,
    /// Requested lifetime of channels. Google may grant less.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub life: Duration,
    /// Pub/Sub topic for mailbox changes, as `projects/P/topics/T`. Empty: mailboxes are not watched.
    pub gmail_topic: String,
    /// Poll interval of a stream whose changes are announced by a channel.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub safety_interval: Duration,
    /// Number of consecutive unannounced changes after which a channel counts as silent.
    pub silent_after: u32,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            address: String::new(),
            renew_within: Duration::from_secs(DAY),
            life: Duration::from_secs(7 * DAY),
            gmail_topic: String::new(),
            safety_interval: Duration::from_secs(6 * HOUR),
            silent_after: 3,
        }
    }
}

impl Push {
    /// The address for notifications of a service: its path of `webhook serve` below `push.address`. Empty: no channels.
    pub fn address_of(&self, service: &str) -> String {
        match self.address.trim_end_matches('/') {
            "" => String::new(),
            address => format!("{address}/{service}"),
        }
    }

    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 6] {
        [
            (
                self.address.is_empty() || is_reachable(&self.address),
                "push.address",
                "an https address that Google can reach (http on loopback only), or empty",
            ),
            (!self.renew_within.is_zero(), "push.renew_within", "more than 0s"),
            ((60..=30 * DAY).contains(&self.life.as_secs()), "push.life", "1m to 30days"),
            (
                self.gmail_topic.is_empty() || is_topic(&self.gmail_topic),
                "push.gmail_topic",
                "projects/PROJECT/topics/TOPIC, or empty",
            ),
            (!self.safety_interval.is_zero(), "push.safety_interval", "more than 0s"),
            (self.silent_after >= 1, "push.silent_after", "1 or more"),
        ]
    }
}

fn is_reachable(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        },
        _ => false,
    })
}

fn is_topic(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    matches!(parts[..], ["projects", project, "topics", topic] if !project.is_empty() && !topic.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in ["https://sync.example.com/google", "http://127.0.0.1:8080/google", "http://[::1]:1/", "http://localhost/"] {
            assert!(is_reachable(good), "{good}");
        }
        for bad in ["http://sync.example.com/", "ftp://127.0.0.1/", "sync.example.com", "https://"] {
            assert!(!is_reachable(bad), "{bad}");
        }
        assert!(is_topic("projects/acme/topics/mail") && !is_topic("acme/mail") && !is_topic("projects//topics/x"));
    }
}
