//! What a project or a user has of the quota in this process, and what is booked of it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use uuid::Uuid;

use super::allowance::{Allowance, For};
use super::ledger::{self, Block};
use super::{Project, locked};
use crate::db::quota::Unspent;

/// What a project or a user has.
pub struct Account {
    pub allowance: Mutex<Allowance>,
    /// Who waits for the allowance, in their order.
    pub waiting: tokio::sync::Mutex<()>,
    /// How many polls do: as long as any does, no pass is let in.
    pub polls: AtomicUsize,
    pub ledger: tokio::sync::Mutex<Block>,
    /// Units in the ledger that were booked and not spent.
    pub unspent: AtomicU64,
}

impl Account {
    /// So many units a minute, of which passes may spend this share at once.
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

    /// What the ledger is to be given back.
    pub async fn unspent(&self, subject: String) -> Unspent {
        let mut block = self.ledger.lock().await;
        block.put_back(ledger::signed(self.unspent.swap(0, Ordering::Relaxed)));
        block.unspent(subject)
    }
}

/// A poll that waits for an allowance.
pub struct Waits<'a>(&'a Account);

impl<'a> Waits<'a> {
    /// As long as it lives, no pass is let in.
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

/// Who lacks quota, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The user alone.
    User(Instant),
    /// All users of the project.
    Project(Instant),
}

impl Lack {
    /// Until when.
    pub fn until(self) -> Instant {
        match self {
            Self::User(until) | Self::Project(until) => until,
        }
    }
}

/// Units that are spent already, for the first calls of a poll or those of a page. What is left of them when it is dropped goes back.
pub struct Booking {
    pub(super) project: Arc<Project>,
    pub(super) user: (Uuid, Arc<Account>),
    pub(super) what: For,
    pub(super) units: u64,
    pub(super) left: AtomicU64,
    pub(super) booked: Instant,
    /// The ledger knows of it.
    pub(super) entered: AtomicBool,
}

impl Booking {
    /// What is left of it.
    pub fn remaining(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether it is for a page of a pass, which takes as much as the user has.
    pub fn is_for_pass(&self) -> bool {
        self.what != For::Polls
    }

    /// Takes units out of it, if there are so many. They count from now on: the provider counts a call when it comes, which may be a while after
    /// its booking.
    pub fn draw(&self, units: u64) -> bool {
        let drawn = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(units)).is_ok();
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
        let left = *self.left.get_mut();
        if left == 0 {
            return;
        }
        for account in [&self.project.account, &self.user.1] {
            locked(&account.allowance).give_back(left, self.what);
            if *self.entered.get_mut() {
                account.unspent.fetch_add(left, Ordering::Relaxed);
            }
        }
    }
}
