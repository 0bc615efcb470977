//! The keys with which Google signs identity tokens: fetched when needed, cached as long as Google allows.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use reqwest::header::CACHE_CONTROL;
use tokio::sync::Mutex;

use crate::error::{Class, Failure};
use crate::http::{SMALL, connections, received, transient};

/// Maximum response time: callers that wait for the keys must respond in time themselves.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Minimum wait after a fetch for a key missing from a known set (requests can name any key), and after a failed fetch.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(5));
/// Minimum and maximum time that keys are cached.
const KEEP: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));

/// A key set at a URL.
pub struct Keys {
    url: String,
    cached: Mutex<Cached>,
}

#[derive(Default)]
struct Cached {
    set: Option<(JwkSet, Instant)>,
    not_before: Option<Instant>,
}

impl Keys {
    /// A key set that has not been fetched yet.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), cached: Mutex::default() }
    }

    /// The key with this id; `None`: Google has no such key, as of at most a minute ago.
    ///
    /// # Errors
    /// Returns an error if the keys are not cached and cannot be fetched.
    pub async fn find(&self, id: &str) -> Result<Option<Jwk>, Failure> {
        let mut cached = self.cached.lock().await;
        let now = Instant::now();
        let good = cached.set.as_ref().filter(|(_, until)| now < *until);
        if let Some(key) = good.and_then(|(set, _)| set.find(id)) {
            return Ok(Some(key.clone()));
        }
        if cached.not_before.is_some_and(|time| now < time) {
            return match good {
                Some(_) => Ok(None),
                None => Err(Failure::new(Class::Transient, "keys: not available; requested a moment ago")),
            };
        }
        let missing = good.is_some();
        cached.not_before = Some(now + PATIENCE.1);
        // Logged here, at most every few seconds, and not for each request that needed the keys.
        let (set, age) = self.fetch().await.inspect_err(|failure| log::warn!("Google's keys cannot be fetched: {failure}"))?;
        // Google may replace its keys right after the first fetch; after the next one, a missing key is looked up once a minute.
        cached.not_before = missing.then(|| now + PATIENCE.0);
        let key = set.find(id).cloned();
        cached.set = Some((set, now + age));
        Ok(key)
    }

    async fn fetch(&self) -> Result<(JwkSet, Duration), Failure> {
        let broken = |error| transient("keys", error);
        // Fetched a few times a day: a client kept for it would hold a dead connection by then.
        let http = connections::builder(TIMEOUT, false)?.build().map_err(connections::unbuilt)?;
        let answer = http.get(&self.url).send().await.and_then(reqwest::Response::error_for_status).map_err(broken)?;
        let said = answer.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).and_then(max_age);
        let (_, _, body) = received("keys", answer, SMALL).await?;
        let set = serde_json::from_slice(&body)
            .map_err(|error| Failure::new(Class::Transient, format!("keys: not a set of keys: {error}")))?;
        Ok((set, said.unwrap_or(KEEP.0).clamp(KEEP.0, KEEP.1)))
    }
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let seconds = cache_control.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}
