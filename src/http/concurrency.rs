//! Limits concurrent requests: slow start, then additive increase and multiplicative decrease (AIMD, RFC 5681), the way TCP probes a path's capacity.
//!
//! While responses arrive at their usual time, the limit doubles each round trip until the first sign of overload; from then on it grows by about one per
//! round trip, up to the configured maximum. It stays small if the server is so close that responses arrive immediately. A "too many requests" or
//! "overloaded" response reduces the limit by a third, and so does a doubled response time: once for all requests that were in progress together, because
//! they reflect the same moment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Factor applied to the limit after a sign of overload.
const DECREASE: f64 = 0.7;
/// Weight of a new response in the recent mean and in the usual mean.
const RECENT: f64 = 0.2;
const USUAL: f64 = 0.02;
/// Number of responses needed before a time counts as usual: the first few vary randomly.
const MIN_ANSWERS: u32 = 20;
/// Recent response time, relative to the usual one, that counts as overload.
const SLOW: f64 = 2.0;
/// Response times below this, in seconds, reveal nothing about the server.
const NOISE: f64 = 0.05;
/// Initial limit; doubles after the first responses unless they arrive immediately.
const START: f64 = 4.0;
/// If responses arrive faster than this, more concurrent requests would only queue: a few already make 10,000 calls per second, above every quota.
const NEAR: Duration = Duration::from_millis(20);

/// The concurrent requests of one process.
pub struct ConcurrencyLimit {
    state: Mutex<State>,
    /// A request has ended.
    ended: Notify,
}

impl ConcurrencyLimit {
    /// At most `max` concurrent requests; a few at first.
    pub fn new(max: u32) -> Self {
        Self { state: Mutex::new(State::new(max)), ended: Notify::new() }
    }

    /// Current limit of concurrent requests.
    pub fn limit(&self) -> usize {
        self.state().limit as usize
    }

    /// Waits for a free slot, in order of arrival.
    pub async fn enter(&self) -> RequestPermit<'_> {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            {
                let mut state = self.state();
                if state.under_way < state.limit as usize {
                    state.under_way += 1;
                    return RequestPermit { width: self, began: Instant::now() };
                }
            }
            ended.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress.
pub struct RequestPermit<'a> {
    width: &'a ConcurrencyLimit,
    began: Instant,
}

impl RequestPermit<'_> {
    /// Records the response to the request. `what`: requests of the same name take about equally long.
    pub fn answered(&self, what: &'static str, is_overloaded: bool) {
        let now = Instant::now();
        self.width.state().answered(what, now - self.began, is_overloaded, self.began, now);
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.width.state();
        state.under_way -= 1;
        // More than one slot is free if the limit has grown.
        let free = (state.limit as usize).saturating_sub(state.under_way);
        drop(state);
        (0..free.min(2)).for_each(|_| self.width.ended.notify_one());
    }
}

struct State {
    max: f64,
    limit: f64,
    under_way: usize,
    /// Response times by kind of request.
    times: HashMap<&'static str, Times>,
    /// Requests that began before this reflect overload already handled.
    decreased: Option<Instant>,
}

/// Response times, in seconds.
#[derive(Default)]
struct Times {
    recent: f64,
    usual: f64,
    answers: u32,
}

impl Times {
    /// Adds a response time; returns whether responses have become slow.
    fn are_slow_with(&mut self, took: f64) -> bool {
        self.answers = self.answers.saturating_add(1);
        // Plain means until there are enough, so that the first response does not weigh more than the others.
        let plain = 1.0 / f64::from(self.answers);
        self.recent += RECENT.max(plain) * (took - self.recent);
        self.usual += USUAL.max(plain) * (took - self.usual);
        self.answers >= MIN_ANSWERS && self.recent > SLOW * self.usual.max(NOISE)
    }
}

impl State {
    fn new(max: u32) -> Self {
        let max = f64::from(max.max(1));
        Self { max, limit: START.min(max), under_way: 0, times: HashMap::new(), decreased: None }
    }

    fn answered(&mut self, what: &'static str, took: Duration, is_overloaded: bool, began: Instant, now: Instant) {
        let is_slow = self.times.entry(what).or_default().are_slow_with(took.as_secs_f64());
        if is_overloaded || is_slow {
            if self.decreased.is_none_or(|at| began > at) {
                self.limit = (self.limit * DECREASE).max(1.0);
                self.decreased = Some(now);
                log::debug!(what, is_overloaded, is_slow, took:?; "at most {} concurrent requests", self.limit as usize);
            }
        } else if self.under_way >= self.limit as usize && took >= NEAR {
            // Only a fully used limit shows that more requests would be served.
            let more = if self.decreased.is_none() { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + more).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUALLY: Duration = Duration::from_millis(150);

    /// Runs `rounds` rounds of as many requests as allowed, each answered after `took`.
    fn rounds(state: &mut State, rounds: u32, took: Duration, mut now: Instant) -> Instant {
        for _ in 0..rounds {
            for _ in 0..state.limit as usize {
                // Slots that a response frees or adds are taken immediately.
                state.under_way = state.limit as usize;
                state.answered("x.list", took, false, now, now + took);
            }
            now += took;
        }
        now
    }

    #[test]
    fn concurrency_doubles_up_to_a_limit_then_grows_by_one_per_round_trip() {
        let mut state = State::new(64);
        let now = rounds(&mut state, 1, USUALLY, Instant::now());
        assert_eq!(state.limit as usize, 8);
        let now = rounds(&mut state, 3, USUALLY, now);
        assert_eq!(state.limit as usize, 64);
        (0..2).for_each(|round| {
            state.answered("x.list", USUALLY, true, now + round * USUALLY * 3, now + round * USUALLY * 3 + USUALLY)
        });
        let before = state.limit;
        let now = rounds(&mut state, 5, USUALLY, now + 9 * USUALLY);
        assert!((before + 4.0..=before + 6.0).contains(&state.limit), "{before}, then {}", state.limit);
        rounds(&mut state, 50, USUALLY, now);
        assert_eq!(state.limit as usize, 64);
    }

    #[test]
    fn concurrency_stays_small_for_fast_answers() {
        let mut state = State::new(64);
        rounds(&mut state, 100, Duration::from_millis(3), Instant::now());
        assert_eq!(state.limit as usize, 4);
    }

    #[test]
    fn quick_first_answers_do_not_make_later_ones_look_slow() {
        let mut state = State::new(32);
        let now = Instant::now();
        state.answered("x.list", USUALLY / 3, false, now, now + USUALLY);
        rounds(&mut state, 10, USUALLY, now + USUALLY);
        assert_eq!(state.limit as usize, 32);
    }

    #[test]
    fn one_congestion_event_reduces_concurrency_once_by_a_third() {
        let mut state = State::new(32);
        let now = rounds(&mut state, 50, USUALLY, Instant::now());
        (0..20).for_each(|_| state.answered("x.list", USUALLY, true, now, now + USUALLY));
        assert_eq!(state.limit as usize, 22);
        state.answered("x.list", USUALLY, true, now + 2 * USUALLY, now + 3 * USUALLY);
        assert_eq!(state.limit as usize, 15);
    }

    #[test]
    fn rising_latency_signals_congestion_and_constant_latency_does_not() {
        let mut state = State::new(32);
        let now = rounds(&mut state, 50, USUALLY, Instant::now());
        rounds(&mut state, 2, 10 * USUALLY, now);
        assert!(state.limit < 32.0, "{}", state.limit);
        let mut state = State::new(32);
        rounds(&mut state, 60, 10 * USUALLY, Instant::now());
        assert_eq!(state.limit as usize, 32);
    }

    #[test]
    fn one_request_is_always_allowed() {
        let (mut state, mut now) = (State::new(1), Instant::now());
        for _ in 0..9 {
            now += USUALLY;
            state.answered("x.list", USUALLY, true, now, now + USUALLY);
        }
        assert_eq!(state.limit as usize, 1);
    }

    #[tokio::test]
    async fn a_waiting_request_takes_the_next_free_slot() {
        let width = ConcurrencyLimit::new(1);
        let first = width.enter().await;
        let second = width.enter();
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        second.await.answered("x.list", false);
    }
}
