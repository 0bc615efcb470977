//! Errors that callers distinguish: exit codes for the process, classes for streams.

use std::fmt;
use std::time::Duration;

/// Exit codes of the process, following sysexits(3) where it defines one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing was due.
    Done = 0,
    /// Some streams or deliveries failed, or wait for a day's quota; see the run row or `outbox list`.
    SomeFailed = 1,
    /// Invalid arguments.
    Usage = 2,
    /// The database or Google cannot be reached.
    Unavailable = 69,
    /// Another run holds the job, or the named streams.
    Busy = 75,
    /// Credentials were refused.
    Refused = 77,
    /// The settings are wrong.
    Settings = 78,
    /// The user interrupted the command (Ctrl-C).
    Interrupted = 130,
}

impl Exit {
    /// The exit code of a process that ends with this error.
    pub fn of(error: &anyhow::Error) -> Self {
        error.downcast_ref::<Fault>().map_or(Self::SomeFailed, |fault| fault.exit)
    }
}

/// The table printed by `--help`.
pub const EXIT_HELP: &str = "Exit codes:
   0  done, or nothing was due
   1  some streams failed (the run row and `syncctl items list` say which) or wait for quota (`syncctl quota list`), or some deliveries failed
   2  usage: the arguments are invalid
  69  the database or Google is unreachable
  75  another run holds the job, or the named streams; try later
  77  credentials were refused, for all accounts or for the named ones
  78  settings are wrong
 130  interrupted by Ctrl-C; what was received before is stored";

/// An error that decides the exit code. Put it anywhere in an `anyhow` chain.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The exit code of the process.
    pub exit: Exit,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl Fault {
    /// Unusable settings (exit 78).
    pub fn settings(message: impl Into<String>) -> Self {
        Self { exit: Exit::Settings, message: message.into() }
    }
    /// Invalid arguments (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }
    /// An unreachable server (exit 69).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unavailable, message: message.into() }
    }
    /// Refused credentials (exit 77).
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: message.into() }
    }
}

/// Why a stream failed, to the extent that the engine treats the cases differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The access token was rejected (401): refresh it once, then it is `AuthRevoked`.
    TokenStale,
    /// The grant is gone: only a new consent helps. Retried once a day, later once a week.
    AuthRevoked,
    /// The endpoint does not let this client act for the user, which may be temporary: a delegation that is still spreading, a policy, a client's secret.
    ClientRefused,
    /// A scope is missing from the grant.
    ScopeMissing,
    /// The API is not enabled in the project.
    ApiDisabled,
    /// Too many requests at the moment.
    RateLimited,
    /// The daily quota is used up.
    DailyQuota,
    /// A per-user limit is used up, for longer than a moment.
    UserQuota,
    /// The user does not have the service: it is switched off for them, or they never signed up.
    ServiceOff,
    /// The user's consent does not include this service.
    NotGranted,
    /// The cursor is too old: a full resync is needed.
    CursorExpired,
    /// The page token is no longer valid: the pass restarts.
    PageExpired,
    /// The resource itself is gone or never existed.
    Gone,
    /// Worth another try: 5xx, timeouts, truncated bodies.
    Transient,
    /// A request that can never succeed: 400 and other 4xx.
    Permanent,
    /// A model's response does not answer the question: it is not JSON, or names an id that was not offered.
    BadAnswer,
    /// Another run took over the stream.
    LeaseLost,
    /// The settings of this host are wrong, including its seal keys: no stream's fault, and another host may poll it.
    Settings,
    /// The database or this program failed.
    Internal,
}

impl Class {
    /// The name used in run summaries and `streams.failed_class`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenStale => "token_stale",
            Self::AuthRevoked => "auth_revoked",
            Self::ClientRefused => "client_refused",
            Self::ScopeMissing => "scope_missing",
            Self::ApiDisabled => "api_disabled",
            Self::RateLimited => "rate_limited",
            Self::DailyQuota => "daily_quota",
            Self::UserQuota => "user_quota",
            Self::ServiceOff => "service_off",
            Self::NotGranted => "not_granted",
            Self::CursorExpired => "cursor_expired",
            Self::PageExpired => "page_expired",
            Self::Gone => "gone",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::BadAnswer => "bad_answer",
            Self::LeaseLost => "lease_lost",
            Self::Settings => "settings",
            Self::Internal => "internal",
        }
    }

    /// Whether it means that there is nothing to sync. This is not a failure: it is logged quietly, counted separately, and rarely retried.
    pub fn is_off(self) -> bool {
        matches!(self, Self::ServiceOff | Self::NotGranted)
    }

    /// The class with this stored name; `None` for a name from another version.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// What the user can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::TokenStale => "wait for the next poll, which requests a new token; if it persists, import the account again",
            Self::AuthRevoked => {
                "have the user consent again: `syncctl accounts login`, or `accounts import`; `accounts list` shows the reason, which may suggest another fix"
            }
            Self::ClientRefused => {
                "if access was granted within the last day, wait; otherwise see the reason in `syncctl accounts list`, then `accounts check`"
            }
            Self::ScopeMissing => "grant the scope (consent again, or domain-wide delegation), then `syncctl accounts check`",
            Self::ApiDisabled => "enable the API in the project's console, then `syncctl accounts check`",
            Self::RateLimited => {
                "nothing: it is retried; if it persists, lower the service's quota settings (Gmail: quota.gmail.user_concurrency)"
            }
            Self::DailyQuota => {
                "nothing: the project waits until the quota's day ends (midnight in California) or a probe is answered; `syncctl quota resume` lifts it; ask Google for more, or poll less (pace)"
            }
            Self::UserQuota => {
                "nothing: this user waits, for hours if it persists; other users continue; if it recurs, check which other apps use this account"
            }
            Self::ServiceOff => {
                "nothing: it is retried once a day, later once a week; `syncctl accounts set` switches it off here"
            }
            Self::NotGranted => "nothing, or have the user consent to it: `syncctl accounts login`",
            Self::CursorExpired => "nothing: a complete pass follows; if it recurs (degraded), poll the stream more often",
            Self::PageExpired => "nothing: the pass restarts",
            Self::Gone => "nothing if it was deleted; otherwise give the user access again",
            Self::Transient => "nothing if it passes; otherwise check the network and the provider's status page",
            Self::Permanent => "read the message: the provider refuses this request; check the settings, or report it",
            Self::BadAnswer => {
                "nothing: the document stays undecided; if it recurs, set classify.endpoint.model to a model that follows a JSON schema"
            }
            Self::LeaseLost => "nothing: another run is working on it",
            Self::Settings => {
                "fix the setting named in the message on this host; for a seal key, copy the key file from a host that syncs"
            }
            Self::Internal => "read the message and the log of the run: the database or syncctl failed",
        }
    }

    /// All classes.
    pub const ALL: [Self; 19] = [
        Self::TokenStale,
        Self::AuthRevoked,
        Self::ClientRefused,
        Self::ScopeMissing,
        Self::ApiDisabled,
        Self::RateLimited,
        Self::DailyQuota,
        Self::UserQuota,
        Self::ServiceOff,
        Self::NotGranted,
        Self::CursorExpired,
        Self::PageExpired,
        Self::Gone,
        Self::Transient,
        Self::Permanent,
        Self::BadAnswer,
        Self::LeaseLost,
        Self::Settings,
        Self::Internal,
    ];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failed request or stream: its class, a readable line without secrets, and the server's retry hint.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{class}: {message}")]
pub struct Failure {
    /// Determines how the engine handles it.
    pub class: Class,
    /// One line, without tokens, bodies or addresses.
    pub message: String,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// No access token could be obtained: this says nothing about the request for which it was needed.
    pub of_token: bool,
    /// The HTTP status of the error response; `None` if there was no response, or it was not an error.
    pub status: Option<u16>,
    /// The provider's code, such as `channelIdNotUnique`, or PostgreSQL's (SQLSTATE), which is more specific than the class. May be empty.
    pub reason: String,
}

impl Failure {
    /// A failure of this class with this message.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: one_line(&message.into()),
            retry_after: None,
            of_token: false,
            status: None,
            reason: String::new(),
        }
    }
}

/// Joins a message into one line. PostgreSQL puts details and hints on separate lines, and settings parsers draw the faulty part.
pub fn one_line(message: &str) -> String {
    if message.contains(char::is_control) {
        message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    } else {
        message.to_owned()
    }
}

/// The SQLSTATE of an error, if it comes from PostgreSQL.
pub fn sql_state(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| Some(cause.downcast_ref::<tokio_postgres::Error>()?.code()?.code()))
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => {
                let of_settings = error.downcast_ref::<Fault>().is_some_and(|fault| fault.exit == Exit::Settings);
                let class = if of_settings { Class::Settings } else { Class::Internal };
                let reason = sql_state(&error).unwrap_or_default().to_owned();
                Self { reason, ..Self::new(class, format!("{error:#}")) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_troubleshooting_page_explains_every_class() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md")).expect("the page");
        for class in Class::ALL {
            let line = page
                .lines()
                .find(|line| line.starts_with(&format!("| `{class}` |")))
                .unwrap_or_else(|| panic!("no line of {class}"));
            assert!(line.ends_with(&format!("| {} |", class.remedy())), "{class}: {}", class.remedy());
        }
    }
}
