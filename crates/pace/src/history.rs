//! What the times of a stream's changes show: its rate, whether changes come in bursts, and when in the week.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::forecast::Forecast;
use super::prior::{Evidence, Prior};
use super::profile::{Profile, Seen, Week};
use super::scales::{self, SCALES, Shares};

/// Limit of certainty: natural logarithm of the odds.
const MAX_LOG_ODDS: f64 = 6.0;
/// Prior log odds of bursts.
const PRIOR_BURSTS: f64 = 1.0;
/// Prior log odds that the weekly profile predicts changes.
const PRIOR_TIMED: f64 = 0.0;
/// Weight of the fleet's shares of changes that follow from others, in changes.
const SHARES_WEIGHT: f64 = 8.0;
/// The profile and the shares are forgotten this many times more slowly than changes.
const PROFILE_MEMORY: f64 = 3.0;
/// Lower bound of the hourly factor when a burst is weighted by it.
const MIN_HOUR_FACTOR: f64 = 0.25;

/// The changes of a stream, exponentially forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    /// Sum over all changes of 2^(-age / half-life), as of `at`; changes that follow from others hardly count.
    pub mass: f64,
    /// Hours from the last change to `at`; infinite if none is known.
    pub quiet: f64,
    /// Changes that followed from others, by scale.
    pub followers: Shares,
    /// Log odds that changes come in bursts (natural logarithm).
    pub bursts: f64,
    /// Log odds that the profile predicts changes.
    pub timed: f64,
    /// Changes by hour of the day and day of the week; changes that follow from others within the hour hardly count.
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
            quiet: f64::INFINITY,
            followers: [0.0; SCALES],
            bursts: PRIOR_BURSTS,
            timed: PRIOR_TIMED,
            profile: Profile::default(),
            at: now,
            since: now,
        }
    }

    /// An empty history before a complete listing, which reports changes since `since`.
    pub fn to_be_listed(now: DateTime<Utc>, since: DateTime<Utc>) -> Self {
        Self { since, ..Self::empty(now) }
    }

    /// The history at `now` with these changes added. `half_life`: of a change; `prior`: of its fleet.
    pub fn observe(mut self, now: DateTime<Utc>, changes: &[DateTime<Utc>], half_life: Duration, prior: &Prior) -> Self {
        let mut changes = changes.to_vec();
        changes.sort_unstable();
        for change in changes {
            // Clocks differ; treat changes in the future as current.
            let change = change.min(now);
            if change >= self.at {
                self.advance(change, half_life, prior);
                self.hit(half_life, prior);
            } else {
                self.recall(change, half_life, prior);
            }
        }
        self.advance(now, half_life, prior);
        self
    }

    /// Records a change at `self.at`.
    fn hit(&mut self, half_life: Duration, prior: &Prior) {
        let learnt = self.learnt(half_life);
        let week = learnt.damped(belief(self.timed));
        let shares = self.shares(prior);
        let alone = self.alone_by(&week, self.at, half_life, prior) * week.at(self.at);
        // Likelihood ratio of the change: that changes come in bursts, and that they come at the mean rate.
        let model = self.model(prior);
        let follows: f64 = scales::hazards(&model, self.quiet).iter().sum();
        let likelier = scales::alone(&model) + follows * scales::alone(&shares) / alone;
        self.bursts = (self.bursts + likelier.ln()).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        let count = self.count(&shares, self.quiet, alone);
        self.timed = (self.timed + count.of_hour * learnt.at(self.at).ln()).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        self.mass += count.alone;
        self.profile.add(self.at, count.of_hour as f32);
        self.quiet = 0.0;
    }

    /// Counts a change as a follower on each scale, by how likely that is. `alone`: independent changes expected per hour.
    fn count(&mut self, shares: &Shares, quiet: f64, alone: f64) -> Count {
        let hazards = scales::hazards(shares, quiet);
        let all = alone + hazards.iter().sum::<f64>();
        for (follower, hazard) in self.followers.iter_mut().zip(hazards) {
            *follower += hazard / all;
        }
        Count { alone: alone / all, of_hour: 1.0 - scales::within_hour(&hazards) / all }
    }

    /// Changes that say something about the hour, and those of them that follow from others later than that.
    fn alone_count(&self) -> f64 {
        let later = self.followers.iter().sum::<f64>() - scales::within_hour(&self.followers);
        (self.profile.total() - later).max(0.0)
    }

    /// Records a change before `self.at` that was unknown until now.
    fn recall(&mut self, change: DateTime<Utc>, half_life: Duration, prior: &Prior) {
        let age = hours(self.at - change);
        let shares = self.shares(prior);
        // If later changes are known, it is unknown what this one followed from: then it is one of each kind, by their shares.
        let count = if age <= self.quiet {
            self.count(&shares, self.quiet - age, self.alone(half_life, prior))
        } else {
            Count { alone: scales::alone(&shares), of_hour: 1.0 - scales::within_hour(&shares) }
        };
        self.quiet = self.quiet.min(age);
        self.mass += count.alone * (-age / half_life_hours(half_life)).exp2();
        self.profile.add(change, (count.of_hour * (-age / half_life_hours(half_life) / PROFILE_MEMORY).exp2()) as f32);
    }

    /// The shares of changes that follow from others, if changes come in bursts.
    fn model(&self, prior: &Prior) -> Shares {
        let all = self.profile.total() + scales::within_hour(&self.followers) + SHARES_WEIGHT;
        std::array::from_fn(|scale| (self.followers[scale] + SHARES_WEIGHT * prior.shares[scale]) / all)
    }

    /// The expected shares of changes that follow from others.
    fn shares(&self, prior: &Prior) -> Shares {
        let belief = belief(self.bursts);
        self.model(prior).map(|share| belief * share)
    }

    /// The weekly profile, damped by the confidence in it.
    pub fn week(&self, half_life: Duration) -> Week {
        self.learnt(half_life).damped(belief(self.timed))
    }

    /// The observed weekly profile.
    fn learnt(&self, half_life: Duration) -> Week {
        if self.profile.is_thin() {
            return Week::FLAT;
        }
        self.profile.week(&Seen::new(self.at, self.since, PROFILE_MEMORY * half_life_hours(half_life)))
    }

    /// Advances time without a change.
    fn advance(&mut self, to: DateTime<Utc>, half_life: Duration, prior: &Prior) {
        let gone = hours(to - self.at);
        if gone <= 0.0 {
            return;
        }
        let learnt = self.learnt(half_life);
        let week = learnt.damped(belief(self.timed));
        let alone = self.alone_by(&week, to, half_life, prior);
        let slow = (-gone / half_life_hours(half_life)).exp2();
        let slower = (-gone / half_life_hours(half_life) / PROFILE_MEMORY).exp2();
        // What was expected if changes come in bursts, and if they come at the mean rate.
        let model = self.model(prior);
        let mean = alone / scales::alone(&self.shares(prior)) * week.between(self.at, gone);
        let more = scales::expected(&model, self.quiet, self.quiet + gone) - (1.0 - scales::alone(&model)) * mean;
        let bursts = PRIOR_BURSTS + (self.bursts - PRIOR_BURSTS) * slower;
        self.bursts = (bursts - more).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        let timed = PRIOR_TIMED + (self.timed - PRIOR_TIMED) * slower;
        self.timed = (timed - alone * (learnt.between(self.at, gone) - gone)).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        self.mass *= slow;
        self.followers = self.followers.map(|count| count * slower);
        self.profile.fade(slower as f32);
        self.quiet += gone;
        self.at = to;
    }

    /// Mean changes per hour over the week (lambda), drawn towards the prior while there is little evidence.
    pub fn rate(&self, now: DateTime<Utc>, half_life: Duration, prior: &Prior) -> f64 {
        self.alone_by(&self.week(half_life), now, half_life, prior) / scales::alone(&self.shares(prior))
    }

    /// The same for independent changes alone, as of `self.at`.
    fn alone(&self, half_life: Duration, prior: &Prior) -> f64 {
        self.alone_by(&self.week(half_life), self.at, half_life, prior)
    }

    fn alone_by(&self, week: &Week, now: DateTime<Utc>, half_life: Duration, prior: &Prior) -> f64 {
        prior.posterior_rate(self.shown(week, now, half_life))
    }

    /// Independent changes and the hours in which they came.
    fn shown(&self, week: &Week, now: DateTime<Utc>, half_life: Duration) -> (f64, f64) {
        let half_life = half_life_hours(half_life);
        let decay = |since: DateTime<Utc>| (-hours(now - since).max(0.0) / half_life).exp2();
        // A quiet night says nothing about a stream that is always quiet at night.
        let seen = week.ever(now, half_life) - decay(self.since) * week.ever(self.since, half_life);
        (self.mass * decay(self.at), seen.max(0.0))
    }

    /// What the stream contributes to the prior of its fleet. `week`: that of its forecast for `now`.
    pub fn evidence(&self, week: &Week, now: DateTime<Utc>, half_life: Duration) -> Evidence {
        let (changes, hours) = self.shown(week, now, half_life);
        Evidence { changes, hours, alone: self.alone_count(), followers: self.followers }
    }

    /// The forecast from `now` on.
    pub fn forecast(&self, now: DateTime<Utc>, half_life: Duration, prior: &Prior) -> Forecast {
        let week = self.week(half_life);
        let shares = self.shares(prior);
        let rate = self.alone_by(&week, now, half_life, prior) / scales::alone(&shares);
        let quiet = self.quiet + hours(now - self.at).max(0.0);
        let bursts = scales::bursts(&shares, rate, quiet, week.at(now).max(MIN_HOUR_FACTOR));
        Forecast { rate, bursts, week }
    }
}

/// How much a change counts.
struct Count {
    /// As one that does not follow from others.
    alone: f64,
    /// As one that shows when in the week changes come: a follower within the hour says little about that.
    of_hour: f64,
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
mod tests;
