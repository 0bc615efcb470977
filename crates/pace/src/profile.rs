//! When in the week a stream changes: factors for the hours of the day and the days of the week, flat until changes indicate otherwise. Hours are UTC.

use chrono::{DateTime, Utc};

/// Weight of the usual day and week, in changes, for each hour and each day.
const USUAL_HOUR: f32 = 1.0;
const USUAL_DAY: f32 = 4.0;
/// How often people change something in each hour of their day, relative to the mean: they sleep, and most work by day.
const DAY: [f32; 24] = [
    0.45, 0.3, 0.2, 0.15, 0.12, 0.15, 0.25, 0.45, 0.8, 1.2, 1.55, 1.65, 1.55, 1.55, 1.75, 1.75, 1.7, 1.55, 1.35, 1.25, 1.2, 1.15,
    1.05, 0.87,
];
/// The same for the days of their week, from Monday.
const WEEK: [f32; 7] = [1.12, 1.12, 1.12, 1.12, 1.12, 0.7, 0.7];

/// Changes by hour of the day and by day of the week (Monday first), exponentially forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Profile {
    pub hours: [f32; 24],
    pub days: [f32; 7],
}

/// The rate of a stream in each hour of the week, relative to its mean; the mean over the week is 1.
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

    /// Keeps only this share.
    pub(super) fn fade(&mut self, share: f32) {
        for mass in self.hours.iter_mut().chain(&mut self.days) {
            *mass *= share;
        }
    }

    /// All changes.
    pub(super) fn total(&self) -> f64 {
        self.hours.iter().sum::<f32>().into()
    }

    /// Whether the flat prior dominates: the factors would differ by less than the rates do.
    pub(super) fn is_thin(&self) -> bool {
        self.total() < 1.0
    }

    /// The factors, drawn towards the usual week while there is little evidence: changes divided by observed time, both forgotten at the same rate.
    pub(super) fn week(&self, seen: &Seen) -> Week {
        let total: f32 = self.hours.iter().sum();
        if self.is_thin() {
            return Week::FLAT;
        }
        // Less than a day cannot distinguish hours, and zero must not be divided by.
        let time = seen.hours.iter().sum::<f32>().max(24.0);
        let rate = total / time;
        let usual = self.usual_day();
        let mut hours: [f32; 24] = std::array::from_fn(|at| {
            (near(&self.hours, at) + USUAL_HOUR * usual[at]) / (near(&seen.hours, at) * rate + USUAL_HOUR)
        });
        let mut days: [f32; 7] =
            std::array::from_fn(|at| (self.days[at] + USUAL_DAY * WEEK[at]) / (seen.days[at] * rate + USUAL_DAY));
        level(&mut hours);
        level(&mut days);
        Week { hours, days, flat: false }
    }
}

impl Profile {
    /// The usual day of people, in the zones that the changes indicate: few changes are enough to distinguish day from night.
    fn usual_day(&self) -> [f32; 24] {
        let logs = DAY.map(f32::ln);
        let likelihood = |zone: usize| (0..24).map(|hour| self.hours[hour] * logs[(hour + zone) % 24]).sum::<f32>();
        let zones: [f32; 24] = std::array::from_fn(likelihood);
        let best = zones.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let odds = zones.map(|zone| (zone - best).exp());
        let sum: f32 = odds.iter().sum();
        std::array::from_fn(|hour| (0..24).map(|zone| odds[zone] / sum * DAY[(hour + zone) % 24]).sum())
    }
}

/// Each hour is smoothed with a quarter of each neighbour: people are not exact to the hour, and three hours are more evidence than one.
fn near(masses: &[f32; 24], at: usize) -> f32 {
    masses[at] / 2.0 + (masses[(at + 1) % 24] + masses[(at + 23) % 24]) / 4.0
}

/// Scales the mean to 1.
fn level(factors: &mut [f32]) {
    let mean = factors.iter().sum::<f32>() / factors.len() as f32;
    for factor in factors {
        *factor /= mean;
    }
}

/// How many hours each hour of the day and each day of the week was observed, forgotten at the same rate as changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    hours: [f32; 24],
    days: [f32; 7],
}

impl Seen {
    /// Observed from `since` until `at`; half-life in hours.
    pub(super) fn new(at: DateTime<Utc>, since: DateTime<Utc>, half_life: f64) -> Self {
        let fade = std::f64::consts::LN_2 / half_life;
        let age = ((at - since).as_seconds_f64() / 3600.0).max(0.0);
        let decay = (-fade * age).exp();
        let (now, then) = (into_week(at), into_week(since));
        let mut seen = Self { hours: [0.0; 24], days: [0.0; 7] };
        // The time observed since is the time until now minus the time until then, each counted from the infinite past.
        for (time, sign) in [(now, 1.0), (then, -decay)] {
            ever(&mut seen.hours, time % 24.0, 1.0, fade, sign);
            ever(&mut seen.days, time, 24.0, fade, sign);
        }
        // A stream that has just begun has observed almost nothing, but never less than nothing.
        for mass in seen.hours.iter_mut().chain(&mut seen.days) {
            *mass = mass.max(0.0);
        }
        seen
    }
}

/// Adds `sign` times how long each bin of a cycle was observed from the infinite past until this time of it.
fn ever(bins: &mut [f32], time: f64, width: f64, fade: f64, sign: f64) {
    let count = bins.len();
    let current = ((time / width) as usize).min(count - 1);
    let into = time - current as f64 * width;
    let cycle = (-fade * width * count as f64).exp();
    let scale = sign / fade / (1.0 - cycle);
    let step = (-fade * width).exp();
    let mut faded = (-fade * into).exp();
    // The current bin: its elapsed part, and the rest from a cycle ago.
    bins[current] += (scale * (1.0 - faded + cycle * (fade * (width - into)).exp() - cycle)) as f32;
    for back in 1..count {
        bins[(current + count - back) % count] += (scale * faded * (1.0 - step)) as f32;
        faded *= step;
    }
}

/// Hours since Monday 0:00.
fn into_week(at: DateTime<Utc>) -> f64 {
    hour_of_week(at) as f64 + 1.0 - rest_of_hour(at)
}

impl Week {
    /// The same factor at all hours.
    pub const FLAT: Self = Self { hours: [1.0; 24], days: [1.0; 7], flat: true };

    /// Damped by the confidence in it.
    pub(super) fn damped(self, belief: f64) -> Self {
        let damp = |factor| 1.0 + belief as f32 * (factor - 1.0);
        Self { hours: self.hours.map(damp), days: self.days.map(damp), flat: self.flat }
    }

    /// Whether all hours have the same factor.
    pub fn is_flat(&self) -> bool {
        self.flat
    }

    /// The factor in an hour of the week, counted from Monday 0:00; may go beyond Sunday.
    pub fn factor(&self, hour: usize) -> f64 {
        f64::from(self.hours[hour % 24] * self.days[hour / 24 % 7])
    }

    /// The factor at this time.
    pub fn at(&self, time: DateTime<Utc>) -> f64 {
        self.factor(hour_of_week(time))
    }

    /// The entire past until `until` in hours at mean rate, forgotten with this half-life in hours.
    pub(super) fn ever(&self, until: DateTime<Utc>, half_life: f64) -> f64 {
        let fade = std::f64::consts::LN_2 / half_life;
        if self.flat {
            return 1.0 / fade;
        }
        // Backwards, hour by hour, each with its remaining weight.
        let (hour, step) = (hour_of_week(until), (-fade).exp());
        let into = 1.0 - rest_of_hour(until);
        let mut decay = (-fade * into).exp();
        let mut worth = self.factor(hour) * (1.0 - decay) / (1.0 - step);
        for hour in (hour / 24 * 24..hour).rev() {
            worth += self.factor(hour) * decay;
            decay *= step;
        }
        // From midnight on, whole days, which differ only by their factors.
        let (mut day, mut within) = (0.0, 1.0);
        for hour in self.hours.iter().rev() {
            day += f64::from(*hour) * within;
            within *= step;
        }
        let (mut week, mut faded) = (0.0, decay);
        for back in 1..=7 {
            week += f64::from(self.days[(hour / 24 + 7 - back) % 7]) * day * faded;
            faded *= within;
        }
        // And the same week repeated forever.
        (worth + week / (1.0 - (-fade * 168.0).exp())) * (1.0 - step) / fade
    }

    /// The next `hours` in hours at mean rate.
    pub(super) fn between(&self, from: DateTime<Utc>, hours: f64) -> f64 {
        if self.flat {
            return hours;
        }
        let weeks = (hours / 168.0).floor();
        let (mut remaining, mut worth) = (hours - weeks * 168.0, weeks * 168.0);
        let (mut hour, mut span) = (hour_of_week(from), rest_of_hour(from));
        while remaining > 0.0 {
            let step = remaining.min(span);
            worth += step * self.factor(hour);
            (remaining, hour, span) = (remaining - step, hour + 1, 1.0);
        }
        worth
    }
}

/// Hours since Monday 0:00, below 168.
pub(super) fn hour_of_week(at: DateTime<Utc>) -> usize {
    // 1 January 1970 was a Thursday.
    (at.timestamp().div_euclid(3600) + 72).rem_euclid(168) as usize
}

/// Hours to the next full hour, more than 0 and at most 1.
pub(super) fn rest_of_hour(at: DateTime<Utc>) -> f64 {
    let into = at.timestamp().rem_euclid(3600) as f64 + f64::from(at.timestamp_subsec_micros().min(999_999)) / 1e6;
    1.0 - into / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    /// The same rate at all hours, with a half-life of 216 hours.
    fn steady(hours: i64) -> (Profile, DateTime<Utc>) {
        let start = DateTime::UNIX_EPOCH;
        let mut profile = Profile::default();
        for hour in 0..hours {
            let share = (-(hours as f32 - hour as f32 - 0.5) / 216.0).exp2();
            profile.add(start + TimeDelta::minutes(60 * hour + 30), 4.0 * share);
        }
        (profile, start + TimeDelta::hours(hours))
    }

    proptest! {
        #[test]
        fn what_was_seen_last_counts_for_no_more_than_what_was_seen_before(hours in 30i64..1000) {
            let (profile, now) = steady(hours);
            let week = profile.week(&Seen::new(now, DateTime::UNIX_EPOCH, 216.0));
            for hour in 0..168 {
                // The fewer hours, the more of the usual week.
                prop_assert!((week.factor(hour) - 1.0).abs() < 0.03 + 50.0 / hours as f64, "{} at hour {} after {}", week.factor(hour), hour, hours);
            }
        }

        #[test]
        fn all_the_time_that_was_is_worth_what_its_hours_are(tens in 0i64..2000, half_life in 10.0f64..500.0) {
            let mut profile = Profile::default();
            for hour in (0..168).filter(|hour| hour / 24 < 5 && (9..18).contains(&(hour % 24))) {
                profile.add(DateTime::UNIX_EPOCH + TimeDelta::hours(hour), 20.0);
            }
            // Multiples of ten minutes, so that no step below spans two hours: at the end of a long night, that alone would be five percent.
            let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(10 * tens);
            let week = profile.week(&Seen::new(now, now - TimeDelta::days(4000), 1e6));
            // By midpoints of ten minutes, over enough half-lives.
            let steps = (half_life * 6.0 * 20.0) as i64;
            let worth: f64 = (0..steps).map(|step| {
                let age = TimeDelta::seconds(600 * step + 300);
                week.at(now - age) * (-age.as_seconds_f64() / 3600.0 / half_life).exp2() / 6.0
            }).sum();
            let actual = week.ever(now, half_life);
            prop_assert!((actual / worth - 1.0).abs() < 0.01, "{} for {}", actual, worth);
        }
    }

    #[test]
    fn a_factor_is_that_of_its_hour_in_the_week() {
        let mut profile = Profile::default();
        // Thursday, 1 January 1970: the fourth day of the week.
        profile.add(DateTime::UNIX_EPOCH + TimeDelta::hours(13), 50.0);
        let now = DateTime::UNIX_EPOCH;
        let week = profile.week(&Seen::new(now, now - TimeDelta::days(4000), 1e6));
        let busiest = (0..168).max_by(|a, b| week.factor(*a).total_cmp(&week.factor(*b)));
        assert_eq!(busiest, Some(3 * 24 + 13));
        let mean = (0..168).map(|hour| week.factor(hour)).sum::<f64>() / 168.0;
        assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    }
}
