//! When an event is tried again, and whether a target is worth trying at all. Pure.

use std::cell::Cell;
use std::time::Duration;

use crate::config::Outbox;

/// Failures in a row after which a target's circuit is open.
const OPENS_AFTER: u32 = 5;

/// The wait after a failed try: random(0, base * 2^tries before it), or what the target asks for; never longer than the cap.
/// `chance` is a random number in [0, 1).
pub fn wait(settings: &Outbox, tries_before: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let most = settings.backoff_base.saturating_mul(1u32.checked_shl(tries_before).unwrap_or(u32::MAX)).min(settings.backoff_cap);
    most.mul_f64(chance).max(asked.unwrap_or_default().min(settings.backoff_cap))
}

/// Failures in a row at one target. Shared by the requests under way, hence the cells.
#[derive(Debug)]
pub struct Circuit {
    failures: Cell<u32>,
    changed: Cell<bool>,
}

impl Circuit {
    /// As earlier runs left it.
    pub fn after(failures: u32) -> Self {
        Self { failures: Cell::new(failures), changed: Cell::new(false) }
    }

    pub fn failures(&self) -> u32 {
        self.failures.get()
    }

    /// Open: a run sends one request to see whether the target answers again.
    pub fn is_open(&self) -> bool {
        self.failures.get() >= OPENS_AFTER
    }

    /// Counts an answer.
    pub fn note(&self, delivered: bool) {
        let failures = if delivered { 0 } else { self.failures.get().saturating_add(1) };
        if self.failures.replace(failures) != failures {
            self.changed.set(true);
        }
    }

    /// Whether it differs from what was stored, asked once.
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
    fn a_target_is_given_the_time_it_asks_for_up_to_the_cap() {
        let settings =
            Outbox { backoff_base: Duration::from_secs(10), backoff_cap: Duration::from_secs(60), ..Outbox::default() };
        assert_eq!(wait(&settings, 0, Some(Duration::from_secs(45)), 0.5), Duration::from_secs(45));
        assert_eq!(wait(&settings, 0, Some(Duration::from_secs(1 << 30)), 0.5), Duration::from_secs(60));
    }

    #[test]
    fn only_failures_in_a_row_open_the_circuit() {
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
