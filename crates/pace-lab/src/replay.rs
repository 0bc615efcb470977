//! Replays times of changes against a rule: how many calls it makes, and how long changes wait for the poll that finds them.

use std::num::NonZero;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rules::{Pacer, Rule};
use super::{Terms, Trace, Window};

/// How far calls may be from the requested number: this share, or this absolute number if they are few.
const TOLERANCE: (f64, f64) = (0.001, 5.0);

/// The result of a replay.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub calls: u64,
    /// Hours from each change to the poll that found it.
    pub delays: Vec<f32>,
}

/// Replays with the scale at which the rule makes `calls` calls in the window; also returns the scale.
pub(super) fn tuned(traces: &[Trace], rule: Rule, calls: f64, terms: &Terms, window: Window) -> anyhow::Result<(f64, Tally)> {
    let (mut scale, power) = rule.scale();
    // Scales known to be too small and too large.
    let (mut low, mut high) = (1e-9f64, 1e9f64);
    for _ in 0..60 {
        let tally = replay(traces, rule, scale, terms, window);
        let off = tally.calls as f64 / calls;
        if (tally.calls as f64 - calls).abs() <= (TOLERANCE.0 * calls).max(TOLERANCE.1) {
            return Ok((scale, tally));
        }
        if off > 1.0 {
            low = scale
        } else {
            high = scale
        }
        let guess = scale * off.powf(1.0 / power);
        scale = if guess > low && guess < high { guess } else { (low * high).sqrt() };
    }
    let made = replay(traces, rule, scale, terms, window).calls;
    anyhow::bail!(
        "{} cannot make {calls:.0} calls between the shortest and the longest interval (closest: {made}): set --calls, --min or --max",
        rule.name()
    )
}

fn replay(traces: &[Trace], rule: Rule, scale: f64, terms: &Terms, window: Window) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let size = traces.len().div_ceil(threads).max(1);
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let of_part = |(part, traces): (usize, &'_ [Trace])| {
            let mut tally = Tally::default();
            for (at, trace) in traces.iter().enumerate() {
                // Each stream has its own random numbers, regardless of the number of threads.
                let seed = terms.seed.wrapping_add((part * size + at) as u64);
                replay_one(trace, &mut Pacer::new(rule, scale, terms, trace.rate, terms.start), seed, terms, window, &mut tally);
            }
            tally
        };
        let parts: Vec<_> = traces.chunks(size).enumerate().map(|part| scope.spawn(move || of_part(part))).collect();
        for part in parts {
            let tally = part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.calls += tally.calls;
            all.delays.extend(tally.delays);
        }
    });
    all
}

fn replay_one(trace: &Trace, pacer: &mut Pacer, seed: u64, terms: &Terms, window: Window, tally: &mut Tally) {
    let mut chance = StdRng::seed_from_u64(seed);
    // Streams do not start in step.
    let mut now = run_after(terms.start + span(pacer.wait(terms.start, &[]) * chance.random::<f64>()), terms);
    let mut rest = trace.changes.as_slice();
    // Continues beyond the window until all of its changes are found.
    while now < window.until || rest.first().is_some_and(|at| *at < window.until) {
        let (seen, later) = rest.split_at(rest.iter().take_while(|at| **at <= now).count());
        for change in seen.iter().filter(|at| window.holds(**at)) {
            tally.delays.push(((now - *change).as_seconds_f64() / 3600.0) as f32);
        }
        rest = later;
        tally.calls += u64::from(window.holds(now));
        let spread = 1.0 + terms.jitter * (2.0 * chance.random::<f64>() - 1.0);
        now = run_after(next(now, pacer.wait(now, seen) * spread), terms);
    }
}

/// The cron run that makes a poll due at this time.
fn run_after(due: DateTime<Utc>, terms: &Terms) -> DateTime<Utc> {
    let every = terms.every.as_micros() as i64;
    let since = (due - terms.start).num_microseconds().unwrap_or(0);
    match every {
        0 => due,
        every => terms.start + TimeDelta::microseconds(-(-since).div_euclid(every) * every),
    }
}

/// `hours` later, and always later than `now`.
fn next(now: DateTime<Utc>, hours: f64) -> DateTime<Utc> {
    now + span(hours).max(TimeDelta::seconds(1))
}

fn span(hours: f64) -> TimeDelta {
    TimeDelta::microseconds((hours * 3.6e9) as i64)
}
