//! Announces a job's start and end using the healthchecks.io protocol: <https://healthchecks.io/docs/http_api/>

use std::time::Duration;

use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

use crate::config::Healthchecks;
use crate::error::{Class, Exit, Failure};
use crate::http::{self, without_addresses};

/// An announced run; does nothing if the run is not announced.
pub struct Check(Option<Begun>);

struct Begun {
    to: Address,
    start: JoinHandle<Result<(), Failure>>,
}

#[derive(Clone)]
struct Address {
    job: String,
    url: Url,
    run: Uuid,
    timeout: Duration,
    client: reqwest::Client,
}

impl Check {
    /// A run that is not announced.
    pub fn none() -> Self {
        Self(None)
    }

    /// Announces the start of a run, concurrently with the run.
    pub fn begin(settings: &Healthchecks, http: &http::Client, job: &str, run: Uuid) -> Self {
        Self(address(settings, http, job, run).map(|to| {
            let start = to.clone();
            Begun { to, start: tokio::spawn(async move { start.post("start", String::new(), start.timeout).await }) }
        }))
    }

    /// Announces the end of a run; waits at most the time limit for that.
    pub async fn end<T>(self, ended: &anyhow::Result<T>, exit: impl Fn(&T) -> Exit, line: impl Fn(&T) -> Option<String>) {
        let Some(Begun { to, mut start }) = self.0 else { return };
        let (exit, line) = match ended {
            Ok(report) => (exit(report), line(report)),
            Err(error) => (Exit::of(error), Some(format!("{error:#}"))),
        };
        // The start goes first, or the check would consider the job still running. But the end matters more: it gets half of the time.
        let half = to.timeout / 2;
        let started = match tokio::time::timeout(half, &mut start).await {
            Ok(result) => result.unwrap_or(Ok(())),
            Err(_) => {
                start.abort();
                Err(late("start"))
            }
        };
        let ended = to.post(&(exit as u8).to_string(), line.unwrap_or_default(), half).await;
        to.warn(started.and(ended));
    }
}

/// Reports that a run was skipped, without a start or end.
pub async fn skipped(settings: &Healthchecks, http: &http::Client, job: &str, run: Uuid, line: &str) {
    if let Some(to) = address(settings, http, job, run) {
        to.warn(to.post("log", line.to_owned(), to.timeout).await);
    }
}

fn address(settings: &Healthchecks, http: &http::Client, job: &str, run: Uuid) -> Option<Address> {
    let url = settings.address(job)?;
    let client =
        http.to(&url).map_err(|failure| log::warn!("{job}: could not notify the health check: {}", failure.message)).ok()?;
    Some(Address { job: job.to_owned(), url, run, timeout: settings.timeout, client })
}

fn late(signal: &str) -> Failure {
    Failure::new(Class::Transient, format!("{signal}: it did not answer in time"))
}

impl Address {
    async fn post(&self, signal: &str, line: String, within: Duration) -> Result<(), Failure> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(signal);
        }
        url.query_pairs_mut().append_pair("rid", &self.run.to_string());
        let request = self.client.post(url).timeout(within).body(without_addresses(&line));
        let response = request
            .send()
            .await
            .map_err(|error| if error.is_timeout() { late(signal) } else { http::transient(signal, error) })?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(Failure::new(Class::Permanent, format!("{signal}: it answered {status}"))),
        }
    }

    /// Logs a failure, without the URL, which is a secret.
    fn warn(&self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            log::warn!("could not notify the health check of `{}`: {}", self.job, failure.message);
        }
    }
}
