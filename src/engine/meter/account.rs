//! Quota of a project or user in this process, and the bookings drawn from it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use uuid::Uuid;

use super::allowance::{Allowance, For};
use super::ledger::{self, Block};
use super::{Project, locked};
use crate::db::quota::Unspent;

/// The quota of a project or user.
pub struct Account {
    pub allowance: Mutex<Allowance>,
    /// Queue of those waiting for the allowance, in order.
    pub waiting: tokio::sync::Mutex<()>,
    /// Number of polls that wait; while there are any, no pass is admitted.
    pub polls: AtomicUsize,
    pub ledger: tokio::sync::Mutex<Block>,
    /// Units that are recorded in the ledger as booked, but were not spent.
    pub unspent: AtomicU64,
}

impl Account {
    /// An account of `per_minute` units, of which passes may spend the share `burst` in one go.
    pub fn new(per_minute: u64, burst: f64) -> Self {
        let burst = (per_minute as f64 * burst) as u64;
        let allowance = Mutex::new(Allowance::new(per_minute, burst));
        Self {
            allowance,
            waiting: tokio::sync::Mutex::default(),
            polls: AtomicUsize::new(0),
            ledger: tokio::sync::Mutex::default(),
            unspent: AtomicU64::new(0),
        }
    }

    /// Returns the units to give back to the ledger.
    pub async fn unspent(&self, subject: String) -> Unspent {
        let mut block = self.ledger.lock().await;
        block.put_back(ledger::signed(self.unspent.swap(0, Ordering::Relaxed)));
        block.unspent(subject)
    }
}

/// A poll that waits for an allowance.
pub struct Waits<'a>(&'a Account);

impl<'a> Waits<'a> {
    /// Counts a waiting poll; while it lives, no pass is admitted.
    pub fn of(account: &'a Account) -> Self {
        account.polls.fetch_add(1, Ordering::Relaxed);
        Self(account)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.polls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which account lacks quota, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The user alone.
    User(Instant),
    /// All users of the project.
    Project(Instant),
}

impl Lack {
    /// When units are available again.
    pub fn until(self) -> Instant {
        match self {
            Self::User(until) | Self::Project(until) => until,
        }
    }
}

/// Units already spent for the first calls of a poll, or for those of a page. The remainder is given back on drop.
pub struct Booking {
    pub(super) project: Arc<Project>,
    pub(super) user: (Uuid, Arc<Account>),
    pub(super) what: For,
    pub(super) units: u64,
    pub(super) remaining: AtomicU64,
    pub(super) booked: Instant,
    /// Whether it is recorded in the ledger.
    pub(super) entered: AtomicBool,
}

impl Booking {
    /// Remaining units.
    pub fn remaining(&self) -> u64 {
        self.remaining.load(Ordering::Relaxed)
    }

    /// Whether it is for a page of a pass, which takes as much as the user has available.
    pub fn is_for_pass(&self) -> bool {
        self.what != For::Polls
    }

    /// Takes units from the booking, if there are enough. They count from now on: the provider counts a call when it arrives, which may be some time after
    /// the booking.
    pub fn draw(&self, units: u64) -> bool {
        let drawn =
            self.remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |remaining| remaining.checked_sub(units)).is_ok();
        if drawn {
            let now = Instant::now();
            for account in [&self.project.account, &self.user.1] {
                locked(&account.allowance).move_to(now, self.booked, units, self.what);
            }
        }
        drawn
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        let remaining = *self.remaining.get_mut();
        if remaining == 0 {
            return;
        }
        for account in [&self.project.account, &self.user.1] {
            locked(&account.allowance).give_back(remaining, self.what);
            if *self.entered.get_mut() {
                account.unspent.fetch_add(remaining, Ordering::Relaxed);
            }
        }
    }
}
