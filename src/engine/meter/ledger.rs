//! Units in hand of the ledger that all hosts share: reserved in blocks, so that hundreds of calls cost one statement.

use std::time::{Duration, Instant};

use crate::db::Pool;
use crate::db::quota::{self, Reservation, Unspent};
use crate::error::{Class, Failure};

/// Units reserved at once beyond those that were expected: few at first, so that a small run takes little and one that dies leaves little
/// behind, then twice as many each time, so that the ledger costs a large run one statement for hundreds of calls.
const BLOCKS: std::ops::RangeInclusive<i64> = 50..=500;
const MINUTE: Duration = Duration::from_secs(60);

/// Units in hand of one subject.
#[derive(Default)]
pub struct Block {
    left: i64,
    ends: Option<Instant>,
    /// Spent in this minute without the ledger: below its free share a user is not written down.
    free_spent: i64,
    /// How much of that the ledger was told of since.
    free_told: i64,
    /// Reserved in minutes that are over and not spent: the day gets it back.
    dropped: i64,
    reserved_last: i64,
    /// The ledger said that the minute is full until then, for whoever may fill it so far: it is not asked again before.
    full: Option<(Instant, i64)>,
}

impl Block {
    /// Leaves the minute that is over behind.
    fn roll(&mut self) {
        if self.ends.is_none_or(|ends| ends <= Instant::now()) {
            self.ends = self.ends.map(|_| Instant::now() + MINUTE);
            self.dropped += std::mem::take(&mut self.left);
            self.free_spent = 0;
            self.free_told = 0;
        }
    }

    /// Adds what was reserved.
    pub fn granted(&mut self, units: i64, minute_ends: f64) {
        self.roll();
        self.left += units;
        self.ends = Some(Instant::now() + Duration::from_secs_f64(minute_ends));
    }

    /// Adds what was taken and not spent.
    pub fn put_back(&mut self, units: i64) {
        self.left += units;
    }

    /// What is to be given back.
    pub fn unspent(&self, subject: String) -> Unspent {
        let minute = if self.ends.is_some_and(|ends| ends > Instant::now()) { self.left } else { 0 };
        Unspent { subject, minute, day: self.left + self.dropped }
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
    /// Nothing was: the minute is used up, and ends after so long.
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
    block.roll();
    if block.free_spent + units <= share.free {
        block.free_spent += units;
        block.ends.get_or_insert_with(|| Instant::now() + MINUTE);
        return Ok(Took::Granted);
    }
    if block.left >= units {
        block.left -= units;
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
    let wanted = (2 * block.reserved_last).clamp(*BLOCKS.start(), *BLOCKS.end()).min(share.per_minute / 20).max(units);
    // Whoever comes to the ledger at all tells it of everything, so that several hosts together stay within the limit.
    let untold = block.free_spent - block.free_told;
    match quota::reserve(pool, service, &subject, wanted + untold, share.per_minute, share.per_day).await? {
        Reservation::Granted { minute_ends } => {
            block.free_told += untold;
            block.granted(wanted, minute_ends);
            block.left -= units;
            block.reserved_last = wanted;
            Ok(Took::Granted)
        }
        Reservation::MinuteFull { minute_ends } => {
            let ends = Duration::from_secs_f64(minute_ends);
            block.full = Some((Instant::now() + ends, share.per_minute));
            Ok(Took::MinuteFull(ends))
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
