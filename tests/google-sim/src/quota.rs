//! Google's limits, if a test sets any: units per minute of a project and a user, and units per day of a project.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::errors;
use crate::ledger::Limit;
use crate::state::lock;

/// Resolution of a sliding minute.
const STEPS_PER_SECOND: i64 = 10;

/// The limits: POST them to `/admin/quota`; absent ones do not limit. A minute and a day begin with the first call counted in them, so that
/// tests do not depend on when the clock's minute turns.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The service they apply to. Absent: all services without a setting, together; settings of services are removed.
    pub service: Option<String>,
    pub project_per_minute: Option<u64>,
    pub user_per_minute: Option<u64>,
    pub project_per_day: Option<u64>,
    /// Whether the limits of a minute hold for any sixty seconds that end now.
    #[serde(default)]
    pub sliding: bool,
}

/// POST it to `/admin/quota/leap` when the clock that a client uses to count its minutes moves forward by this many seconds: for the
/// client, earlier calls are longer ago, and in any sixty seconds with a leap it may make as many more calls as minutes passed on its
/// clock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leap {
    pub seconds: u32,
}

#[derive(Default)]
pub struct Quota {
    /// By service.
    states: Mutex<HashMap<String, State>>,
    leaps: Mutex<VecDeque<(DateTime<Utc>, u32)>>,
}

/// How long a leap affects arriving calls: a minute, plus the maximum time between reserving and making a call.
const SEEN: TimeDelta = TimeDelta::seconds(62);

/// Stands for the services without their own limits.
const OTHERS: &str = "";

#[derive(Default)]
struct State {
    limits: Limits,
    day: Window,
    project: Minute,
    users: HashMap<String, Minute>,
}

/// What one subject spent since the start of a window.
#[derive(Clone, Copy, Default)]
pub struct Window {
    begun: Option<DateTime<Utc>>,
    spent: u64,
}

impl Window {
    /// Counts units if they fit under a limit; otherwise counts nothing and returns the remaining time of the window.
    pub fn spend(&mut self, units: u64, limit: u64, length: TimeDelta, now: DateTime<Utc>) -> Result<(), TimeDelta> {
        self.check(units, limit, length, now)?;
        self.spent += units;
        Ok(())
    }

    /// Whether they fit.
    fn check(&mut self, units: u64, limit: u64, length: TimeDelta, now: DateTime<Utc>) -> Result<(), TimeDelta> {
        let end = match self.begun {
            Some(begun) if now < begun + length => begun + length,
            _ => {
                *self = Self { begun: Some(now), spent: 0 };
                now + length
            }
        };
        if self.spent + units > limit { Err(end - now) } else { Ok(()) }
    }
}

/// What one subject spent in sixty seconds: in a fixed or sliding minute, as the limits say.
#[derive(Default)]
struct Minute {
    fixed: Window,
    sliding: Sliding,
}

/// What was spent in the last minute, by step; empty steps are not stored.
#[derive(Default)]
struct Sliding {
    steps: VecDeque<(i64, u64)>,
    spent: u64,
}

impl Sliding {
    /// Whether units fit. A client that keeps the limit in every sixty seconds is never refused: a step is dropped as soon as its first
    /// moment is a minute ago.
    fn has_room(&mut self, units: u64, limit: u64, now: DateTime<Utc>) -> bool {
        let step = step(now);
        while let Some((_, units)) = self.steps.pop_front_if(|(past, _)| *past + 60 * STEPS_PER_SECOND <= step) {
            self.spent -= units;
        }
        self.spent + units <= limit
    }

    fn add(&mut self, units: u64, now: DateTime<Utc>) {
        let step = step(now);
        self.spent += units;
        match self.steps.back_mut() {
            Some((last, spent)) if *last >= step => *spent += units,
            _ => self.steps.push_back((step, units)),
        }
    }
}

fn step(now: DateTime<Utc>) -> i64 {
    (now.timestamp_millis() * STEPS_PER_SECOND).div_euclid(1_000)
}

impl Minute {
    fn has_room(&mut self, units: u64, limit: u64, sliding: bool, now: DateTime<Utc>) -> bool {
        if sliding {
            self.sliding.has_room(units, limit, now)
        } else {
            self.fixed.check(units, limit, TimeDelta::minutes(1), now).is_ok()
        }
    }

    fn add(&mut self, units: u64, sliding: bool, now: DateTime<Utc>) {
        if sliding {
            self.sliding.add(units, now);
        } else {
            self.fixed.spent += units;
        }
    }
}

impl Quota {
    /// Sets the limits and resets what was spent.
    pub fn set(&self, limits: Limits) {
        let mut states = lock(&self.states);
        if limits.service.is_none() {
            states.clear();
        }
        let service = limits.service.clone().unwrap_or_else(|| OTHERS.to_owned());
        states.insert(service, State { limits, ..State::default() });
    }

    /// Raises the limits of a minute for the duration of a leap.
    pub fn leap(&self, leap: &Leap, now: DateTime<Utc>) {
        lock(&self.leaps).push_back((now, leap.seconds));
    }

    /// How many minutes of a client's clock pass in one minute at most.
    fn minutes(&self, now: DateTime<Utc>) -> u64 {
        let mut leaps = lock(&self.leaps);
        while leaps.pop_front_if(|(at, _)| *at + SEEN <= now).is_some() {}
        1 + leaps.iter().map(|(_, seconds)| u64::from(*seconds)).sum::<u64>().div_ceil(60)
    }

    /// Counts a call's units under every limit; a call over a limit is refused, with that limit and its message, and counted under none.
    pub fn spend(&self, service: &str, user: &str, units: u64, now: DateTime<Utc>) -> Result<(), (Limit, Box<Response>)> {
        let minutes = self.minutes(now);
        let mut states = lock(&self.states);
        let service = if states.contains_key(service) { service } else { OTHERS };
        let Some(State { limits, day, project, users }) = states.get_mut(service) else { return Ok(()) };
        let Limits { project_per_minute, user_per_minute, project_per_day, sliding, .. } = limits;
        let refused = |limit, reason, words: errors::Limit| Err((limit, Box::new(errors::quota(403, reason, &words))));
        if project_per_day.is_some_and(|limit| day.check(units, limit, TimeDelta::days(1), now).is_err()) {
            return refused(Limit::Day, "rateLimitExceeded", errors::DAY);
        }
        if project_per_minute.is_some_and(|limit| !project.has_room(units, limit * minutes, *sliding, now)) {
            return refused(Limit::ProjectMinute, "rateLimitExceeded", errors::MINUTE);
        }
        if let Some(limit) = *user_per_minute {
            let minute = users.entry(user.to_owned()).or_default();
            if !minute.has_room(units, limit * minutes, *sliding, now) {
                return refused(Limit::UserMinute, "userRateLimitExceeded", errors::USER_MINUTE);
            }
            minute.add(units, *sliding, now);
        }
        if project_per_minute.is_some() {
            project.add(units, *sliding, now);
        }
        if project_per_day.is_some() {
            day.spent += units;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers<const N: usize>(sliding: bool, seconds: [f64; N]) -> [bool; N] {
        let quota = Quota::default();
        quota.set(Limits { project_per_minute: Some(2), sliding, ..Limits::default() });
        let at = |second: f64| DateTime::from_timestamp_millis((second * 1_000.0) as i64).expect("a moment");
        seconds.map(|second| quota.spend("calendar", "someone", 1, at(second)).is_ok())
    }

    #[test]
    fn a_minute_begins_with_its_first_call_not_with_the_clocks() {
        assert_eq!(answers(false, [59.0, 60.0, 61.0, 118.0, 119.0]), [true, true, false, false, true]);
    }

    #[test]
    fn a_call_that_its_users_limit_refuses_is_not_counted_under_the_projects() {
        let quota = Quota::default();
        quota.set(Limits { project_per_minute: Some(2), user_per_minute: Some(1), ..Limits::default() });
        let now = DateTime::UNIX_EPOCH;
        let limits = ["ann", "ann", "bob", "carol"].map(|user| quota.spend("calendar", user, 1, now).map_err(|(limit, _)| limit));
        assert_eq!(limits, [Ok(()), Err(Limit::UserMinute), Ok(()), Err(Limit::ProjectMinute)]);
    }

    #[test]
    fn a_service_with_separate_limits_is_not_under_those_of_all_others() {
        let quota = Quota::default();
        let limit = |service: Option<&str>, units| {
            quota.set(Limits { service: service.map(str::to_owned), project_per_minute: Some(units), ..Limits::default() });
        };
        limit(None, 1);
        limit(Some("drive"), 2);
        let spends = |service| quota.spend(service, "ann", 1, DateTime::UNIX_EPOCH).is_ok();
        assert_eq!(["drive", "calendar", "drive", "gmail", "drive"].map(spends), [true, true, true, false, false]);
        limit(None, 1);
        assert_eq!(["drive", "drive"].map(spends), [true, false]);
    }

    #[test]
    fn a_sliding_minute_gives_back_each_call_a_minute_after_it() {
        let seconds = [0.0, 50.0, 59.8, 60.0, 60.1, 109.8, 110.0, 119.0, 120.0];
        assert_eq!(answers(true, seconds), [true, true, false, true, false, false, true, false, true]);
    }

    #[test]
    fn a_leap_of_a_clients_clock_widens_its_minute_and_forgets_nothing() {
        let quota = Quota::default();
        quota.set(Limits { project_per_minute: Some(2), sliding: true, ..Limits::default() });
        let at = |second: i64| DateTime::from_timestamp(second, 0).expect("a moment");
        let calls = |second, calls: u64| (0..calls).filter(|_| quota.spend("calendar", "someone", 1, at(second)).is_ok()).count();
        assert_eq!(calls(0, 3), 2);
        quota.leap(&Leap { seconds: 30 }, at(1));
        assert_eq!(calls(2, 3), 2);
        quota.leap(&Leap { seconds: 31 }, at(3));
        assert_eq!(calls(4, 3), 2);
        assert_eq!(calls(63, 3), 2, "the second leap is seen yet");
        assert_eq!(calls(66, 3), 0, "two of the last minute are not forgotten");
        assert_eq!(calls(123, 3), 2);
    }
}
