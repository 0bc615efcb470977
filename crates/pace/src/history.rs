//! What the times of a stream's changes show: its rate, whether changes come in bursts, and when in the week.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::forecast::Forecast;
use super::profile::{Profile, Seen, Week};

/// Weight of the prior rate, in changes.
const PRIOR_CHANGES: f64 = 0.5;
/// Half-life, in hours, of a change within a burst.
const BURST_HALF_LIFE: f64 = 0.25;
/// Share of changes that follow from others in a bursty stream.
const BURST_SHARE: f64 = 0.7;
/// Limit of certainty: natural logarithm of the odds.
const MAX_LOG_ODDS: f64 = 6.0;
/// Prior log odds of bursts.
const PRIOR_BURSTS: f64 = -1.0;
/// Prior log odds that the weekly profile predicts changes.
const PRIOR_TIMED: f64 = -2.0;
/// The profile is forgotten this many times more slowly than changes.
const PROFILE_MEMORY: f64 = 3.0;
/// Lower bound of the hourly factor when a change is weighted by it.
const MIN_HOUR_FACTOR: f64 = 0.25;

/// The changes of a stream, exponentially forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    /// Sum over all changes of 2^(-age / half-life), as of `at`.
    pub mass: f64,
    /// The same with a half-life of a quarter of an hour, each change divided by the factor of its hour.
    pub recent: f64,
    /// Log odds that changes come in bursts (natural logarithm).
    pub bursts: f64,
    /// Log odds that the profile predicts changes.
    pub timed: f64,
    /// Changes by hour of the day and day of the week.
    pub profile: Profile,
    /// The time that these values refer to.
    pub at: DateTime<Utc>,
    /// Start of the observation.
    pub since: DateTime<Utc>,
}

impl History {
    /// An empty history; changes are observed from now on.
    pub fn empty(now: DateTime<Utc>) -> Self {
        Self {
            mass: 0.0,
            recent: 0.0,
            bursts: PRIOR_BURSTS,
            timed: PRIOR_TIMED,
            profile: Profile::default(),
            at: now,
            since: now,
        }
    }

    /// The history at `now` with these changes added. `half_life`: of a change; `prior`: changes per hour.
    pub fn observe(mut self, now: DateTime<Utc>, changes: &[DateTime<Utc>], half_life: Duration, prior: f64) -> Self {
        let mut changes = changes.to_vec();
        changes.sort_unstable();
        for change in changes {
            // Clocks differ; treat changes in the future as current.
            let change = change.min(now);
            if change > self.at {
                let learnt = self.learnt(half_life);
                let rate = self.advance(change, &learnt, half_life, prior);
                self.hit(rate, &learnt);
            } else {
                self.recall(change, half_life);
            }
        }
        let learnt = self.learnt(half_life);
        self.advance(now, &learnt, half_life, prior);
        self
    }

    /// Records a change at `self.at`, where `rate` was expected.
    fn hit(&mut self, rate: f64, learnt: &Week) {
        // Likelihood ratio of the change under the burst model.
        let likelier = 1.0 + BURST_SHARE * (self.recent / BURST_MEMORY / rate - 1.0);
        self.bursts = (self.bursts + likelier.ln()).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        let share = share(self.bursts);
        // A change that follows from others says little about the hour.
        let alone = 1.0 / (1.0 - share + share * self.recent / BURST_MEMORY / rate).max(1.0);
        let factor = learnt.damped(belief(self.timed)).at(self.at);
        self.timed = (self.timed + alone * learnt.at(self.at).ln()).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        self.mass += 1.0;
        self.recent += 1.0 / factor.max(MIN_HOUR_FACTOR);
        self.profile.add(self.at, alone as f32);
    }

    /// Records a change before `self.at` that was unknown until now.
    fn recall(&mut self, change: DateTime<Utc>, half_life: Duration) {
        let age = hours(self.at - change);
        self.mass += (-age / half_life_hours(half_life)).exp2();
        self.recent += (-age / BURST_HALF_LIFE).exp2();
        self.profile.add(change, (-age / half_life_hours(half_life) / PROFILE_MEMORY).exp2() as f32);
    }

    /// The weekly profile, damped by the confidence in it.
    pub fn week(&self, half_life: Duration) -> Week {
        self.learnt(half_life).damped(belief(self.timed))
    }

    /// The observed weekly profile.
    fn learnt(&self, half_life: Duration) -> Week {
        self.profile.week(&Seen::new(self.at, self.since, PROFILE_MEMORY * half_life_hours(half_life)))
    }

    /// Advances time without a change; returns the rate that was expected.
    fn advance(&mut self, to: DateTime<Utc>, learnt: &Week, half_life: Duration, prior: f64) -> f64 {
        let week = learnt.damped(belief(self.timed));
        let rate = self.rate_by(&week, to, half_life, prior);
        let gone = hours(to - self.at);
        if gone <= 0.0 {
            return rate;
        }
        let quick = (-gone / BURST_HALF_LIFE).exp2();
        let slow = (-gone / half_life_hours(half_life)).exp2();
        let slower = (-gone / half_life_hours(half_life) / PROFILE_MEMORY).exp2();
        // If the last change is long ago, the burst model expected fewer changes.
        let followers = self.recent * (1.0 - quick) * week.at(self.at);
        let expected = rate * week.between(self.at, gone);
        let bursts = PRIOR_BURSTS + (self.bursts - PRIOR_BURSTS) * slower;
        self.bursts = (bursts - BURST_SHARE * (followers - expected)).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        let timed = PRIOR_TIMED + (self.timed - PRIOR_TIMED) * slower;
        self.timed = (timed - rate * (learnt.between(self.at, gone) - gone)).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        self.mass *= slow;
        self.recent *= quick;
        self.profile.fade(slower as f32);
        self.at = to;
        rate
    }

    /// Mean changes per hour over the week (lambda), drawn towards the prior while there is little evidence.
    pub fn rate(&self, now: DateTime<Utc>, half_life: Duration, prior: f64) -> f64 {
        self.rate_by(&self.week(half_life), now, half_life, prior)
    }

    fn rate_by(&self, week: &Week, now: DateTime<Utc>, half_life: Duration, prior: f64) -> f64 {
        let half_life = half_life_hours(half_life);
        let decay = |since: DateTime<Utc>| (-hours(now - since).max(0.0) / half_life).exp2();
        // A quiet night says nothing about a stream that is always quiet at night.
        let seen = week.ever(now, half_life) - decay(self.since) * week.ever(self.since, half_life);
        (self.mass * decay(self.at) + PRIOR_CHANGES) / (seen.max(0.0) + PRIOR_CHANGES / prior)
    }

    /// An empty history before a complete listing, which reports changes since `since`.
    pub fn to_be_listed(now: DateTime<Utc>, since: DateTime<Utc>) -> Self {
        Self { since, ..Self::empty(now) }
    }

    /// The forecast from `now` on.
    pub fn forecast(&self, now: DateTime<Utc>, half_life: Duration, prior: f64) -> Forecast {
        let week = self.week(half_life);
        let rate = self.rate_by(&week, now, half_life, prior);
        let share = share(self.bursts);
        let recent = self.recent * (-hours(now - self.at).max(0.0) / BURST_HALF_LIFE).exp2() / BURST_MEMORY;
        Forecast { rate, burst: share * (recent - rate), fade: (1.0 - share) / BURST_MEMORY, week }
    }
}

/// Time constant of a burst, in hours.
const BURST_MEMORY: f64 = BURST_HALF_LIFE / std::f64::consts::LN_2;

/// The expected share of changes that follow from others.
fn share(odds: f64) -> f64 {
    BURST_SHARE * belief(odds)
}

/// Converts log odds to a probability.
fn belief(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

fn hours(time: chrono::TimeDelta) -> f64 {
    time.as_seconds_f64() / 3600.0
}

fn half_life_hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    const HALF_LIFE: Duration = Duration::from_secs(3 * 86_400);
    const PRIOR: f64 = 0.1;

    /// Monday, 5 January 1970.
    fn monday() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(4)
    }

    /// The history after polling every half hour.
    fn polled(minutes: &[i64], until: TimeDelta) -> History {
        let mut history = History::empty(monday());
        let mut rest = minutes;
        let mut now = monday();
        while now < monday() + until {
            now += TimeDelta::minutes(30);
            let (seen, later) = rest.split_at(rest.iter().take_while(|at| monday() + TimeDelta::minutes(**at) <= now).count());
            let seen: Vec<_> = seen.iter().map(|at| monday() + TimeDelta::minutes(*at)).collect();
            if !seen.is_empty() {
                history = history.observe(now, &seen, HALF_LIFE, PRIOR);
            }
            rest = later;
        }
        history
    }

    #[test]
    fn a_steady_stream_is_learnt_at_its_rate() {
        for days in [2, 30] {
            let minutes: Vec<i64> = (0..days * 48).map(|at| at * 30).collect();
            let history = polled(&minutes, TimeDelta::days(days));
            let rate = history.rate(monday() + TimeDelta::days(days), HALF_LIFE, PRIOR);
            assert!((1.7..=2.2).contains(&rate), "2 changes an hour were learnt as {rate} in {days} days");
        }
    }

    #[test]
    fn silence_brings_the_rate_down_without_a_change_being_seen() {
        let history = polled(&[0, 30, 60], TimeDelta::hours(2));
        let rate = |days| history.rate(monday() + TimeDelta::days(days), HALF_LIFE, PRIOR);
        assert!(rate(1) > rate(10) && rate(10) > rate(60) && rate(60) < 0.01, "{} {} {}", rate(1), rate(10), rate(60));
    }

    #[test]
    fn before_anything_is_seen_the_prior_is_believed() {
        let rate = History::empty(monday()).rate(monday(), HALF_LIFE, PRIOR);
        assert!((rate - PRIOR).abs() < 1e-9, "{rate}");
        // A listing without a change in a month is stronger evidence.
        let listed = History::to_be_listed(monday(), monday() - TimeDelta::days(30));
        assert!(listed.rate(monday(), HALF_LIFE, PRIOR) < 0.01);
    }

    #[test]
    fn bursts_are_told_from_a_steady_stream() {
        let steady = polled(&(0..200).map(|at| at * 90).collect::<Vec<_>>(), TimeDelta::days(14));
        let bursts = polled(&(0..200).map(|at| (at / 10) * 900 + (at % 10) * 3).collect::<Vec<_>>(), TimeDelta::days(14));
        assert!(steady.bursts < -2.0 && bursts.bursts > 2.0, "{} {}", steady.bursts, bursts.bursts);
        let last = bursts.at;
        let [soon, later] = [1, 300].map(|minutes| bursts.forecast(last + TimeDelta::minutes(minutes), HALF_LIFE, PRIOR));
        assert!(soon.burst > soon.rate && later.burst < 0.0, "{soon:?} {later:?}");
    }

    #[test]
    fn office_hours_are_learnt_and_one_busy_morning_is_not() {
        let office: Vec<i64> = (0..14 * 24 * 4)
            .filter(|at| at / 96 % 7 < 5 && (9..18).contains(&(at / 4 % 24)))
            // Not on the quarter, so that they do not look like bursts.
            .map(|at| at * 15 + at * 7 % 13)
            .collect();
        let week = polled(&office, TimeDelta::days(14)).week(HALF_LIFE);
        let at = |day, hour| week.at(monday() + TimeDelta::days(day) + TimeDelta::hours(hour));
        assert!(at(1, 11) > 2.0 && at(1, 3) < 0.3 && at(5, 11) < 0.7, "{} {} {}", at(1, 11), at(1, 3), at(5, 11));
        let once = polled(&[600, 603, 605, 609, 613], TimeDelta::days(1)).week(HALF_LIFE);
        let morning = once.at(monday() + TimeDelta::hours(10));
        assert!(morning < 1.5, "{morning}");
    }

    proptest! {
        #[test]
        fn the_order_of_changes_and_the_clock_of_the_provider_do_not_matter(mut minutes in proptest::collection::vec(0i64..20_000, 0..40)) {
            let now = monday() + TimeDelta::minutes(10_000);
            let observed = |minutes: &[i64]| {
                let changes: Vec<_> = minutes.iter().map(|at| monday() + TimeDelta::minutes(*at)).collect();
                History::empty(monday()).observe(now, &changes, HALF_LIFE, PRIOR)
            };
            let as_given = observed(&minutes);
            minutes.sort_unstable();
            prop_assert_eq!(as_given, observed(&minutes));
            let rate = as_given.rate(now, HALF_LIFE, PRIOR);
            let forecast = as_given.forecast(now, HALF_LIFE, PRIOR);
            prop_assert!(rate > 0.0 && rate.is_finite() && forecast.steadied(1.0, 0.05) > 0.0 && forecast.fade > 0.0);
        }
    }
}
