//! Retry delays, and the circuit breaker of a target. Pure.

use std::cell::Cell;
use std::time::Duration;

use crate::config::Outbox;

/// Consecutive failures after which the circuit of a target opens.
const OPENS_AFTER: u32 = 5;

/// The wait after a failed attempt: random(0, base * 2^earlier attempts), at least `retry_after` if the target asks for it, and at most the cap.
/// `chance` is a random number in [0, 1).
pub fn wait(settings: &Outbox, earlier_attempts: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let max =
        settings.backoff_base.saturating_mul(1u32.checked_shl(earlier_attempts).unwrap_or(u32::MAX)).min(settings.backoff_cap);
    max.mul_f64(chance).max(retry_after.unwrap_or_default().min(settings.backoff_cap))
}

/// Consecutive failures of one target. Shared by concurrent requests, hence the cells.
#[derive(Debug)]
pub struct Circuit {
    failures: Cell<u32>,
    changed: Cell<bool>,
}

impl Circuit {
    /// The state left by earlier runs.
    pub fn after(failures: u32) -> Self {
        Self { failures: Cell::new(failures), changed: Cell::new(false) }
    }

    pub fn failures(&self) -> u32 {
        self.failures.get()
    }

    /// While open, a run sends only one request, to check whether the target answers again.
    pub fn is_open(&self) -> bool {
        self.failures.get() >= OPENS_AFTER
    }

    /// Counts a result.
    pub fn note(&self, delivered: bool) {
        let failures = if delivered { 0 } else { self.failures.get().saturating_add(1) };
        if self.failures.replace(failures) != failures {
            self.changed.set(true);
        }
    }

    /// Whether the state differs from the stored one. Resets the flag.
    pub fn take_change(&self) -> bool {
        self.changed.replace(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let settings =
            Outbox { backoff_base: Duration::from_secs(10), backoff_cap: Duration::from_secs(60), ..Outbox::default() };
        let waits: Vec<u64> = [0, 1, 2, 3, 40].iter().map(|tries| wait(&settings, *tries, None, 1.0).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 60, 60]);
        assert_eq!(wait(&settings, 3, None, 0.0), Duration::ZERO);
    }

    #[test]
    fn the_retry_after_of_a_target_is_respected_up_to_the_cap() {
        let settings =
            Outbox { backoff_base: Duration::from_secs(10), backoff_cap: Duration::from_secs(60), ..Outbox::default() };
        assert_eq!(wait(&settings, 0, Some(Duration::from_secs(45)), 0.5), Duration::from_secs(45));
        assert_eq!(wait(&settings, 0, Some(Duration::from_secs(1 << 30)), 0.5), Duration::from_secs(60));
    }

    #[test]
    fn only_consecutive_failures_open_the_circuit() {
        let circuit = Circuit::after(0);
        for delivered in [false, false, false, false, true, false, false, false, false] {
            circuit.note(delivered);
            assert!(!circuit.is_open());
        }
        circuit.note(false);
        assert!(circuit.is_open());
        circuit.note(true);
        assert!(!circuit.is_open());
    }
}
