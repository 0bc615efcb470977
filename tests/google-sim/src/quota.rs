//! Google's limits, where a test sets some: units a project and a user may make in a minute, and a project in a day.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::errors;
use crate::state::lock;

/// The limits: POST them to `/admin/quota`; absent ones do not limit.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub project_per_minute: Option<u64>,
    pub user_per_minute: Option<u64>,
    pub project_per_day: Option<u64>,
}

#[derive(Default)]
pub struct Quota {
    state: Mutex<(Limits, Spent)>,
}

/// By subject: the window, and the calls in it.
type Spent = HashMap<String, (i64, u64)>;

impl Quota {
    /// Sets the limits and forgets what was spent.
    pub fn set(&self, limits: Limits) {
        *lock(&self.state) = (limits, HashMap::new());
    }

    /// Counts a call's units; over a limit it is refused and not counted.
    pub fn spend(&self, user: &str, units: u64, now: DateTime<Utc>) -> Result<(), Box<Response>> {
        let mut state = lock(&self.state);
        let (limits, spent) = &mut *state;
        let minute = now.timestamp() / 60;
        let day = now.timestamp() / 86_400;
        let rows = [
            ("day", limits.project_per_day, day, 403, "dailyLimitExceeded", "Daily Limit Exceeded"),
            ("minute", limits.project_per_minute, minute, 403, "rateLimitExceeded", "Rate Limit Exceeded"),
            (user, limits.user_per_minute, minute, 403, "userRateLimitExceeded", "User Rate Limit Exceeded"),
        ];
        for (subject, limit, window, status, reason, message) in rows {
            let Some(limit) = limit else { continue };
            let entry = spent.entry(subject.to_owned()).or_default();
            if entry.0 != window {
                *entry = (window, 0);
            }
            if entry.1 + units > limit {
                return Err(Box::new(errors::google(status, reason, message)));
            }
            entry.1 += units;
        }
        Ok(())
    }
}
