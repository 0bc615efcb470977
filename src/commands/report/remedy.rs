//! What to do about each class of failure.

/// In a sentence or two. The classes are those of `error::Class`, and what a run counts besides.
pub fn remedy(class: &str) -> &'static str {
    match class {
        "token_stale" | "auth_revoked" => "The user must consent again: import the account anew.",
        "scope_missing" => "The consent lacks a scope: ask the user for consent again, with every scope that the services need.",
        "api_disabled" => "Enable the API in the project, in the Google Cloud console.",
        "rate_limited" => {
            "Nothing, if it is rare: it is tried again. Otherwise lower engine.concurrency or the limits in [quota]."
        }
        "daily_quota" => {
            "The day's quota is used up: it goes on at midnight in California. Ask Google for more, or lower the budget in [pace]."
        }
        "cursor_expired" | "page_expired" => {
            "Nothing: the stream is synced anew by itself. If it is frequent, run the cron job more often."
        }
        "gone" => "Nothing: what it was about exists no more.",
        "transient" => {
            "Nothing, if it is rare: it is tried again. If it lasts, see whether the provider can be reached from this host."
        }
        "permanent" => {
            "The provider refuses the request: the example says why. `syncctl accounts check` tries the account's services."
        }
        "lease_lost" => "Nothing: another run took the stream over. If it is frequent, raise engine.lease.",
        "internal" => "The database or syncctl itself failed: the example says where. Look at the logs of that run.",
        "unknown_user" => "An id on the command line names nothing that is known: correct the line in the crontab.",
        _ => "The example says what was wrong.",
    }
}
