//! Google's limits, where a test sets some: units a project and a user may make in a minute, and a project in a day.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::errors;
use crate::state::lock;

/// The limits: POST them to `/admin/quota`; absent ones do not limit. A minute and a day begin with the first call that
/// is counted in them, so that what a test sees does not depend on when the clock's own minute turns.
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

type Spent = HashMap<String, Window>;

/// What one subject spent since some moment.
#[derive(Clone, Copy, Default)]
pub struct Window {
    begun: Option<DateTime<Utc>>,
    spent: u64,
}

impl Window {
    /// Counts units where they fit under a limit; where not, it counts nothing and tells how long the window lasts yet.
    pub fn spend(&mut self, units: u64, limit: u64, length: TimeDelta, now: DateTime<Utc>) -> Result<(), TimeDelta> {
        let end = match self.begun {
            Some(begun) if now < begun + length => begun + length,
            _ => {
                *self = Self { begun: Some(now), spent: 0 };
                now + length
            }
        };
        if self.spent + units > limit {
            return Err(end - now);
        }
        self.spent += units;
        Ok(())
    }
}

impl Quota {
    /// Sets the limits and forgets what was spent.
    pub fn set(&self, limits: Limits) {
        *lock(&self.state) = (limits, HashMap::new());
    }

    /// Counts a call's units; over a limit it is refused and not counted.
    pub fn spend(&self, user: &str, units: u64, now: DateTime<Utc>) -> Result<(), Box<Response>> {
        let mut state = lock(&self.state);
        let (limits, spent) = &mut *state;
        let (minute, day) = (TimeDelta::minutes(1), TimeDelta::days(1));
        let rows = [
            ("day", limits.project_per_day, day, "rateLimitExceeded", errors::DAY),
            ("minute", limits.project_per_minute, minute, "rateLimitExceeded", errors::MINUTE),
            (user, limits.user_per_minute, minute, "userRateLimitExceeded", errors::USER_MINUTE),
        ];
        for (subject, limit, length, reason, kind) in rows {
            let Some(limit) = limit else { continue };
            let window = spent.entry(subject.to_owned()).or_default();
            window.spend(units, limit, length, now).map_err(|_| Box::new(errors::quota(403, reason, &kind)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_begins_with_its_first_call_not_with_the_clocks() {
        let quota = Quota::default();
        quota.set(Limits { project_per_minute: Some(2), ..Limits::default() });
        let at = |second| DateTime::from_timestamp(second, 0).expect("a moment");
        let answers = [59, 60, 61, 118, 119].map(|second| quota.spend("someone", 1, at(second)).is_ok());
        assert_eq!(answers, [true, true, false, false, true]);
    }
}
