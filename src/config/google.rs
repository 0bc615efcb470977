//! Settings of the connection to Google.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Position, Url};

use super::{duration, is_origin};

/// Connection to Google.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Google {
    /// Single origin for all Google traffic (for tests). Empty: Google's own hosts.
    pub root: String,
    /// Hosts besides Google's own that imported credentials may name in `token_uri`, with a port unless it is 443. Contacted only by https.
    pub token_hosts: Vec<String>,
    /// Timeout of one request, including the response body.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Timeout for opening a connection.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// Maximum number of calls in one request to a batch endpoint. 1: no batching. The quota cost is the same.
    pub batch_size: u32,
    /// JSON file of an OAuth client of type "Desktop app", as downloaded from Google's console, for `accounts login`. Empty: pass `--client`.
    pub client_file: PathBuf,
}

impl Default for Google {
    fn default() -> Self {
        Self {
            root: String::new(),
            token_hosts: Vec::new(),
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            batch_size: 50,
            client_file: PathBuf::new(),
        }
    }
}

impl Google {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 3] {
        [
            ((1..=100).contains(&self.batch_size), "google.batch_size", "1 to 100"),
            (self.root.is_empty() || is_origin(&self.root), "google.root", "an origin such as http://127.0.0.1:8080"),
            (
                self.token_hosts.iter().all(|host| is_host(host)),
                "google.token_hosts",
                "hosts such as sts.example.com or sts.example.com:8443, without https://",
            ),
        ]
    }
}

/// Whether a text is a host as written in an https URL, with a port unless it is 443.
fn is_host(text: &str) -> bool {
    let url = Url::parse(&format!("https://{text}/"));
    url.is_ok_and(|url| url[Position::BeforeHost..Position::AfterPort].eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_not_a_url() {
        assert!(["sts.example.com", "Proxy.example.com:8443", "10.0.0.1", "[::1]:444"].into_iter().all(is_host));
        assert!(!["", "https://x", "x/y", "a@x", "x:443", "x y", "x?y", "x#y", "x\r\ny"].into_iter().any(is_host));
    }
}
