//! Settings of health checks: who is told of each job's start and end.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::expose;

/// Jobs that are announced to a service that raises an alarm when they fail or do not come, by the protocol of healthchecks.io: a POST to
/// `<address>/start`, and one to `<address>/<exit code>`. A run that covers everybody is announced, one of named users is not.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Healthchecks {
    /// The address of every job, with `{job}` for its name with hyphens, such as `https://hc-ping.com/PING-KEY/{job}` for `calendar-cron`;
    /// empty: only the jobs in `healthchecks.jobs` are announced. It is a secret.
    #[schemars(with = "String")]
    pub url: PingUrl,
    /// How long an announcement may take. A job never waits longer than that for the last one, and never fails for it.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Addresses of single jobs, by name, in place of `healthchecks.url`: `"calendar cron" = "https://hc-ping.com/UUID"`; empty: this job is
    /// not announced. Secrets too.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub jobs: BTreeMap<String, PingUrl>,
}

/// The address of a check, or none. Whoever knows it can announce anything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PingUrl(#[serde(serialize_with = "expose")] SecretString);

impl TryFrom<String> for PingUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = Url::parse(&text.replace("{job}", "job"));
        match text.is_empty() || parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            true => Ok(Self(SecretString::from(text))),
            false => Err("must be an http or https URL"),
        }
    }
}

impl Default for Healthchecks {
    fn default() -> Self {
        Self { url: PingUrl::default(), timeout: Duration::from_secs(5), jobs: BTreeMap::new() }
    }
}

impl Healthchecks {
    /// Bounds that types cannot say: whether each holds, its key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 2] {
        let url = self.url.0.expose_secret();
        [
            // Without it every job would report to the same check.
            (url.is_empty() || url.contains("{job}"), "healthchecks.url", "an address with {job} in it"),
            (!self.timeout.is_zero(), "healthchecks.timeout", "more than 0s"),
        ]
    }

    /// Where a job is announced. `None`: nowhere.
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
    fn a_job_has_its_own_address_or_that_of_the_pattern_or_none() {
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
