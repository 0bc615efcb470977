//! Interprets the token endpoint's response as a verdict on a grant. Pure. Only the endpoint's own error codes condemn a grant: a temporary problem, a
//! proxy or a rate limit says nothing about it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use yup_oauth2::error::{AuthError, AuthErrorCode};

use super::classify;
use crate::error::{Class, Failure};
use crate::http::without_addresses;

/// What is known about a grant before it is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct GrantHistory {
    /// Time since the credentials were stored, which for a login is the time since the consent.
    pub age: Duration,
    /// How long the endpoint has been refusing it, without interruption.
    pub refused_for: Duration,
}

/// The owner of the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A person's, by consent.
    Person,
    /// A domain's, to a service account.
    Domain,
}

/// Grants of a consent screen in "Testing" last a week; one more day, because the failure is not noticed immediately.
const TESTING: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// How long a delegation may take to spread, according to Google's help page; a refusal that lasts longer is permanent.
const SPREADING: Duration = Duration::from_secs(24 * 60 * 60);
/// Codes that mean that the endpoint could not answer, regardless of the status (google-auth's `_can_retry`).
const NOT_NOW: [&str; 4] = ["internal_failure", "server_error", "temporarily_unavailable", "rate_limit_exceeded"];
/// Google's own codes that are not in the standard.
const OF_GOOGLE: [&str; 6] =
    ["admin_policy_enforced", "policy_enforced", "org_internal", "deleted_client", "disabled_client", "restricted_client"];

#[derive(Deserialize)]
struct OAuthError {
    #[serde(flatten)]
    error: AuthError,
    error_subtype: Option<String>,
}

impl OAuthError {
    fn of(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    fn code(&self) -> &str {
        self.error.error.as_str()
    }

    fn words(&self) -> &str {
        self.error.error_description.as_deref().unwrap_or_default()
    }

    fn names(&self, code: &str) -> bool {
        self.code() == code || self.error_subtype.as_deref() == Some(code)
    }

    /// Whether it is about the grant at all.
    fn is_verdict(&self, status: u16) -> bool {
        let not_now = NOT_NOW.iter().any(|code| self.names(code) || self.words() == *code);
        let of_google = OF_GOOGLE.iter().any(|code| self.names(code));
        let known = of_google || !matches!(self.error.error, AuthErrorCode::Other(_));
        match status {
            _ if not_now => false,
            400 | 401 => known,
            // Proxies also respond with `access_denied` and the like, but never with Google's own codes.
            403 => of_google || self.error.error == AuthErrorCode::InvalidGrant,
            _ => false,
        }
    }

    /// Whether Google rejects this machine's clock, which says nothing about the grant: other hosts can use it.
    fn is_of_another_time(&self) -> bool {
        self.words().contains("reasonable timeframe")
    }
}

/// The failure for a response without a token: status, `Retry-After` and body.
pub fn verdict((status, retry_after, body): (u16, Option<&str>, &[u8]), whose: Whose, known: GrantHistory) -> Failure {
    if let Some(failure) = passing(status, retry_after, body, Utc::now()) {
        return failure;
    }
    let Some(said) = OAuthError::of(body) else {
        return Failure::new(Class::Transient, format!("token: HTTP {status}"));
    };
    let words = without_addresses(said.words());
    if said.is_of_another_time() {
        return Failure::new(
            Class::Permanent,
            format!("token: this machine's clock is wrong; synchronize it with a time server (NTP) ({words})"),
        );
    }
    // A delegation spreads slowly, and a policy or a client may be fixed: such refusals are retried for a day.
    let class = match said.error.error {
        AuthErrorCode::InvalidGrant => Class::AuthRevoked,
        _ if known.refused_for < SPREADING => Class::ClientRefused,
        _ => Class::AuthRevoked,
    };
    let words = if words.is_empty() { words } else { format!(" ({words})") };
    Failure::new(class, format!("token: {}{words}: {}", without_addresses(said.code()), hint(&said, whose, known)))
}

/// The failure for a response that is not a verdict on the grant; `None` if it is one.
pub fn passing(status: u16, retry_after: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Option<Failure> {
    let said = OAuthError::of(body);
    if said.as_ref().is_some_and(|said| said.is_verdict(status)) {
        return None;
    }
    let failure = classify("token", status, retry_after, body, now);
    let limited = failure.class == Class::RateLimited || said.as_ref().is_some_and(|said| said.names("rate_limit_exceeded"));
    let message = match &said {
        Some(said) => format!("token: HTTP {status} {}", without_addresses(&format!("{} {}", said.code(), said.words()))),
        None => failure.message,
    };
    Some(Failure { class: if limited { Class::RateLimited } else { Class::Transient }, message, ..failure })
}

/// What to do about a refused grant.
fn hint(said: &OAuthError, whose: Whose, known: GrantHistory) -> &'static str {
    if said.names("invalid_rapt") {
        return "the session control of the user's Workspace (Google Cloud session length) ends sessions, and with them this grant: ask the administrator to exempt trusted apps and to mark this one as trusted, or to lengthen the session; then `syncctl accounts login` again";
    }
    if said.names("admin_policy_enforced") {
        return "a policy of the user's Workspace forbids a requested scope: its administrator can trust this app, or allow the service, under Security > API controls";
    }
    if said.names("policy_enforced") {
        return "the user is in Google's Advanced Protection Program, which blocks apps like this one";
    }
    match (whose, said.code()) {
        (Whose::Person, "invalid_grant") if known.age < TESTING => {
            "the grant ended within 8 days of the consent. If the OAuth consent screen is in \"Testing\", Google ends every grant after 7 days: publish it, then `syncctl accounts login` again. Otherwise the user revoked it"
        }
        (Whose::Person, "invalid_grant") => {
            "the grant has ended: the user revoked it, it was not used for 6 months, the password was changed (which ends grants for Gmail), or over 100 newer grants replaced it; `syncctl accounts login` again"
        }
        (Whose::Person, "invalid_client" | "deleted_client" | "disabled_client") => {
            "the OAuth client id or secret is wrong, or the client was deleted; log in or import the account again"
        }
        (Whose::Person, "unauthorized_client") => {
            "the refresh token belongs to another OAuth client; log in or import the account again"
        }
        (Whose::Domain, "unauthorized_client") => {
            "the service account is not allowed to act for this user; allow its client id and the scopes under domain-wide delegation. A new delegation takes up to a day to spread; it is retried automatically"
        }
        (Whose::Domain, "invalid_grant") => {
            "the user no longer exists, or the key was deleted; run `syncctl accounts check` once that is fixed"
        }
        _ => "the token endpoint refused the credentials",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn judged(status: u16, body: &str, refused_for: Duration) -> Vec<Failure> {
        let known = GrantHistory { age: 30 * DAY, refused_for };
        [Whose::Person, Whose::Domain].map(|whose| verdict((status, None, body.as_bytes()), whose, known)).into()
    }

    #[track_caller]
    fn assert_class(status: u16, body: &str, class: Class) {
        for failure in judged(status, body, Duration::ZERO) {
            assert_eq!(failure.class, class, "{status} {body}: {failure}");
        }
    }

    #[test]
    fn a_temporary_endpoint_failure_is_no_verdict() {
        for status in [500, 502, 503, 504, 408] {
            assert_class(status, r#"{"error":"invalid_grant"}"#, Class::Transient);
            assert_class(status, "", Class::Transient);
        }
        for status in [400, 401, 403, 500] {
            for code in ["internal_failure", "server_error", "temporarily_unavailable"] {
                assert_class(status, &format!(r#"{{"error":"{code}"}}"#), Class::Transient);
                assert_class(status, &format!(r#"{{"error":"invalid_request","error_description":"{code}"}}"#), Class::Transient);
            }
            assert_class(status, r#"{"error":"rate_limit_exceeded"}"#, Class::RateLimited);
        }
        assert_class(429, r#"{"error":"invalid_grant"}"#, Class::RateLimited);
    }

    #[test]
    fn an_answer_of_a_proxy_does_not_condemn_a_grant() {
        for (status, body) in [
            (403, r#"{"error":"Forbidden"}"#),
            (403, r#"{"error":"access_denied"}"#),
            (407, r#"{"error":"invalid_grant"}"#),
            (400, r#"{"error":"Bad Request"}"#),
            (401, r#"{"error":{"code":401,"message":"who are you"}}"#),
            (403, "<html>no</html>"),
            (404, r#"{"error":"not_found"}"#),
            (302, ""),
        ] {
            assert_class(status, body, Class::Transient);
        }
    }

    #[test]
    fn only_an_invalid_grant_condemns_at_once() {
        assert_class(400, r#"{"error":"invalid_grant","error_description":"Bad Request"}"#, Class::AuthRevoked);
        for code in ["unauthorized_client", "invalid_client", "admin_policy_enforced", "access_denied", "invalid_scope"] {
            let body = format!(r#"{{"error":"{code}"}}"#);
            assert_class(401, &body, Class::ClientRefused);
            assert!(judged(401, &body, DAY).iter().all(|failure| failure.class == Class::AuthRevoked), "{code}");
        }
    }

    #[test]
    fn a_policy_refusal_says_what_the_administrator_must_do() {
        let body = r#"{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)","error_subtype":"invalid_rapt"}"#;
        for failure in judged(400, body, Duration::ZERO) {
            assert_eq!(failure.class, Class::AuthRevoked);
            assert!(failure.message.contains("session control") && !failure.message.contains("Testing"), "{failure}");
        }
        for body in
            [r#"{"error":"admin_policy_enforced"}"#, r#"{"error":"invalid_grant","error_subtype":"admin_policy_enforced"}"#]
        {
            assert!(judged(400, body, Duration::ZERO).iter().all(|failure| failure.message.contains("API controls")), "{body}");
        }
    }

    #[test]
    fn a_short_lived_grant_hints_at_a_consent_screen_in_testing() {
        let body = br#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#;
        let dead = |age| verdict((400, None, body), Whose::Person, GrantHistory { age, ..GrantHistory::default() }).message;
        assert!(dead(7 * DAY).contains("\"Testing\""), "{}", dead(7 * DAY));
        let old = dead(8 * DAY);
        assert!(!old.contains("Testing") && old.contains("6 months") && old.contains("password"), "{old}");
    }
}
