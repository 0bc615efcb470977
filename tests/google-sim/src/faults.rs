//! Faults on demand: substitute answers, by probability or at a certain call.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::state::lock;

/// A fault to inject: POST it to `/admin/faults`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub fault: Kind,
    /// Strikes each matching call with this probability.
    pub probability: Option<f64>,
    /// Strikes the Nth matching call from now on (the first is 1).
    pub at_call: Option<u64>,
    /// Maximum number of strikes.
    pub times: Option<u64>,
    /// `events.list`, `calendarList.list`, `token`; absent: all.
    pub method: Option<String>,
    pub user: Option<String>,
    /// The single item whose calls it strikes: the ID of a message.
    pub id: Option<String>,
    /// The retry delay in seconds that the answer requests.
    pub retry_after: Option<u64>,
    /// Where the delay is given: `header` (default) or `message`.
    pub hint: Option<String>,
    /// How long a slow answer takes.
    pub seconds: Option<f64>,
    /// For the fault `answer`: its status (400) and its body, text or JSON.
    pub status: Option<u16>,
    pub body: Option<serde_json::Value>,
    #[serde(default, skip_deserializing)]
    pub calls: u64,
    #[serde(default, skip_deserializing)]
    pub hits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `status` and `body`, from any server: an API, the token endpoint, a proxy.
    Answer,
    AuthError,
    InvalidGrant,
    InsufficientPermissions,
    AccessNotConfigured,
    #[serde(rename = "rate_limit_403")]
    RateLimit403,
    #[serde(rename = "rate_limit_429")]
    RateLimit429,
    UserRateLimit,
    QuotaMetric,
    /// A per-user limit of Calendar.
    QuotaExceeded,
    DailyLimit,
    /// The daily quota, in the format of the common front end, with details.
    #[serde(rename = "daily_quota_403")]
    DailyQuota403,
    /// The same, only in the message.
    #[serde(rename = "daily_quota_429")]
    DailyQuota429,
    /// The user has no calendar.
    NotACalendarUser,
    /// The user has no mailbox.
    MailNotEnabled,
    /// Drive is switched off for the user.
    DriveSession,
    /// The policy of the user's domain forbids it.
    DomainPolicy,
    CursorExpired,
    CursorExpiredUpdatedMin,
    NotFound,
    /// The page of a front end that has no such address, rather than the API's answer about a resource.
    #[serde(rename = "not_found_page")]
    NotFoundPage,
    GoneDeleted,
    #[serde(rename = "bad_request_400")]
    BadRequest400,
    /// Attendee's views answer with this where others answer with 500.
    #[serde(rename = "internal_error_400")]
    InternalError400,
    #[serde(rename = "redirect_302")]
    Redirect302,
    #[serde(rename = "timeout_408")]
    Timeout408,
    #[serde(rename = "server_500")]
    Server500,
    #[serde(rename = "bad_gateway_502")]
    BadGateway502,
    #[serde(rename = "unavailable_503")]
    Unavailable503,
    #[serde(rename = "gateway_timeout_504")]
    GatewayTimeout504,
    ConnectionReset,
    CutBody,
    CutJson,
    /// Each listed item is duplicated in the list.
    Repeated,
    SlowBody,
    SlowHeaders,
    /// The call waits until `/admin/release`, and takes effect then.
    Stall,
    /// The call takes effect, and its answer is withheld until `/admin/release`.
    StallAnswer,
    /// The call takes effect, and the connection breaks before its answer.
    AnswerLost,
}

pub struct Faults {
    list: Mutex<(Vec<Fault>, StdRng)>,
    any: AtomicBool,
    /// Calls that wait for their release.
    stalled: watch::Sender<u64>,
    release: Notify,
}

impl Default for Faults {
    fn default() -> Self {
        let chance = StdRng::seed_from_u64(20_261_124);
        Self {
            list: Mutex::new((Vec::new(), chance)),
            any: AtomicBool::new(false),
            stalled: watch::Sender::new(0),
            release: Notify::new(),
        }
    }
}

impl Faults {
    pub fn add(&self, fault: Fault) {
        lock(&self.list).0.push(fault);
        self.any.store(true, Ordering::Release);
    }

    pub fn clear(&self) {
        self.any.store(false, Ordering::Release);
        lock(&self.list).0.clear();
    }

    pub fn list(&self) -> Vec<Fault> {
        lock(&self.list).0.clone()
    }

    /// Whether any fault is set.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The fault that strikes this call, if any. `follows`: the call carries a sync token.
    pub fn strike(&self, method: &str, user: Option<&str>, follows: bool) -> Option<Fault> {
        self.strike_at(method, user, follows, None)
    }

    /// The same, for a call for the item with this ID.
    pub fn strike_at(&self, method: &str, user: Option<&str>, follows: bool, id: Option<&str>) -> Option<Fault> {
        if !self.any() {
            return None;
        }
        let mut guard = lock(&self.list);
        let (list, chance) = &mut *guard;
        for fault in list.iter_mut() {
            let matches = fault.method.as_deref().is_none_or(|expected| expected == method)
                && fault.user.as_deref().is_none_or(|expected| Some(expected) == user)
                && fault.id.as_deref().is_none_or(|expected| Some(expected) == id)
                // A user's faults do not apply to token requests unless they name that method.
                && (method != "token" || fault.user.is_none() || fault.method.is_some())
                && fault.fault.can_strike(method, follows, fault.at_call.is_some());
            if !matches || fault.times.is_some_and(|times| fault.hits >= times) {
                continue;
            }
            fault.calls += 1;
            let struck = match (fault.at_call, fault.probability) {
                (Some(at), _) => fault.calls == at,
                (None, probability) => chance.random_bool(probability.unwrap_or(1.0).clamp(0.0, 1.0)),
            };
            if struck {
                fault.hits += 1;
                let mut struck = fault.clone();
                // Gmail answers an expired cursor like a missing item.
                if method == "history.list" && matches!(fault.fault, Kind::CursorExpired | Kind::CursorExpiredUpdatedMin) {
                    struck.fault = Kind::NotFound;
                }
                return Some(struck);
            }
        }
        None
    }

    /// Waits for `/admin/release`.
    pub async fn stall(&self) {
        let released = self.release.notified();
        let _one = Waiting::new(&self.stalled);
        released.await;
    }

    pub fn release(&self) {
        self.release.notify_waiters();
    }

    /// The number of waiting calls; with `wait`, answers once there is one.
    pub async fn stalled(&self, wait: bool) -> u64 {
        let mut stalled = self.stalled.subscribe();
        if wait {
            // The sender lives as long as the world does.
            let _ = stalled.wait_for(|stalled| *stalled > 0).await;
        }
        *stalled.borrow()
    }
}

/// Counts a call as stalled while it waits, even if its client is gone.
struct Waiting<'a>(&'a watch::Sender<u64>);

impl<'a> Waiting<'a> {
    fn new(stalled: &'a watch::Sender<u64>) -> Self {
        stalled.send_modify(|stalled| *stalled += 1);
        Self(stalled)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|stalled| *stalled -= 1);
    }
}

impl Kind {
    /// Whether it reports an exceeded limit.
    pub fn is_limit(self) -> bool {
        matches!(
            self,
            Self::RateLimit403
                | Self::RateLimit429
                | Self::UserRateLimit
                | Self::QuotaMetric
                | Self::QuotaExceeded
                | Self::DailyLimit
                | Self::DailyQuota403
                | Self::DailyQuota429
        )
    }

    /// A cursor can only expire if the call has one; a grant only fails at the token endpoint.
    fn can_strike(self, method: &str, follows: bool, at_call: bool) -> bool {
        match self {
            Self::CursorExpired | Self::CursorExpiredUpdatedMin => follows || at_call,
            Self::InvalidGrant => method == "token",
            Self::AuthError | Self::NotACalendarUser | Self::MailNotEnabled | Self::DriveSession | Self::DomainPolicy => {
                method != "token"
            }
            _ => true,
        }
    }

    pub fn pause(fault: &Fault) -> Duration {
        Duration::from_secs_f64(fault.seconds.unwrap_or(1.0))
    }
}
