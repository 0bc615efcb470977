//! Classification settings: which documents stay on this host, and the model endpoint. `config/load.rs` reads the key file.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

/// Assignment of documents to projects.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classify {
    /// Whether to classify documents.
    pub enabled: bool,
    /// Gmail labels whose mail is never sent to an endpoint.
    pub never_labels: Vec<String>,
    /// IDs of Drive folders whose files are never sent to an endpoint.
    pub never_folders: Vec<String>,
    /// Senders whose mail is never sent to an endpoint: addresses, or domains such as example.com.
    pub never_senders: Vec<String>,
    pub endpoint: Endpoint,
}

/// An OpenAI-compatible model endpoint for documents that local classification leaves undecided.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Base URL of the API, such as `https://api.example.com/v1`; `/chat/completions` is appended. Empty: no text leaves this host.
    pub url: String,
    /// Model name, as the endpoint knows it.
    pub model: String,
    /// File with the API key, private to its owner (mode 0600). A relative path is looked up in `$CREDENTIALS_DIRECTORY` if that is set, or as
    /// `/etc/credstore/syncctl.NAME`. Empty: no key is sent.
    pub key_file: PathBuf,
    /// Whether the endpoint may be on loopback or in a private network. Plain http is allowed only there.
    pub allow_private: bool,
    /// Timeout of one request.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Maximum number of requests per minute, across all hosts.
    pub requests_per_minute: u32,
    /// Maximum number of prompt and completion tokens per UTC day, across all hosts. 0: no limit. A call in progress reserves more than it will use.
    pub tokens_per_day: u64,
    /// Maximum cost of calls per UTC day, across all hosts, in the currency of the prices below. 0: no limit.
    pub cost_per_day: f64,
    /// Price per million prompt tokens.
    pub cost_per_million_prompt_tokens: f64,
    /// Price per million completion tokens.
    pub cost_per_million_completion_tokens: f64,
    /// The contents of `key_file`.
    #[serde(skip)]
    pub key: SecretString,
}

impl Default for Classify {
    fn default() -> Self {
        Self {
            enabled: true,
            never_labels: Vec::new(),
            never_folders: Vec::new(),
            never_senders: Vec::new(),
            endpoint: Endpoint::default(),
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            key_file: PathBuf::new(),
            allow_private: false,
            timeout: Duration::from_secs(30),
            requests_per_minute: 60,
            tokens_per_day: 1_000_000,
            cost_per_day: 0.0,
            cost_per_million_prompt_tokens: 0.0,
            cost_per_million_completion_tokens: 0.0,
            key: SecretString::default(),
        }
    }
}

impl Classify {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (bool, &'static str, &'static str)> {
        let named = |list: &[String]| list.iter().all(|name| !name.trim().is_empty());
        let senders = self.never_senders.iter().all(|sender| is_sender(sender));
        [
            (named(&self.never_labels), "classify.never_labels", "non-empty labels"),
            (named(&self.never_folders), "classify.never_folders", "non-empty folder ids"),
            (senders, "classify.never_senders", "addresses, or domains such as example.com"),
        ]
        .into_iter()
        .chain(self.endpoint.bounds())
    }
}

impl Endpoint {
    /// Whether an endpoint is configured.
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }

    fn bounds(&self) -> [(bool, &'static str, &'static str); 10] {
        let price = |price: f64| (0.0..=1_000_000.0).contains(&price);
        let is_priced = self.cost_per_million_prompt_tokens > 0.0 || self.cost_per_million_completion_tokens > 0.0;
        [
            (
                !self.is_on() || is_base(&self.url),
                "classify.endpoint.url",
                "the base of an API such as https://api.example.com/v1, without a user, a query or a fragment",
            ),
            (
                self.allow_private || !self.is_on() || self.url.starts_with("https:"),
                "classify.endpoint.url",
                "https; http is allowed only in private networks, with classify.endpoint.allow_private=true",
            ),
            (
                !self.is_on() || !self.model.trim().is_empty(),
                "classify.endpoint.model",
                "a model name, since classify.endpoint.url is set",
            ),
            ((1..=600).contains(&self.timeout.as_secs()), "classify.endpoint.timeout", "1s to 10m"),
            ((1..=100_000).contains(&self.requests_per_minute), "classify.endpoint.requests_per_minute", "1 to 100000"),
            (
                self.tokens_per_day == 0 || (50_000..=1 << 60).contains(&self.tokens_per_day),
                "classify.endpoint.tokens_per_day",
                "0 (no limit), or 50000 or more: one call reserves thousands",
            ),
            ((0.0..=1e9).contains(&self.cost_per_day), "classify.endpoint.cost_per_day", "0 (no limit) to 1000000000"),
            (
                self.cost_per_day == 0.0 || is_priced,
                "classify.endpoint.cost_per_day",
                "0 unless classify.endpoint.cost_per_million_prompt_tokens or classify.endpoint.cost_per_million_completion_tokens is set",
            ),
            (price(self.cost_per_million_prompt_tokens), "classify.endpoint.cost_per_million_prompt_tokens", "0 to 1000000"),
            (
                price(self.cost_per_million_completion_tokens),
                "classify.endpoint.cost_per_million_completion_tokens",
                "0 to 1000000",
            ),
        ]
    }
}

/// Whether a text is a URL to which API paths can be appended.
fn is_base(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && bare
    })
}

/// Whether a text is an email address or a domain.
fn is_sender(text: &str) -> bool {
    let domain = text.rsplit_once('@').map_or(text, |(_, domain)| domain);
    !domain.is_empty() && !text.contains(char::is_whitespace) && text.matches('@').count() <= 1 && domain.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Classify)) -> Option<&'static str> {
        let mut settings = Classify::default();
        settings.endpoint.url = "https://api.example.com/v1".into();
        settings.endpoint.model = "small".into();
        change(&mut settings);
        settings.bounds().find_map(|(holds, key, _)| (!holds).then_some(key))
    }

    #[test]
    fn an_endpoint_is_off_unless_configured_and_then_validated() {
        assert!(!Classify::default().endpoint.is_on());
        assert_eq!(refused(|_| ()), None);
        assert_eq!(refused(|s| s.endpoint.model.clear()), Some("classify.endpoint.model"));
        for url in [
            "api.example.com/v1",
            "ftp://api.example.com",
            "https://me:hush@api.example.com",
            "https://api.example.com/v1?key=x",
            "http://api.example.com/v1",
        ] {
            assert_eq!(refused(|s| s.endpoint.url = url.into()), Some("classify.endpoint.url"), "{url}");
        }
        assert_eq!(refused(|s| (s.endpoint.url, s.endpoint.allow_private) = ("http://127.0.0.1:11434/v1".into(), true)), None);
    }

    #[test]
    fn a_cost_limit_needs_a_price_and_must_be_finite() {
        let key = "classify.endpoint.cost_per_day";
        assert_eq!(refused(|s| s.endpoint.cost_per_day = 2.0), Some(key));
        assert_eq!(refused(|s| s.endpoint.cost_per_day = f64::NAN), Some(key));
        assert_eq!(refused(|s| (s.endpoint.cost_per_day, s.endpoint.cost_per_million_prompt_tokens) = (2.0, 0.15)), None);
        let key = "classify.endpoint.cost_per_million_completion_tokens";
        assert_eq!(refused(|s| s.endpoint.cost_per_million_completion_tokens = -1.0), Some(key));
        assert_eq!(refused(|s| s.endpoint.tokens_per_day = 100), Some("classify.endpoint.tokens_per_day"));
        assert_eq!(refused(|s| s.endpoint.tokens_per_day = 0), None);
    }

    #[test]
    fn local_only_senders_are_addresses_or_domains() {
        assert_eq!(refused(|s| s.never_senders = vec!["ann@example.com".into(), "example.org".into()]), None);
        for wrong in ["", " ", "@", "ann@", "a b@example.com", "a@b@example.com", "localhost"] {
            assert_eq!(refused(|s| s.never_senders = vec![wrong.into()]), Some("classify.never_senders"), "{wrong:?}");
        }
    }
}
