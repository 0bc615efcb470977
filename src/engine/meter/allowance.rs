//! Limits what a project or user may spend per minute: polls whenever units are available, passes evenly over the minute. Pure.
//!
//! The sum of the last minute is limited, so the limit holds both for providers that count whole minutes and for those with a sliding window. Passes are
//! additionally paced (generic cell rate algorithm): a first sync that spent its minute in the first second would leave nothing to others for the rest of
//! it, and all would wake up together at its end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A minute, plus the time that a call may be in transit: the provider counts it on arrival, not when it is sent. On average, the ledger between processes
/// counts a unit for the same time, so that units available here are available there.
const MINUTE: Duration = Duration::from_millis(61_500);
/// Units spent within this time are counted together.
const SLOT: Duration = Duration::from_millis(500);

/// What units are spent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Incremental polls.
    Polls,
    /// First syncs, resyncs and comparisons: they yield to polls.
    Passes,
    /// What a page of a pass needs beyond its booking: it has started, and continues as soon as units are available.
    Page,
}

/// The units of one project or user.
#[derive(Debug)]
pub struct Allowance {
    limit: u64,
    /// Units that passes may spend in one burst; the rest is available evenly over the minute.
    burst: u64,
    slots: VecDeque<Slot>,
    /// Of all slots.
    spent: Spent,
    /// When everything that passes were allowed so far would be spent at an even rate.
    even: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    polls: u64,
    passes: u64,
}

impl Spent {
    fn of(&mut self, what: For) -> &mut u64 {
        if what == For::Polls { &mut self.polls } else { &mut self.passes }
    }
}

#[derive(Debug)]
struct Slot {
    began: Instant,
    spent: Spent,
}

impl Slot {
    fn minute_end(&self) -> Instant {
        self.began + SLOT + MINUTE
    }
}

impl Allowance {
    /// An allowance of `limit` units per minute, of which passes may spend `burst` in one go.
    pub fn new(limit: u64, burst: u64) -> Self {
        let spent = Spent::default();
        Self { limit: limit.max(1), burst: burst.max(1), slots: VecDeque::new(), spent, even: None }
    }

    /// Maximum number of units that passes may spend in one burst.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// Units that passes may spend now.
    pub fn available(&self, now: Instant) -> u64 {
        let ahead = self.even.map_or(Duration::ZERO, |even| even.saturating_duration_since(now));
        let evenly = self.takes(self.burst).saturating_sub(ahead);
        let evenly = (evenly.as_secs_f64() / MINUTE.as_secs_f64() * self.limit as f64) as u64;
        let remaining = |limit: u64, spent: u64| limit.saturating_sub(spent);
        evenly
            .min(remaining(self.limit, self.spent.polls + self.spent.passes))
            .min(remaining(self.for_passes(), self.spent.passes))
    }

    /// Checks that `units` are available. `Err`: the earliest time at which they may be.
    pub fn check(&mut self, units: u64, what: For, now: Instant) -> Result<(), Instant> {
        while let Some(slot) = self.slots.front().filter(|slot| slot.minute_end() <= now) {
            self.spent.polls -= slot.spent.polls;
            self.spent.passes -= slot.spent.passes;
            self.slots.pop_front();
        }
        // A call that costs more than the limit of a minute is made when nothing else was spent.
        let units = units.min(self.limit);
        if what == For::Passes
            && let Some(even) = self.even
        {
            let begins = even.checked_sub(self.takes(self.burst.max(units) - units)).unwrap_or(now);
            if begins > now {
                return Err(begins);
            }
        }
        let mut remaining = self.spent;
        if self.fits(remaining, units, what) {
            return Ok(());
        }
        let mut end = now;
        for slot in &self.slots {
            remaining.polls -= slot.spent.polls;
            remaining.passes -= slot.spent.passes;
            end = slot.minute_end();
            if self.fits(remaining, units, what) {
                break;
            }
        }
        Err(end)
    }

    /// Units that passes may spend per minute: they leave to polls what polls spent in the last minute, up to half of the limit.
    pub fn for_passes(&self) -> u64 {
        self.limit - self.spent.polls.min(self.limit / 2)
    }

    fn fits(&self, spent: Spent, units: u64, what: For) -> bool {
        let of_passes = self.for_passes();
        spent.polls + spent.passes + units <= self.limit && (what != For::Passes || spent.passes + units <= of_passes.max(units))
    }

    /// Spends units after a successful `check`.
    pub fn spend(&mut self, units: u64, what: For, now: Instant) {
        let mut spent = Spent::default();
        *spent.of(what) = units.min(self.limit);
        if what != For::Polls {
            let from = self.even.map_or(now, |even| even.max(now));
            self.even = Some(from + self.takes(spent.passes));
        }
        self.spent.polls += spent.polls;
        self.spent.passes += spent.passes;
        match self.slots.back_mut().filter(|slot| now < slot.began + SLOT) {
            Some(slot) => {
                slot.spent.polls += spent.polls;
                slot.spent.passes += spent.passes;
            }
            None => self.slots.push_back(Slot { began: now, spent }),
        }
    }

    /// Moves units booked earlier to the current time.
    pub fn move_to(&mut self, now: Instant, booked: Instant, units: u64, what: For) {
        if now < booked + SLOT {
            return;
        }
        let units = units.min(self.limit);
        if let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.began <= booked) {
            let part = units.min(*slot.spent.of(what));
            *slot.spent.of(what) -= part;
            *self.spent.of(what) -= part;
        }
        let even = self.even;
        self.spend(units, what, now);
        self.even = even;
    }

    /// Takes back units that were booked but not spent.
    pub fn give_back(&mut self, mut units: u64, what: For) {
        if what != For::Polls {
            self.even = self.even.and_then(|even| even.checked_sub(self.takes(units)));
        }
        for slot in self.slots.iter_mut().rev() {
            let part = units.min(*slot.spent.of(what));
            *slot.spent.of(what) -= part;
            *self.spent.of(what) -= part;
            units -= part;
        }
    }

    /// How long `units` take at an even rate.
    fn takes(&self, units: u64) -> Duration {
        MINUTE.mul_f64(units as f64 / self.limit as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Spends all available units in portions of `part`; returns the units spent in each tenth of a second.
    fn spend_all(allowance: &mut Allowance, part: u64, what: For, tenths: usize, from: Instant) -> Vec<u64> {
        let mut spent = vec![0; tenths];
        for (tenth, spent) in spent.iter_mut().enumerate() {
            let now = from + SECOND / 10 * tenth as u32;
            while allowance.check(part, what, now).is_ok() {
                allowance.spend(part, what, now);
                *spent += part;
            }
        }
        spent
    }

    #[test]
    fn no_window_of_a_minute_exceeds_the_limit() {
        for (part, what) in [(20, For::Polls), (2_000, For::Passes), (300, For::Passes), (5_000, For::Passes)] {
            let mut allowance = Allowance::new(6_000, 2_400);
            let spent = spend_all(&mut allowance, part, what, 3_000, Instant::now());
            let busiest = spent.windows(600).map(|minute| minute.iter().sum::<u64>()).max();
            assert!(busiest <= Some(6_000), "{part} {what:?}: {busiest:?}");
            let all: u64 = spent.iter().sum();
            assert!(all >= 24_000 - part, "{part} {what:?}: {all} in five minutes");
        }
    }

    #[test]
    fn passes_are_spread_over_the_minute() {
        let mut allowance = Allowance::new(6_000, 600);
        let spent = spend_all(&mut allowance, 100, For::Passes, 600, Instant::now());
        assert!(spent.windows(100).skip(10).all(|seconds| seconds.iter().sum::<u64>() <= 1_100), "{spent:?}");
        assert!(spent.iter().sum::<u64>() >= 5_900);
    }

    #[test]
    fn passes_leave_polls_their_recent_share() {
        let now = Instant::now();
        let mut allowance = Allowance::new(1_000, 1_000);
        assert_eq!(spend_all(&mut allowance, 100, For::Passes, 1, now), [1_000]);
        let mut allowance = Allowance::new(1_000, 1_000);
        allowance.spend(200, For::Polls, now);
        assert_eq!(spend_all(&mut allowance, 100, For::Passes, 1, now), [800]);
    }

    #[test]
    fn a_refused_reservation_says_when_units_are_available() {
        let now = Instant::now();
        let mut allowance = Allowance::new(1_000, 1_000);
        allowance.spend(400, For::Polls, now);
        allowance.spend(600, For::Polls, now + 10 * SECOND);
        let at = allowance.check(400, For::Polls, now + 20 * SECOND).expect_err("full");
        assert_eq!(at, now + SLOT + MINUTE);
        let later = allowance.check(500, For::Polls, now + 20 * SECOND).expect_err("full");
        assert_eq!(later, now + 10 * SECOND + SLOT + MINUTE);
        assert!(allowance.check(500, For::Polls, later).is_ok());
    }

    #[test]
    fn released_units_can_be_spent_by_others() {
        let now = Instant::now();
        let mut allowance = Allowance::new(1_000, 1_000);
        allowance.spend(1_000, For::Passes, now);
        allowance.give_back(400, For::Passes);
        assert_eq!(spend_all(&mut allowance, 100, For::Passes, 1, now), [400]);
    }

    #[test]
    fn units_count_in_the_minute_of_the_call() {
        let now = Instant::now();
        let mut allowance = Allowance::new(1_000, 1_000);
        allowance.spend(400, For::Polls, now);
        allowance.spend(600, For::Polls, now + SECOND);
        allowance.move_to(now + 10 * SECOND, now, 400, For::Polls);
        let later = allowance.check(700, For::Polls, now + 20 * SECOND).expect_err("full");
        assert_eq!(later, now + 10 * SECOND + SLOT + MINUTE);
        assert!(allowance.check(600, For::Polls, now + SECOND + SLOT + MINUTE).is_ok());
    }

    #[test]
    fn a_call_that_costs_more_than_a_minute_allows_is_made_alone() {
        let now = Instant::now();
        let mut allowance = Allowance::new(100, 40);
        allowance.check(500, For::Passes, now).expect("room");
        allowance.spend(500, For::Passes, now);
        allowance.check(1, For::Polls, now).expect_err("full");
    }
}
