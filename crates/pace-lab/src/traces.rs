//! Generates streams for comparing pacing rules: the same seed gives the same changes.

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Changes of one stream, in order.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Mean changes per hour.
    pub rate: f64,
    pub changes: Vec<DateTime<Utc>>,
}

/// How changes are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// At uniformly random times.
    Stationary,
    /// Nine in ten on Monday to Friday from 9 to 18, in one of 24 time zones.
    Office,
    /// Eight at a time on average, some minutes apart.
    Bursts,
}

/// When all traces begin: Monday, 5 January 2026.
pub fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_458)
}

const RATES: (f64, f64) = (0.001, 10.0);
const OFFICE_SHARE: f64 = 0.9;
const BURST_SIZE: f64 = 8.0;
const BURST_GAP: f64 = 4.0 / 60.0;

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stationary => "stationary",
            Self::Office => "office hours",
            Self::Bursts => "bursts",
        }
    }

    /// A description for the report.
    pub fn about(self) -> &'static str {
        match self {
            Self::Stationary => "changes at uniformly random times",
            Self::Office => "nine in ten changes on Monday to Friday from 9 to 18, in 24 time zones",
            Self::Bursts => "eight changes at a time, 4 minutes apart (on average)",
        }
    }
}

/// Generates `streams` streams over `hours` hours, with rates log-uniform over four decades.
pub fn generate(kind: Kind, streams: usize, hours: f64, seed: u64) -> Vec<Trace> {
    let mut chance = StdRng::seed_from_u64(seed);
    (0..streams)
        .map(|_| {
            let rate = RATES.0 * (RATES.1 / RATES.0).powf(chance.random());
            let zone = chance.random_range(0..24);
            let mut hours = match kind {
                Kind::Stationary => poisson(&mut chance, rate, hours),
                Kind::Office => office(&mut chance, rate, hours, zone),
                Kind::Bursts => bursts(&mut chance, rate, hours),
            };
            hours.sort_unstable_by(f64::total_cmp);
            let changes = hours.iter().map(|hour| start() + TimeDelta::microseconds((hour * 3.6e9) as i64)).collect();
            Trace { rate, changes }
        })
        .collect()
}

/// Hours to the next event of a Poisson process with this rate per hour.
fn gap(chance: &mut StdRng, rate: f64) -> f64 {
    -(1.0 - chance.random::<f64>()).ln() / rate
}

fn poisson(chance: &mut StdRng, rate: f64, hours: f64) -> Vec<f64> {
    let mut times = Vec::new();
    let mut at = gap(chance, rate);
    while at < hours {
        times.push(at);
        at += gap(chance, rate);
    }
    times
}

fn office(chance: &mut StdRng, rate: f64, hours: f64, zone: usize) -> Vec<f64> {
    let (inside, outside) = (OFFICE_SHARE * 168.0 / 45.0, (1.0 - OFFICE_SHARE) * 168.0 / 123.0);
    poisson(chance, rate * inside, hours)
        .into_iter()
        .filter(|at| {
            let local = *at as usize + zone;
            let open = local / 24 % 7 < 5 && (9..18).contains(&(local % 24));
            open || chance.random_bool(outside / inside)
        })
        .collect()
}

fn bursts(chance: &mut StdRng, rate: f64, hours: f64) -> Vec<f64> {
    let mut times = Vec::new();
    for first in poisson(chance, rate / BURST_SIZE, hours) {
        let mut at = first;
        while at < hours {
            times.push(at);
            if chance.random_bool(1.0 / BURST_SIZE) {
                break;
            }
            at += gap(chance, 1.0 / BURST_GAP);
        }
    }
    times
}
