//! One channel: what it watches, until when, and its messages.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Uri};
use chrono::DateTime;
use serde_json::{Value, json};

use crate::state::lock;

pub struct Channel {
    pub api: &'static str,
    pub id: String,
    pub user: String,
    /// Its name for the test's side.
    pub resource: String,
    pub resource_id: String,
    pub resource_uri: String,
    pub address: Uri,
    pub token: Option<String>,
    /// Milliseconds of the simulated clock, as are the next two.
    pub expires: i64,
    pub made: i64,
    /// The expiry, or the time at which it was stopped.
    pub ends: AtomicI64,
    pub silent: AtomicBool,
    pub sent: AtomicU64,
    number: AtomicU64,
    last: Mutex<Option<Message>>,
    /// Messages waiting for their first attempt, and whether a worker handles them.
    pub queue: Mutex<(VecDeque<Message>, bool)>,
}

#[derive(Clone)]
pub struct Message {
    pub number: u64,
    pub state: &'static str,
    pub changed: Option<Arc<str>>,
}

/// Parameters of a new channel.
pub struct New {
    pub api: &'static str,
    pub id: String,
    pub user: String,
    pub resource: String,
    pub resource_id: String,
    pub resource_uri: String,
    pub address: Uri,
    pub token: Option<String>,
    pub expires: i64,
    pub made: i64,
}

impl Channel {
    pub fn new(new: New) -> Self {
        Self {
            api: new.api,
            id: new.id,
            user: new.user,
            resource: new.resource,
            resource_id: new.resource_id,
            resource_uri: new.resource_uri,
            address: new.address,
            token: new.token,
            expires: new.expires,
            made: new.made,
            ends: AtomicI64::new(new.expires),
            silent: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            number: AtomicU64::new(0),
            last: Mutex::default(),
            queue: Mutex::default(),
        }
    }

    pub fn is_live(&self, now: i64) -> bool {
        now < self.ends.load(Ordering::Relaxed)
    }

    /// The next message. The first is number 1; after that, numbers rise by steps of 1 to 4.
    pub fn next(&self, state: &'static str, changed: Option<&str>) -> Message {
        let step = match state {
            "sync" => 1,
            _ => 1 + rand::random::<u64>() % 4,
        };
        let number = self.number.fetch_add(step, Ordering::Relaxed) + step;
        let message = Message { number, state, changed: changed.map(Into::into) };
        *lock(&self.last) = Some(message.clone());
        message
    }

    pub fn last(&self) -> Option<Message> {
        lock(&self.last).clone()
    }

    /// The message as a request. `None`: the client's ID or token is not a valid header value.
    pub fn request(&self, message: &Message) -> Option<Request<Body>> {
        let expires = DateTime::from_timestamp_millis(self.expires)?.format("%a, %d %b %Y %H:%M:%S GMT");
        let mut request = Request::post(self.address.clone())
            .header("accept", "*/*")
            .header("user-agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)")
            .header("content-type", "application/json; charset=UTF-8")
            .header("content-length", "0")
            .header("x-goog-channel-id", &self.id)
            .header("x-goog-channel-expiration", expires.to_string())
            .header("x-goog-resource-state", message.state)
            .header("x-goog-message-number", message.number)
            .header("x-goog-resource-id", &self.resource_id)
            .header("x-goog-resource-uri", &self.resource_uri);
        if let Some(token) = &self.token {
            request = request.header("x-goog-channel-token", token);
        }
        if let Some(changed) = &message.changed {
            request = request.header("x-goog-changed", &**changed);
        }
        request.body(Body::empty()).ok()
    }

    /// A line of the test's list.
    pub fn shown(&self) -> Value {
        json!({ "id": self.id, "api": self.api, "user": self.user, "resource": self.resource, "resource_id": self.resource_id,
            "address": self.address.to_string(), "expiration": DateTime::from_timestamp_millis(self.expires),
            "made_at": DateTime::from_timestamp_millis(self.made), "messages_sent": self.sent.load(Ordering::Relaxed),
            "silent": self.silent.load(Ordering::Relaxed) })
    }
}
