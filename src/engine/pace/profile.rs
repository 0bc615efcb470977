//! When in the week a stream changes: factors for the hours of the day and the days of the week, flat until changes say otherwise. Hours are UTC.

use chrono::{DateTime, Utc};

/// Changes of evidence that flatness counts for, at each hour and at each day.
const FLAT_HOUR: f32 = 1.0;
const FLAT_DAY: f32 = 4.0;

/// Changes by hour of the day and by day of the week (Monday first), exponentially forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Profile {
    pub hours: [f32; 24],
    pub days: [f32; 7],
}

/// How many times its mean rate a stream has in each hour of the week; the mean over the week is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Week {
    hours: [f32; 24],
    days: [f32; 7],
    flat: bool,
}

impl Profile {
    /// Adds `count` changes at this time.
    pub(super) fn add(&mut self, at: DateTime<Utc>, count: f32) {
        let hour = hour_of_week(at);
        self.hours[hour % 24] += count;
        self.days[hour / 24] += count;
    }

    /// Forgets all but this share.
    pub(super) fn fade(&mut self, left: f32) {
        for mass in self.hours.iter_mut().chain(&mut self.days) {
            *mass *= left;
        }
    }

    /// The factors, drawn towards 1 while there is little evidence.
    pub fn week(&self) -> Week {
        let total: f32 = self.hours.iter().sum();
        // Below this, flatness outweighs what was seen by so much that the factors differ by less than the rates do.
        if total < 1.0 {
            return Week::FLAT;
        }
        let hour = 1.0 / (total / 24.0 + FLAT_HOUR);
        let day = 1.0 / (total / 7.0 + FLAT_DAY);
        // Neighbours lend each other a quarter: people are not on the minute, and the evidence of three hours is more than that of one.
        let near = |at: usize| self.hours[at] / 2.0 + (self.hours[(at + 1) % 24] + self.hours[(at + 23) % 24]) / 4.0;
        Week {
            hours: std::array::from_fn(|at| (near(at) + FLAT_HOUR) * hour),
            days: self.days.map(|mass| (mass + FLAT_DAY) * day),
            flat: false,
        }
    }
}

impl Week {
    /// The same at all hours.
    pub const FLAT: Self = Self { hours: [1.0; 24], days: [1.0; 7], flat: true };

    /// Believed with this probability only.
    pub(super) fn damped(mut self, belief: f64) -> Self {
        let belief = belief as f32;
        for factor in self.hours.iter_mut().chain(&mut self.days) {
            *factor = 1.0 + belief * (*factor - 1.0);
        }
        self
    }

    /// Whether all hours are alike.
    pub fn is_flat(&self) -> bool {
        self.flat
    }

    /// The factor in an hour of the week, counted from Monday 0:00 and beyond Sunday.
    pub fn factor(&self, hour: usize) -> f64 {
        f64::from(self.hours[hour % 24] * self.days[hour / 24 % 7])
    }

    /// The factor at this time.
    pub fn at(&self, time: DateTime<Utc>) -> f64 {
        self.factor(hour_of_week(time))
    }

    /// How many hours of mean rate `hours` from here are worth.
    pub(super) fn between(&self, from: DateTime<Utc>, hours: f64) -> f64 {
        if self.flat {
            return hours;
        }
        let weeks = (hours / 168.0).floor();
        let (mut left, mut worth) = (hours - weeks * 168.0, weeks * 168.0);
        let (mut hour, mut room) = (hour_of_week(from), left_of_hour(from));
        while left > 0.0 {
            let step = left.min(room);
            worth += step * self.factor(hour);
            (left, hour, room) = (left - step, hour + 1, 1.0);
        }
        worth
    }

    /// The factors of the hours of the day, each as if the day of the week were a middling one.
    pub(super) fn day(&self) -> impl Iterator<Item = f64> {
        // What polls cost goes by the square root of the rate.
        let root = self.days.iter().map(|day| day.sqrt()).sum::<f32>() / 7.0;
        self.hours.iter().map(move |hour| f64::from(hour * root * root))
    }
}

/// Hours since Monday 0:00, below 168.
pub(super) fn hour_of_week(at: DateTime<Utc>) -> usize {
    // 1 January 1970 was a Thursday.
    (at.timestamp().div_euclid(3600) + 72).rem_euclid(168) as usize
}

/// Hours to the next full hour, more than 0 and at most 1.
pub(super) fn left_of_hour(at: DateTime<Utc>) -> f64 {
    let into = at.timestamp().rem_euclid(3600) as f64 + f64::from(at.timestamp_subsec_micros().min(999_999)) / 1e6;
    1.0 - into / 3600.0
}
