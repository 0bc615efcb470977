//! The state of the simulator: users, calendars, tokens, and a movable clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::attendee::Attendee;
use crate::concurrency::Concurrency;
use crate::directory::Directory;
use crate::drive::Store;
use crate::faults::Faults;
use crate::feed::{Feed, Outside};
use crate::gmail::Mailbox;
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::models::Models;
use crate::oauth::Grants;
use crate::push::Push;
use crate::quota::Quota;
use crate::requests::Requests;
use crate::sink::Sink;

pub const CALENDAR_SCOPE: &str = "https://www.googleapis.com/auth/calendar.readonly";
pub const DRIVE_SCOPE: &str = "https://www.googleapis.com/auth/drive.readonly";
pub const GMAIL_SCOPE: &str = "https://www.googleapis.com/auth/gmail.readonly";
/// The project that all clients and service accounts of the simulator belong to.
pub const PROJECT: &str = "123456789012";

/// The complete state.
pub struct World {
    pub origin: String,
    pub users: RwLock<BTreeMap<String, Arc<User>>>,
    pub tokens: RwLock<HashMap<String, AccessToken>>,
    pub faults: Faults,
    pub ledger: Ledger,
    pub requests: Requests,
    pub quota: Quota,
    /// Latency of answers.
    pub latency: Latency,
    /// Calls of each mailbox in flight.
    pub concurrency: Concurrency,
    pub grants: Mutex<Grants>,
    pub directory: Mutex<Directory>,
    pub drive: Mutex<Store>,
    pub sink: Mutex<Sink>,
    pub push: Push,
    pub attendee: Attendee,
    pub models: Models,
    pub api_enabled: AtomicBool,
    /// Probability, in thousandths, of an empty page with a token for more.
    pub empty_pages: AtomicU64,
    /// Whether Gmail decodes encoded words in headers.
    pub decoded_headers: AtomicBool,
    /// What Calendar's sync tokens return for events outside their windows.
    pub outside: Mutex<Outside>,
    clock_offset_ms: AtomicI64,
    /// The time in milliseconds at which the clock stands still; 0 while it runs.
    clock_stopped_ms: AtomicI64,
    next: AtomicU64,
}

/// A user with an account.
pub struct User {
    pub email: String,
    pub refresh_token: String,
    pub revoked: AtomicBool,
    pub scopes: Mutex<Vec<String>>,
    pub calendars: RwLock<BTreeMap<String, Arc<Calendar>>>,
    /// The list of calendars, as a feed.
    pub list: Mutex<Feed>,
    pub mailbox: Mutex<Mailbox>,
}

/// One calendar of one user.
pub struct Calendar {
    pub id: String,
    pub time_zone: String,
    pub events: Mutex<Feed>,
    /// The status with which its events are refused; 0: not refused.
    pub refuses: AtomicU16,
}

/// A bearer token.
#[derive(Clone)]
pub struct AccessToken {
    pub email: String,
    pub scopes: Vec<String>,
    pub expires: DateTime<Utc>,
}

/// A lock that a panicking test thread cannot poison for the others.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub fn new(origin: String) -> Self {
        Self {
            origin,
            users: RwLock::default(),
            tokens: RwLock::default(),
            faults: Faults::default(),
            ledger: Ledger::default(),
            requests: Requests::default(),
            quota: Quota::default(),
            latency: Latency::default(),
            concurrency: Concurrency::default(),
            grants: Mutex::default(),
            directory: Mutex::default(),
            drive: Mutex::default(),
            sink: Mutex::default(),
            push: Push::default(),
            attendee: Attendee::default(),
            models: Models::default(),
            api_enabled: AtomicBool::new(true),
            empty_pages: AtomicU64::new(0),
            decoded_headers: AtomicBool::new(false),
            outside: Mutex::default(),
            clock_offset_ms: AtomicI64::new(0),
            clock_stopped_ms: AtomicI64::new(0),
            next: AtomicU64::new(1),
        }
    }

    /// The simulated time.
    pub fn now(&self) -> DateTime<Utc> {
        let stopped = DateTime::from_timestamp_millis(self.clock_stopped_ms.load(Ordering::Relaxed));
        let offset = chrono::Duration::milliseconds(self.clock_offset_ms.load(Ordering::Relaxed));
        stopped.filter(|at| at.timestamp_millis() != 0).unwrap_or_else(|| Utc::now() + offset)
    }

    pub fn advance(&self, ms: i64) {
        let clock =
            if self.clock_stopped_ms.load(Ordering::Relaxed) == 0 { &self.clock_offset_ms } else { &self.clock_stopped_ms };
        clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// Stops the clock: from now on only `advance` moves it.
    pub fn stop_clock(&self) {
        self.clock_stopped_ms.store(self.now().timestamp_millis(), Ordering::Relaxed);
    }

    /// A unique number.
    pub fn serial(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn user(&self, email: &str) -> Option<Arc<User>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).get(email).cloned()
    }

    pub fn all_users(&self) -> Vec<Arc<User>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Adds a user with a primary calendar; an existing user is unchanged.
    pub fn add_user(&self, email: &str) -> Arc<User> {
        if let Some(user) = self.user(email) {
            return user;
        }
        let user = Arc::new(User {
            email: email.to_owned(),
            refresh_token: format!("1//sim-{:06}-{:016x}", self.serial(), rand::random::<u64>()),
            revoked: AtomicBool::new(false),
            scopes: Mutex::new([CALENDAR_SCOPE, DRIVE_SCOPE, GMAIL_SCOPE].map(str::to_owned).into()),
            calendars: RwLock::default(),
            list: Mutex::default(),
            mailbox: Mutex::default(),
        });
        user.add_calendar(email, "Primary", true, true, "Europe/Berlin", self.now());
        self.users.write().unwrap_or_else(PoisonError::into_inner).insert(email.to_owned(), Arc::clone(&user));
        user
    }
}

impl User {
    pub fn calendar(&self, id: &str) -> Option<Arc<Calendar>> {
        let id = if id == "primary" { &self.email } else { id };
        self.calendars.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub fn all_calendars(&self) -> Vec<Arc<Calendar>> {
        self.calendars.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub fn add_calendar(
        &self,
        id: &str,
        summary: &str,
        primary: bool,
        selected: bool,
        zone: &str,
        now: DateTime<Utc>,
    ) -> Arc<Calendar> {
        let calendar = Arc::new(Calendar {
            id: id.to_owned(),
            time_zone: zone.to_owned(),
            events: Mutex::default(),
            refuses: AtomicU16::new(0),
        });
        self.calendars.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), Arc::clone(&calendar));
        let mut entry = json!({ "kind": "calendar#calendarListEntry", "id": id, "summary": summary, "timeZone": zone, "accessRole": "owner" });
        if primary {
            entry["primary"] = json!(true);
        }
        if selected {
            entry["selected"] = json!(true);
        }
        self.put_entry(entry, now);
        calendar
    }

    /// Writes an entry of the list of calendars.
    pub fn put_entry(&self, mut entry: Value, now: DateTime<Utc>) {
        let id = entry["id"].as_str().unwrap_or_default().to_owned();
        let deleted = entry["deleted"] == json!(true);
        let defaults = [
            ("colorId", json!("14")),
            ("backgroundColor", json!("#9fe1e7")),
            ("foregroundColor", json!("#000000")),
            ("defaultReminders", json!([{ "method": "popup", "minutes": 10 }])),
            ("conferenceProperties", json!({ "allowedConferenceSolutionTypes": ["hangoutsMeet"] })),
        ];
        for (name, value) in defaults.into_iter().filter(|_| !deleted) {
            if entry.get(name).is_none() {
                entry[name] = value;
            }
        }
        let mut list = lock(&self.list);
        entry["etag"] = json!(format!("\"{}\"", now.timestamp_micros() + list.version() as i64));
        let text: Arc<str> = entry.to_string().into();
        list.put(&id, Arc::clone(&text), deleted.then_some(text), None);
    }
}
