//! Health check settings: the URLs pinged at the start and end of each job.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

/// Pings to a monitoring service that alerts when jobs fail or do not run, in the protocol of healthchecks.io: a POST to
/// `<address>/start`, and one to `<address>/<exit code>`. Only runs over all users send pings; runs for named users do not.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Healthchecks {
    /// Ping URL of all jobs, such as `https://hc-ping.com/PING-KEY/{job}`. `{job}` is replaced by the job name with hyphens, such as `calendar-cron`.
    /// Empty: only the jobs in `healthchecks.jobs` send pings. A secret.
    #[schemars(with = "String")]
    pub url: PingUrl,
    /// Timeout of a ping. A job waits at most this long for its last ping and never fails because of it.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Ping URLs of single jobs by name, overriding `healthchecks.url`: `"calendar cron" = "https://hc-ping.com/UUID"`. An empty URL
    /// disables the pings of that job. The URLs are secrets.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub jobs: BTreeMap<String, PingUrl>,
}

/// The URL of a check, or empty. Secret: anyone who knows it can send pings.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PingUrl(#[serde(serialize_with = "super::secrets::mask")] pub(super) SecretString);

impl TryFrom<String> for PingUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = Url::parse(&text.replace("{job}", "job"));
        if text.is_empty() || parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            Ok(Self(SecretString::from(text)))
        } else {
            Err("must be an http or https URL")
        }
    }
}

impl Default for Healthchecks {
    fn default() -> Self {
        Self { url: PingUrl::default(), timeout: Duration::from_secs(5), jobs: BTreeMap::new() }
    }
}

impl Healthchecks {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 2] {
        let url = self.url.0.expose_secret();
        [
            // Without the placeholder, all jobs would ping the same check.
            (url.is_empty() || url.contains("{job}"), "healthchecks.url", "an address with {job} in it"),
            (!self.timeout.is_zero(), "healthchecks.timeout", "more than 0s"),
        ]
    }

    /// The ping URL of a job. `None`: the job sends no pings.
    pub fn address(&self, job: &str) -> Option<Url> {
        let text = self.jobs.get(job).unwrap_or(&self.url).0.expose_secret();
        let name: String = job.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        Url::parse(&text.replace("{job}", &name)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_job_is_its_own_or_from_the_pattern() {
        let url = |text: &str| PingUrl::try_from(text.to_owned()).expect("an address");
        let mut checks = Healthchecks::default();
        let address = |checks: &Healthchecks, job: &str| checks.address(job).map(String::from);
        assert_eq!(address(&checks, "calendar cron"), None);
        checks.jobs.insert("calendar cron".into(), url("https://hc.example/1"));
        assert_eq!(address(&checks, "calendar cron").as_deref(), Some("https://hc.example/1"));
        assert_eq!(address(&checks, "gmail cron"), None);
        checks.url = url("https://hc.example/key/{job}?create=1");
        assert_eq!(
            address(&checks, "gmail renew-watches").as_deref(),
            Some("https://hc.example/key/gmail-renew-watches?create=1")
        );
        checks.jobs.insert("drive cron".into(), PingUrl::default());
        assert_eq!(address(&checks, "drive cron"), None);
        assert!(PingUrl::try_from("ftp://hc.example/1".to_owned()).is_err());
    }
}
