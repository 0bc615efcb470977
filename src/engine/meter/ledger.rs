//! Units drawn from the ledger shared by all hosts: reserved in blocks, so that hundreds of calls cost one statement.

use std::time::{Duration, Instant};

use crate::db::Pool;
use crate::db::quota::{self, Carried, Limits, Reservation, Unspent};
use crate::error::{Class, Failure};

/// Units reserved together beyond those expected: few at first, so that a small run takes little and a run that dies leaves little behind, then twice as
/// many each time, so that a large run needs one statement for hundreds of calls.
const BLOCKS: std::ops::RangeInclusive<i64> = 50..=500;
/// Reserved units must be spent within this time or reserved again: the ledger forgets them a minute after the reservation.
const FRESH: Duration = Duration::from_millis(500);
/// How long the use of a user's free share goes unrecorded.
const MINUTE: Duration = Duration::from_secs(61);

/// Reserved units of one subject.
#[derive(Default)]
pub struct Block {
    remaining: Carried,
    /// When they expire.
    fresh: Option<Instant>,
    /// Units spent without the ledger until `free_until`: a user below the free share is not recorded.
    free_spent: i64,
    /// How many of these have been recorded in the ledger since.
    free_recorded: i64,
    free_until: Option<Instant>,
    reserved_last: i64,
    /// The ledger reported a full minute, until when and for which limit; it is not queried again before.
    full: Option<(Instant, i64)>,
}

impl Block {
    /// Whether `units` are in hand.
    fn has(&self, units: i64) -> bool {
        self.remaining.units >= units && self.fresh.is_some_and(|fresh| Instant::now() < fresh)
    }

    /// Whether the free share covers `units`; if so, they are spent.
    fn free(&mut self, units: i64, share: i64) -> bool {
        let now = Instant::now();
        if self.free_until.is_none_or(|until| until <= now) {
            (self.free_spent, self.free_recorded) = (0, 0);
            self.free_until = Some(now + MINUTE);
        }
        let allows = self.free_spent + units <= share;
        if allows {
            self.free_spent += units;
        }
        allows
    }

    /// Adds units reserved at that moment, in the second named by the ledger.
    pub fn granted(&mut self, units: i64, second: i64, at: Instant) {
        self.remaining.units += units;
        self.remaining.second = second;
        self.fresh = Some(at + FRESH);
    }

    /// Adds units that were taken but not spent.
    pub fn put_back(&mut self, units: i64) {
        self.remaining.units += units;
    }

    /// The units to give back.
    pub fn unspent(&self, subject: String) -> Unspent {
        Unspent { subject, left: self.remaining }
    }
}

/// Limits of a subject.
pub struct Share {
    pub per_minute: i64,
    pub per_day: i64,
    /// Units that may be spent without the ledger.
    pub free: i64,
}

/// Result of taking units.
pub enum Took {
    Granted,
    /// None were taken: the minute is used up, and units are available again after this time.
    MinuteFull(Duration),
}

/// Takes units from a block, or reserves another one. `subject` names the ledger's row; it is called only if a row is needed.
///
/// # Errors
/// Returns `DailyQuota` if the day's quota is used up.
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
        block.remaining.units -= units;
        return Ok(Took::Granted);
    }
    if let Some((until, limit)) = block.full
        && share.per_minute <= limit
        && let remaining = until.saturating_duration_since(Instant::now())
        && !remaining.is_zero()
    {
        return Ok(Took::MinuteFull(remaining));
    }
    // Boxed: most calls have units in hand and need no space for this.
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
    let mut target = (2 * block.reserved_last).clamp(*BLOCKS.start(), *BLOCKS.end()).min(share.per_minute / 20).max(units);
    // Anyone who uses the ledger records everything spent so far, so that several hosts together stay within the limit.
    let unrecorded = block.free_spent - block.free_recorded;
    let limits = Limits { per_minute: share.per_minute, per_day: share.per_day };
    let (at, lacking, answer) = loop {
        let (at, lacking) = (Instant::now(), (target - block.remaining.units).max(0));
        let answer = quota::reserve(pool, service, &subject, lacking + unrecorded, block.remaining, &limits).await?;
        // The remainder of the minute, or of the day, may be less than a block.
        let remaining = match answer {
            Reservation::MinuteFull { room, .. } => room - unrecorded + block.remaining.units,
            Reservation::DayFull { .. } => units,
            Reservation::Granted { .. } => target,
        };
        if (units..target).contains(&remaining) {
            target = remaining;
        } else {
            break (at, lacking, answer);
        }
    };
    match answer {
        Reservation::Granted { second } => {
            block.free_recorded += unrecorded;
            block.granted(lacking, second, at);
            block.remaining.units -= units;
            block.reserved_last = target;
            Ok(Took::Granted)
        }
        Reservation::MinuteFull { room_in, .. } => {
            let room_in = Duration::from_secs_f64(room_in);
            block.full = Some((Instant::now() + room_in, share.per_minute));
            Ok(Took::MinuteFull(room_in))
        }
        Reservation::DayFull { day_ends } => {
            let mut failure = Failure::new(Class::DailyQuota, "the daily quota allowed by the settings is used up");
            failure.retry_after = Some(Duration::from_secs_f64(day_ends));
            Err(failure)
        }
    }
}

/// Units as PostgreSQL stores them.
pub fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
