//! Limits a user's concurrent calls if the provider does: fewer after a rejection, then slowly more. Independent of any service.
//!
//! A rejection halves the limit, once for all calls that were in progress together. No calls are made during the pause that follows; then one call checks
//! whether the pause was long enough, and if it is rejected too, the next pause is twice as long. The rejected limit is not tried again soon, and the next
//! pause starts with the length that was sufficient: a rejection costs more time than one concurrent call less.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config;
use crate::error::{Class, Failure};

/// Calls that must succeed before a rejected limit is tried again.
const RAISE_AFTER: usize = 1_000;

/// The calls of one user.
pub struct UserConcurrency {
    state: Mutex<State>,
    /// A call has ended, or a pause has changed.
    changed: Notify,
}

impl UserConcurrency {
    /// At most `max` concurrent calls. The first pause is as long as the first wait between tries; the longest pause as long as the longest wait.
    pub fn new(max: usize, settings: &config::Engine) -> Self {
        let (base, cap) = (settings.backoff_base, settings.backoff_cap);
        // Enough pauses to reach the longest one, and that one twice.
        let doublings = (cap.as_secs_f64() / base.as_secs_f64().max(1e-3)).log2().ceil().max(0.0) as u32;
        let patience = settings.tries.max(doublings + 2);
        Self { state: Mutex::new(State::new(max, base, cap, patience)), changed: Notify::new() }
    }

    /// Current limit of concurrent calls.
    pub fn width(&self) -> usize {
        self.state().limit
    }

    /// Snapshot for a caller that starts to wait now.
    pub fn patience(&self) -> Patience {
        Patience(self.state().given_up)
    }

    /// Waits for the pause to end and for a free slot.
    ///
    /// # Errors
    /// Returns `RateLimited` if calls were rejected after each of several consecutive pauses since the caller began to wait.
    pub async fn enter(&self, patience: &Patience) -> Result<CallPermit<'_>, Failure> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let until = {
                let mut state = self.state();
                if state.given_up > patience.0 {
                    return Err(state.refusal.clone());
                }
                match state.may_enter(Instant::now()) {
                    May::Enter => {
                        state.under_way += 1;
                        return Ok(CallPermit { gate: self, epoch: state.epoch, ended: false });
                    }
                    May::At(until) => Some(until),
                    May::Wait => None,
                }
            };
            match until {
                Some(until) => tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often calls had been given up when a caller began to wait.
pub struct Patience(u64);

/// A call in progress.
pub struct CallPermit<'a> {
    gate: &'a UserConcurrency,
    epoch: u64,
    ended: bool,
}

impl CallPermit<'_> {
    /// The call was answered.
    pub fn passed(mut self) {
        self.end(|state, epoch| state.passed(epoch));
    }

    /// The call was rejected: the pause begins.
    pub fn refused(mut self, failure: &Failure) {
        self.end(|state, epoch| state.refused(epoch, failure, Instant::now()));
    }

    fn end(&mut self, update: impl FnOnce(&mut State, u64)) {
        let mut state = self.gate.state();
        state.under_way -= 1;
        update(&mut state, self.epoch);
        drop(state);
        self.ended = true;
        self.gate.changed.notify_waiters();
    }
}

impl Drop for CallPermit<'_> {
    /// The call failed for another reason, or was cancelled.
    fn drop(&mut self) {
        if !self.ended {
            self.end(|_, _| {});
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum May {
    Enter,
    At(Instant),
    Wait,
}

struct State {
    max: usize,
    base: Duration,
    cap: Duration,
    /// Number of consecutive pauses after which to give up.
    patience: u32,
    limit: usize,
    /// The largest limit that was not rejected.
    ceiling: usize,
    under_way: usize,
    /// Calls that succeeded since the limit last changed.
    passed: usize,
    /// Incremented by each rejection that changes something; results of calls from earlier epochs are ignored.
    epoch: u64,
    /// Number of consecutive pauses after which the first call was rejected again.
    rests: u32,
    /// Length of the last pause.
    pause: Duration,
    until: Option<Instant>,
    given_up: u64,
    refusal: Failure,
}

impl State {
    fn new(max: usize, base: Duration, cap: Duration, patience: u32) -> Self {
        Self {
            max,
            base,
            cap,
            patience,
            limit: max,
            ceiling: max,
            under_way: 0,
            passed: 0,
            epoch: 0,
            rests: 0,
            pause: Duration::ZERO,
            until: None,
            given_up: 0,
            refusal: Failure::new(Class::RateLimited, ""),
        }
    }

    fn may_enter(&self, now: Instant) -> May {
        if let Some(until) = self.until.filter(|until| *until > now) {
            return May::At(until);
        }
        // The first call after a pause is made alone.
        let limit = if self.rests > 0 { 1 } else { self.limit };
        if self.under_way < limit { May::Enter } else { May::Wait }
    }

    fn passed(&mut self, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        self.rests = 0;
        self.passed += 1;
        let enough = if self.limit < self.ceiling { self.limit } else { RAISE_AFTER };
        if self.limit < self.max && self.passed >= enough {
            self.limit += 1;
            self.ceiling = self.ceiling.max(self.limit);
            self.passed = 0;
        }
    }

    fn refused(&mut self, epoch: u64, failure: &Failure, now: Instant) {
        if epoch == self.epoch {
            self.epoch += 1;
            self.pause = match self.rests {
                0 => {
                    self.ceiling = (self.limit - 1).max(1);
                    self.limit = (self.limit / 2).max(1);
                    self.pause.max(self.base)
                }
                _ => self.pause.saturating_mul(2),
            };
            self.pause = self.pause.min(self.cap);
            self.rests += 1;
            self.passed = 0;
            if self.rests > self.patience {
                self.given_up += 1;
                self.refusal = failure.clone();
            }
        }
        let hint = failure.retry_after.unwrap_or_default().min(self.cap);
        self.until = Some(now + self.pause.max(hint));
    }
}

#[cfg(test)]
mod tests;
