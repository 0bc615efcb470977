//! Faults on demand: what to answer instead, by probability or at a certain call.

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
    /// Strikes so often at the most.
    pub times: Option<u64>,
    /// `events.list`, `calendarList.list`, `token`; absent: all.
    pub method: Option<String>,
    pub user: Option<String>,
    /// The one thing whose calls it strikes: the id of a message.
    pub id: Option<String>,
    /// Seconds that the answer asks to wait.
    pub retry_after: Option<u64>,
    /// Where it says so: `header` (default) or `message`.
    pub hint: Option<String>,
    /// How long a slow answer takes.
    pub seconds: Option<f64>,
    /// Of the fault `answer`: its status (400) and its body, text or JSON.
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
    /// What `status` and `body` say, from whomever: an API, the token endpoint, a proxy.
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
    /// A limit of the user's own at Calendar.
    QuotaExceeded,
    DailyLimit,
    /// The quota of the day, as the front end of all APIs words it with details.
    #[serde(rename = "daily_quota_403")]
    DailyQuota403,
    /// The same in words alone.
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
    /// The page of a front end that knows no such address, and not the API's word on a resource.
    #[serde(rename = "not_found_page")]
    NotFoundPage,
    GoneDeleted,
    #[serde(rename = "bad_request_400")]
    BadRequest400,
    /// Attendee's views answer so where others answer with 500.
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
    /// Each thing that a list names comes twice in it.
    Repeated,
    SlowBody,
    SlowHeaders,
    /// The call waits until `/admin/release`; what it does, it does then.
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

    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The fault that strikes this call, if one does. `follows`: the call carries a sync token.
    pub fn strike(&self, method: &str, user: Option<&str>, follows: bool) -> Option<Fault> {
        self.strike_at(method, user, follows, None)
    }

    /// The same, of a call for the thing with this id.
    pub fn strike_at(&self, method: &str, user: Option<&str>, follows: bool, id: Option<&str>) -> Option<Fault> {
        if !self.any() {
            return None;
        }
        let mut guard = lock(&self.list);
        let (list, chance) = &mut *guard;
        for fault in list.iter_mut() {
            let matches = fault.method.as_deref().is_none_or(|wanted| wanted == method)
                && fault.user.as_deref().is_none_or(|wanted| Some(wanted) == user)
                && fault.id.as_deref().is_none_or(|wanted| Some(wanted) == id)
                // Faults of a user's calls leave the way to a token alone, unless it is named.
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
                // Gmail answers an expired cursor as it answers what is not there.
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

    /// How many calls wait; with `wait`, answers once there is one.
    pub async fn stalled(&self, wait: bool) -> u64 {
        let mut stalled = self.stalled.subscribe();
        if wait {
            // The sender lives as long as the world does.
            let _ = stalled.wait_for(|stalled| *stalled > 0).await;
        }
        *stalled.borrow()
    }
}

/// Counts a call as stalled for as long as it waits: also one whose client has gone.
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
    /// Whether it says that a limit was reached.
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

    /// A cursor can only expire where there is one; a grant only dies at the token endpoint.
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
