//! How many requests are under way at once: slow start, then additive increase and multiplicative decrease (AIMD, RFC 5681), as TCP finds the
//! width of a path.
//!
//! Answers that come at their usual time let the number double each round trip until the first sign of overload, and from then on grow by about
//! one, up to what the settings allow. It stays small where the server is so near that answers come at once. An answer that says "too many" or
//! "overloaded" takes a third of it away, and so does an answer time that has doubled: once for everything that was under way together, because
//! those requests tell of the same moment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// What is left of the number after a sign of overload.
const DECREASE: f64 = 0.7;
/// The share that a new answer has in the mean of the last few, and in the usual one.
const RECENT: f64 = 0.2;
const USUAL: f64 = 0.02;
/// So many answers are needed before a time can be called usual: the first few differ by chance.
const TELLING: u32 = 20;
/// The recent answer time, in usual ones, that counts as overload.
const SLOW: f64 = 2.0;
/// Answer times below this say nothing of the server.
const NOISE: f64 = 0.05;
/// Requests at first: twice that many after the first answers, where these take their time.
const START: f64 = 4.0;
/// Where answers come sooner, more requests at once would only wait for each other: a few are 10,000 calls a second, above every quota.
const NEAR: Duration = Duration::from_millis(20);

/// The requests under way of one process.
pub struct ConcurrencyLimit {
    state: Mutex<State>,
    /// A request has ended.
    ended: Notify,
}

impl ConcurrencyLimit {
    /// At most so many at once; a few at first.
    pub fn new(most: u32) -> Self {
        Self { state: Mutex::new(State::new(most)), ended: Notify::new() }
    }

    /// How many may be under way now.
    pub fn limit(&self) -> usize {
        self.state().limit as usize
    }

    /// Waits for a place, in the order of those who ask.
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

/// A request under way.
pub struct RequestPermit<'a> {
    width: &'a ConcurrencyLimit,
    began: Instant,
}

impl RequestPermit<'_> {
    /// The request was answered. `what`: requests of one name take about as long.
    pub fn answered(&self, what: &'static str, is_overloaded: bool) {
        let now = Instant::now();
        self.width.state().answered(what, now - self.began, is_overloaded, self.began, now);
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.width.state();
        state.under_way -= 1;
        // More than one place is free where the number has grown.
        let free = (state.limit as usize).saturating_sub(state.under_way);
        drop(state);
        (0..free.min(2)).for_each(|_| self.width.ended.notify_one());
    }
}

struct State {
    most: f64,
    limit: f64,
    under_way: usize,
    /// Answer times by what was asked.
    times: HashMap<&'static str, Times>,
    /// Requests that began before this tell of what has been heard already.
    decreased: Option<Instant>,
}

/// Answer times, in seconds.
#[derive(Default)]
struct Times {
    recent: f64,
    usual: f64,
    answers: u32,
}

impl Times {
    /// Adds one; answers whether they have grown long.
    fn are_slow_with(&mut self, took: f64) -> bool {
        self.answers = self.answers.saturating_add(1);
        // Plain means until there are enough, so that the first answer does not count for more than the others.
        let plain = 1.0 / f64::from(self.answers);
        self.recent += RECENT.max(plain) * (took - self.recent);
        self.usual += USUAL.max(plain) * (took - self.usual);
        self.answers >= TELLING && self.recent > SLOW * self.usual.max(NOISE)
    }
}

impl State {
    fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self { most, limit: START.min(most), under_way: 0, times: HashMap::new(), decreased: None }
    }

    fn answered(&mut self, what: &'static str, took: Duration, is_overloaded: bool, began: Instant, now: Instant) {
        let is_slow = self.times.entry(what).or_default().are_slow_with(took.as_secs_f64());
        if is_overloaded || is_slow {
            if self.decreased.is_none_or(|at| began > at) {
                self.limit = (self.limit * DECREASE).max(1.0);
                self.decreased = Some(now);
                log::debug!(what, is_overloaded, is_slow, took:?; "at most {} requests at once", self.limit as usize);
            }
        } else if self.under_way >= self.limit as usize && took >= NEAR {
            // Only a number that is used up shows that more would pass.
            let more = if self.decreased.is_none() { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + more).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUALLY: Duration = Duration::from_millis(150);

    /// So many rounds of as many requests as may be under way, each answered after `took`.
    fn rounds(state: &mut State, rounds: u32, took: Duration, mut now: Instant) -> Instant {
        for _ in 0..rounds {
            for _ in 0..state.limit as usize {
                // Places that an answer frees or adds are taken at once.
                state.under_way = state.limit as usize;
                state.answered("x.list", took, false, now, now + took);
            }
            now += took;
        }
        now
    }

    #[test]
    fn it_doubles_until_it_meets_a_bound_and_then_grows_by_one_a_round_trip_up_to_what_is_allowed() {
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
    fn it_stays_small_where_answers_come_at_once() {
        let mut state = State::new(64);
        rounds(&mut state, 100, Duration::from_millis(3), Instant::now());
        assert_eq!(state.limit as usize, 4);
    }

    #[test]
    fn first_answers_that_happen_to_be_quick_make_no_later_one_slow() {
        let mut state = State::new(32);
        let now = Instant::now();
        state.answered("x.list", USUALLY / 3, false, now, now + USUALLY);
        rounds(&mut state, 10, USUALLY, now + USUALLY);
        assert_eq!(state.limit as usize, 32);
    }

    #[test]
    fn what_was_under_way_together_takes_a_third_away_once() {
        let mut state = State::new(32);
        let now = rounds(&mut state, 50, USUALLY, Instant::now());
        (0..20).for_each(|_| state.answered("x.list", USUALLY, true, now, now + USUALLY));
        assert_eq!(state.limit as usize, 22);
        state.answered("x.list", USUALLY, true, now + 2 * USUALLY, now + 3 * USUALLY);
        assert_eq!(state.limit as usize, 15);
    }

    #[test]
    fn answers_that_take_ever_longer_are_a_sign_too_and_what_is_always_slow_is_none() {
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
    async fn who_waits_gets_the_place_of_who_ends() {
        let width = ConcurrencyLimit::new(1);
        let first = width.enter().await;
        let second = width.enter();
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        second.await.answered("x.list", false);
    }
}
