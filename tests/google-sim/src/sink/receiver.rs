//! One receiver: its behaviour, signature checks, and recorded requests.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER_PERMISSIVE;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::state::lock;

const SIGNATURE: &str = "x-syncctl-signature";
const KEY: &str = "idempotency-key";

/// Behaviour of a receiver: POST it to `/admin/sink`; it replaces the previous one.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// The first path segment below `/sink`.
    pub name: String,
    /// Key for checking signatures.
    pub secret: Option<String>,
    /// The status of failing answers (500 if absent); if set without other failure settings: of all answers.
    pub status: Option<u16>,
    pub delay_ms: Option<u64>,
    /// Fails this often, then succeeds.
    pub fail_times: Option<u64>,
    /// Fails with this probability.
    pub probability: Option<f64>,
    /// A failure breaks the connection.
    #[serde(default)]
    pub drop: bool,
    /// A failure is a redirect to this URL (307, or a 3xx `status`).
    pub redirect: Option<String>,
    /// The size of the answer.
    pub body_bytes: Option<usize>,
    /// Retry delay in seconds that failing answers request.
    pub retry_after: Option<u64>,
    /// No answer until `/admin/sink/release`.
    #[serde(default)]
    pub stall: bool,
    /// Keeps the events with their bodies (default); else only counts and idempotency keys.
    pub keep: Option<bool>,
}

pub enum Outcome {
    Status(StatusCode),
    Redirect(StatusCode, HeaderValue),
    Drop,
}

/// A request waiting for its answer.
pub struct Arrival {
    pub outcome: Outcome,
    pub delay_ms: u64,
    pub body_bytes: Option<usize>,
    pub retry_after: Option<u64>,
    stalls: bool,
    /// Shared with the recorded event; 0: no answer yet, or none at all.
    status: Arc<AtomicU16>,
}

struct Event {
    at: DateTime<Utc>,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    signature: Option<&'static str>,
    status: Arc<AtomicU16>,
}

/// Requests since the last clearing.
#[derive(Default)]
struct Records {
    requests: u64,
    ok: u64,
    duplicates: u64,
    bad_signatures: u64,
    keys: HashSet<Box<[u8]>>,
    events: Vec<Event>,
}

#[derive(Default, Serialize)]
pub struct Counts {
    pub requests: u64,
    /// Answered with a 2xx.
    pub ok: u64,
    /// Idempotency keys of those.
    pub distinct_keys: u64,
    /// Those whose key had already been answered with a 2xx.
    pub duplicates: u64,
    pub bad_signatures: u64,
    /// Requests that wait for `/admin/sink/release`.
    pub stalled: u64,
}

pub struct Receiver {
    behaviour_and_chance: Mutex<(Behaviour, StdRng)>,
    records: Mutex<Records>,
    release: Notify,
    stalled: AtomicU64,
}

impl Default for Receiver {
    fn default() -> Self {
        let behaviour_and_chance = Mutex::new((Behaviour::default(), StdRng::seed_from_u64(20_261_124)));
        Self { behaviour_and_chance, records: Mutex::default(), release: Notify::new(), stalled: AtomicU64::new(0) }
    }
}

impl Receiver {
    pub fn configure(&self, behaviour: Behaviour) {
        lock(&self.behaviour_and_chance).0 = behaviour;
    }

    /// Releases the stalled requests, and stops stalling.
    pub fn release(&self) {
        lock(&self.behaviour_and_chance).0.stall = false;
        self.release.notify_waiters();
    }

    pub fn clear(&self) {
        *lock(&self.records) = Records::default();
    }

    /// Records a request and decides on its answer.
    pub fn arrived(&self, at: DateTime<Utc>, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Arrival {
        let mut behaviour_and_chance = lock(&self.behaviour_and_chance);
        let (behaviour, chance) = &mut *behaviour_and_chance;
        let signature = behaviour.secret.as_deref().map(|secret| if signed(secret, headers, body) { "good" } else { "bad" });
        let outcome = match signature {
            Some("bad") => Outcome::Status(StatusCode::UNAUTHORIZED),
            _ => behaviour.next(chance),
        };
        let arrival = Arrival {
            outcome,
            delay_ms: behaviour.delay_ms.unwrap_or(0),
            body_bytes: behaviour.body_bytes,
            retry_after: behaviour.retry_after,
            stalls: behaviour.stall,
            status: Arc::default(),
        };
        let keeps = behaviour.keep.unwrap_or(true);
        drop(behaviour_and_chance);
        let mut records = lock(&self.records);
        records.requests += 1;
        records.bad_signatures += u64::from(signature == Some("bad"));
        if keeps {
            let (path, status) = (uri.to_string(), Arc::clone(&arrival.status));
            let (method, headers, body) = (method.clone(), headers.clone(), body.clone());
            records.events.push(Event { at, method, path, headers, body, signature, status });
        }
        arrival
    }

    /// Waits for the release, if this request is stalled.
    pub async fn hold(&self, arrival: &Arrival) {
        if !arrival.stalls {
            return;
        }
        let stalled = Stalled::new(&self.stalled);
        let released = self.release.notified();
        // Released between the arrival and here: there would be no wake-up.
        if lock(&self.behaviour_and_chance).0.stall {
            released.await;
        }
        drop(stalled);
    }

    /// Counts the answer.
    pub fn answered(&self, arrival: &Arrival, headers: &HeaderMap) {
        let status = match arrival.outcome {
            Outcome::Drop => return,
            Outcome::Status(status) | Outcome::Redirect(status, _) => status,
        };
        arrival.status.store(status.as_u16(), Ordering::Relaxed);
        if !status.is_success() {
            return;
        }
        let mut records = lock(&self.records);
        records.ok += 1;
        if let Some(key) = headers.get(KEY)
            && !records.keys.insert(key.as_bytes().into())
        {
            records.duplicates += 1;
        }
    }

    pub fn counts(&self) -> Counts {
        let records = lock(&self.records);
        Counts {
            requests: records.requests,
            ok: records.ok,
            distinct_keys: records.keys.len() as u64,
            duplicates: records.duplicates,
            bad_signatures: records.bad_signatures,
            stalled: self.stalled.load(Ordering::Relaxed),
        }
    }

    /// The stored events, in order of arrival.
    pub fn events(&self) -> Vec<Value> {
        lock(&self.records).events.iter().map(Event::shown).collect()
    }
}

impl Event {
    fn shown(&self) -> Value {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers: serde_json::Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.to_string(), json!(text(value.as_bytes())))).collect();
        let status = Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0);
        json!({ "at": self.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true), "method": self.method.as_str(), "path": self.path,
            "headers": headers, "body": text(&self.body), "signature": self.signature, "status": status })
    }
}

impl Behaviour {
    fn next(&mut self, chance: &mut StdRng) -> Outcome {
        let struck = self.fail_times != Some(0)
            && self.probability.is_none_or(|probability| chance.random_bool(probability.clamp(0.0, 1.0)));
        if !struck {
            return Outcome::Status(StatusCode::OK);
        }
        let sometimes = self.fail_times.is_some() || self.probability.is_some();
        self.fail_times = self.fail_times.map(|remaining| remaining - 1);
        let status = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        if self.drop {
            return Outcome::Drop;
        }
        if let Some(location) = self.redirect.as_ref().and_then(|url| HeaderValue::from_str(url).ok()) {
            let status = status.filter(StatusCode::is_redirection).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
            return Outcome::Redirect(status, location);
        }
        let otherwise = if sometimes { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        Outcome::Status(status.unwrap_or(otherwise))
    }
}

/// Counts a request as stalled while it lives, so that an abandoned one is not counted forever.
struct Stalled<'a>(&'a AtomicU64);

impl<'a> Stalled<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether `t=UNIX,v1=HEX` signs this body: `v1` is the HMAC-SHA256 of `t`, a dot and the body.
fn signed(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let checked = || {
        let text = headers.get(SIGNATURE)?.to_str().ok()?;
        let part = |name: &str| text.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (time, digest) = (part("t")?, part("v1")?);
        time.parse::<i64>().ok()?;
        let digest = HEXLOWER_PERMISSIVE.decode(digest.as_bytes()).ok()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, &[time.as_bytes(), b".", body].concat(), &digest).ok()
    };
    checked().is_some()
}
