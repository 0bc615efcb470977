//! How many calls of one user are under way at once, where the provider bounds them: fewer after a refusal, and slowly more again. Knows no service.
//!
//! A refusal halves the number, once for all calls that were under way together. Nothing is called during the rest that follows; then one call
//! looks whether it was long enough, and if it is refused too, the next rest is twice as long. The number that was refused is not tried again
//! soon, and the next rest begins with the length that was enough: a refusal costs more time than a call less at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config;
use crate::error::{Class, Failure};

/// Calls that must pass until a number that was refused is tried again.
const CAREFUL: usize = 1_000;

/// The calls of one user.
pub struct UserConcurrency {
    state: Mutex<State>,
    /// A call has ended, or a rest has changed.
    changed: Notify,
}

impl UserConcurrency {
    /// At most so many calls at once. A first rest lasts as long as the first wait between tries, the longest as long as the longest one.
    pub fn new(most: usize, settings: &config::Engine) -> Self {
        let (base, cap) = (settings.backoff_base, settings.backoff_cap);
        // As many as it takes to come to the longest rest, and that one twice.
        let doublings = (cap.as_secs_f64() / base.as_secs_f64().max(1e-3)).log2().ceil().max(0.0) as u32;
        let patience = settings.tries.max(doublings + 2);
        Self { state: Mutex::new(State::new(most, base, cap, patience)), changed: Notify::new() }
    }

    /// How many may be under way now.
    pub fn width(&self) -> usize {
        self.state().limit
    }

    /// What a caller who begins to wait now must know.
    pub fn patience(&self) -> Patience {
        Patience(self.state().given_up)
    }

    /// Waits for a rest to end and for a place.
    ///
    /// # Errors
    /// `RateLimited`: calls were refused after one rest after the other since the caller began to wait.
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

/// How often it had been given up when a caller began to wait.
pub struct Patience(u64);

/// A call under way.
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

    /// The call was refused: the rest begins.
    pub fn refused(mut self, failure: &Failure) {
        self.end(|state, epoch| state.refused(epoch, failure, Instant::now()));
    }

    fn end(&mut self, tell: impl FnOnce(&mut State, u64)) {
        let mut state = self.gate.state();
        state.under_way -= 1;
        tell(&mut state, self.epoch);
        drop(state);
        self.ended = true;
        self.gate.changed.notify_waiters();
    }
}

impl Drop for CallPermit<'_> {
    /// It failed for another reason, or nobody waits for it any more.
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
    most: usize,
    base: Duration,
    cap: Duration,
    /// Rests in a row after which it is given up.
    patience: u32,
    limit: usize,
    /// The largest number that was not refused.
    ceiling: usize,
    under_way: usize,
    /// Since the number last changed.
    passed: usize,
    /// Grows with each refusal that changes something: what was under way then is not asked again what it thinks of it.
    epoch: u64,
    /// Rests in a row after which the first call was refused again.
    rests: u32,
    /// The last rest.
    pause: Duration,
    until: Option<Instant>,
    given_up: u64,
    refusal: Failure,
}

impl State {
    fn new(most: usize, base: Duration, cap: Duration, patience: u32) -> Self {
        Self {
            most,
            base,
            cap,
            patience,
            limit: most,
            ceiling: most,
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
        // The first one after a rest goes alone.
        let limit = if self.rests > 0 { 1 } else { self.limit };
        if self.under_way < limit { May::Enter } else { May::Wait }
    }

    fn passed(&mut self, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        self.rests = 0;
        self.passed += 1;
        let enough = if self.limit < self.ceiling { self.limit } else { CAREFUL };
        if self.limit < self.most && self.passed >= enough {
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
