//! The pace of one stream: what is known of it, and when that makes it due. Joins `pace`, the prices and the settings; knows no statement.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::pace::{self, Bounds, History};
use crate::config::Settings;
use crate::db::claims::{Changes, StreamRow};
use crate::db::prices::Prices;

/// What a stream's next poll hangs on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Changes an hour that are to be expected.
    pub rate: f64,
    /// What the user's activity and the service make of them.
    pub weight: f64,
    /// Of a poll, in hours.
    pub price: f64,
    /// The same where no budget is short.
    pub least: f64,
    /// From the last poll to the next, before jitter and without a channel.
    pub usual: Duration,
    /// With what a channel announces.
    pub interval: Duration,
}

/// The outlook of a stream whose changes are `history`; `urgency`: what its service makes of it.
pub fn outlook(
    settings: &Settings,
    prices: &Prices,
    bounds: &Bounds,
    urgency: f64,
    row: &StreamRow,
    history: History,
    now: DateTime<Utc>,
) -> Outlook {
    let Settings { pace, push, .. } = settings;
    let rate = history.rate(now, pace.half_life, bounds.prior);
    let weight = urgency * faded(row.weight, row.weight_at, now, pace.activity_half_life);
    let price = prices.of(&row.account.project, row.user_id, pace.price);
    let usual = pace::interval(rate, weight, price, bounds);
    Outlook {
        rate,
        weight,
        price,
        least: pace.price,
        usual,
        interval: pace::with_push(usual, push.safety_interval, row.push_left),
    }
}

/// The weight at `now` of one that was `weight` at `at`: what is above 1 fades by half in each half-life.
pub fn faded(weight: f64, at: DateTime<Utc>, now: DateTime<Utc>, half_life: Duration) -> f64 {
    let age = (now - at).as_seconds_f64().max(0.0);
    1.0 + (weight - 1.0) * (-age / half_life.as_secs_f64()).exp2()
}

/// What the database holds of a stream's changes.
pub fn history(changes: &Changes) -> History {
    History { mass: changes.mass, at: changes.at }
}

/// What the database shall hold.
pub fn changes(history: &History) -> Changes {
    Changes { mass: history.mass, at: history.at, since: history.at, shape: None }
}
