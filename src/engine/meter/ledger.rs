//! Units in hand of the ledger that all hosts share: reserved in blocks, so that hundreds of calls cost one statement.

use std::time::{Duration, Instant};

use crate::db::Pool;
use crate::db::quota::{self, Carried, Limits, Reservation, Unspent};
use crate::error::{Class, Failure};

/// Units reserved at once beyond those that were expected: few at first, so that a small run takes little and one that dies leaves little
/// behind, then twice as many each time, so that the ledger costs a large run one statement for hundreds of calls.
const BLOCKS: std::ops::RangeInclusive<i64> = 50..=500;
/// Units are spent within so long of their reservation, or reserved again: the ledger forgets them a minute after it.
const FRESH: Duration = Duration::from_millis(500);
/// For so long a user's free share is not written down.
const MINUTE: Duration = Duration::from_secs(61);

/// Units in hand of one subject.
#[derive(Default)]
pub struct Block {
    left: Carried,
    /// Until when they may be spent.
    fresh: Option<Instant>,
    /// Spent without the ledger until `free_until`: below its free share a user is not written down.
    free_spent: i64,
    /// How much of that the ledger was told of since.
    free_told: i64,
    free_until: Option<Instant>,
    reserved_last: i64,
    /// The ledger said that the minute is full until then, for whoever may fill it so far: it is not asked again before.
    full: Option<(Instant, i64)>,
}

impl Block {
    /// Whether so many units are in hand.
    fn has(&self, units: i64) -> bool {
        self.left.units >= units && self.fresh.is_some_and(|fresh| Instant::now() < fresh)
    }

    /// Whether the free share allows so many units, which it then has spent.
    fn free(&mut self, units: i64, share: i64) -> bool {
        let now = Instant::now();
        if self.free_until.is_none_or(|until| until <= now) {
            (self.free_spent, self.free_told) = (0, 0);
            self.free_until = Some(now + MINUTE);
        }
        let allows = self.free_spent + units <= share;
        if allows {
            self.free_spent += units;
        }
        allows
    }

    /// Adds what was reserved at that moment, in the second that the ledger names.
    pub fn granted(&mut self, units: i64, second: i64, at: Instant) {
        self.left.units += units;
        self.left.second = second;
        self.fresh = Some(at + FRESH);
    }

    /// Adds what was taken and not spent.
    pub fn put_back(&mut self, units: i64) {
        self.left.units += units;
    }

    /// What is to be given back.
    pub fn unspent(&self, subject: String) -> Unspent {
        Unspent { subject, left: self.left }
    }
}

/// What a subject may spend.
pub struct Share {
    pub per_minute: i64,
    pub per_day: i64,
    /// Spent without asking the ledger.
    pub free: i64,
}

/// Whether units were taken.
pub enum Took {
    Granted,
    /// Nothing was: the minute is used up, and has room after so long.
    MinuteFull(Duration),
}

/// Takes units out of a block, or reserves another one. `subject` names the ledger's row; it is only asked for when a row is needed.
///
/// # Errors
/// `DailyQuota` when the day is used up.
pub async fn take(
    pool: &Pool,
    service: &str,
    block: &mut Block,
    subject: impl Fn() -> String,
    units: i64,
    share: &Share,
) -> Result<Took, Failure> {
    if block.free(units, share.free) {
        return Ok(Took::Granted);
    }
    if block.has(units) {
        block.left.units -= units;
        return Ok(Took::Granted);
    }
    if let Some((until, limit)) = block.full
        && share.per_minute <= limit
        && let left = until.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        return Ok(Took::MinuteFull(left));
    }
    // Boxed: most calls have units in hand and need no room for this.
    Box::pin(reserve(pool, service, block, subject(), units, share)).await
}

async fn reserve(
    pool: &Pool,
    service: &str,
    block: &mut Block,
    subject: String,
    units: i64,
    share: &Share,
) -> Result<Took, Failure> {
    let mut wanted = (2 * block.reserved_last).clamp(*BLOCKS.start(), *BLOCKS.end()).min(share.per_minute / 20).max(units);
    // Whoever comes to the ledger at all tells it of everything, so that several hosts together stay within the limit.
    let untold = block.free_spent - block.free_told;
    let limits = Limits { per_minute: share.per_minute, per_day: share.per_day };
    let (at, lacking, answer) = loop {
        let (at, lacking) = (Instant::now(), (wanted - block.left.units).max(0));
        let answer = quota::reserve(pool, service, &subject, lacking + untold, block.left, &limits).await?;
        // What is left of the minute, or of the day, may be less than a block.
        let left = match answer {
            Reservation::MinuteFull { room, .. } => room - untold + block.left.units,
            Reservation::DayFull { .. } => units,
            Reservation::Granted { .. } => wanted,
        };
        match (units..wanted).contains(&left) {
            true => wanted = left,
            false => break (at, lacking, answer),
        }
    };
    match answer {
        Reservation::Granted { second } => {
            block.free_told += untold;
            block.granted(lacking, second, at);
            block.left.units -= units;
            block.reserved_last = wanted;
            Ok(Took::Granted)
        }
        Reservation::MinuteFull { room_in, .. } => {
            let room_in = Duration::from_secs_f64(room_in);
            block.full = Some((Instant::now() + room_in, share.per_minute));
            Ok(Took::MinuteFull(room_in))
        }
        Reservation::DayFull { day_ends } => {
            let mut failure = Failure::new(Class::DailyQuota, "the quota of the day that the settings allow is used up");
            failure.retry_after = Some(Duration::from_secs_f64(day_ends));
            Err(failure)
        }
    }
}

/// Units as PostgreSQL counts them.
pub fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
