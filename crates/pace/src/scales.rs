//! How changes follow from others: within minutes, an hour, a working day or a few days. The time to a stream's next change is of one of these scales,
//! or the next change is independent of the last.

use super::forecast::Burst;

/// The number of scales.
pub const SCALES: usize = 4;
/// Mean hours from a change to one that follows from it, on each scale.
const HOURS: [f64; SCALES] = [4.0 / 60.0, 0.5, 4.0, 36.0];

/// The shares of changes that follow from others, on each scale; the rest is independent.
pub type Shares = [f64; SCALES];

/// Before a fleet has shown anything.
pub const ASSUMED: Shares = [0.4, 0.1, 0.1, 0.1];

/// The share of independent changes.
pub fn alone(shares: &Shares) -> f64 {
    1.0 - shares.iter().sum::<f64>()
}

/// The sum of the scales within an hour.
pub fn within_hour(counts: &Shares) -> f64 {
    counts.iter().zip(HOURS).filter(|(_, hours)| *hours < 1.0).map(|(count, _)| count).sum()
}

/// Per hour, how often a change follows on each scale if the last one was `quiet` hours ago. It is small when the last one probably had no follower.
pub fn hazards(shares: &Shares, quiet: f64) -> Shares {
    let pending: Shares = std::array::from_fn(|scale| shares[scale] * (-quiet / HOURS[scale]).exp());
    let all = alone(shares) + pending.iter().sum::<f64>();
    std::array::from_fn(|scale| pending[scale] / all / HOURS[scale])
}

/// How many followers were expected between `from` and `to` hours after a change if none came.
pub fn expected(shares: &Shares, from: f64, to: f64) -> f64 {
    let survival =
        |quiet: f64| alone(shares) + shares.iter().zip(HOURS).map(|(share, hours)| share * (-quiet / hours).exp()).sum::<f64>();
    (survival(from) / survival(to)).ln()
}

/// The bursts of a stream whose mean rate is `rate`, `quiet` hours after its last change; `factor`: of the current hour.
pub fn bursts(shares: &Shares, rate: f64, quiet: f64, factor: f64) -> [Burst; SCALES] {
    let hazards = hazards(shares, quiet);
    // Changes within minutes arrive as one: so many at a time.
    let [quick, ..] = *shares;
    let size = 1.0 / (1.0 - quick);
    std::array::from_fn(|scale| {
        // What comes as of the last change, less what the mean rate contains of changes that follow from later ones.
        let (share, hazard) = (shares[scale], hazards[scale] / factor);
        if share == 0.0 {
            return Burst::NONE;
        }
        match scale {
            0 => Burst { extra: hazard - rate * share * alone(shares) * size, fade: (1.0 - share) / HOURS[scale] },
            // A follower has followers itself, so that the burst fades more slowly.
            _ => Burst { extra: size * (hazard - rate * share), fade: (1.0 - share * size) / HOURS[scale] },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_after_a_change_only_independent_ones_are_expected() {
        let rate = 0.5;
        let now: f64 = rate + bursts(&ASSUMED, rate, 1e4, 1.0).iter().map(|burst| burst.extra).sum::<f64>();
        assert!((now / (rate * alone(&ASSUMED)) - 1.0).abs() < 1e-6, "{now}");
        assert!(expected(&ASSUMED, 1000.0, 2000.0) < 1e-6);
    }

    #[test]
    fn just_after_a_change_many_are_expected_and_fewer_with_each_minute() {
        let at = |minutes: f64| hazards(&ASSUMED, minutes / 60.0).iter().sum::<f64>();
        assert!(at(0.0) > 5.0 && at(20.0) < at(5.0) && at(5.0) < at(0.0), "{} {} {}", at(0.0), at(5.0), at(20.0));
        // The expected number is the integral.
        let steps = 10_000;
        let sum: f64 = (0..steps).map(|step| at((f64::from(step) + 0.5) / f64::from(steps) * 60.0) / f64::from(steps)).sum();
        assert!((expected(&ASSUMED, 0.0, 1.0) / sum - 1.0).abs() < 1e-4, "{sum}");
    }
}
