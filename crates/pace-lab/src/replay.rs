//! Replays times of changes against a rule: how many calls it makes, and how long changes wait for the poll that finds them.

use std::num::NonZero;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rules::{Pacer, Rule};
use super::{Terms, Trace, Window};
use pace::{Fleet, Prior};

/// How far calls may be from the requested number: this share, or this absolute number if they are few.
const TOLERANCE: (f64, f64) = (0.001, 5.0);

/// Hours between two fits of the prior. Production fits each hour; over a replay of days, that makes no difference.
const REFIT_HOURS: i64 = 6;

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

/// Replays all streams side by side, because they learn from each other: every few hours, the prior is fitted to what they have shown.
fn replay(traces: &[Trace], rule: Rule, scale: f64, terms: &Terms, window: Window) -> Tally {
    let mut runs: Vec<Run> = traces
        .iter()
        .enumerate()
        .map(|(at, trace)| Run::new(trace, rule, scale, terms, terms.seed.wrapping_add(at as u64)))
        .collect();
    let mut prior = terms.assumed();
    let mut until = terms.start;
    while until < window.until {
        until = window.until.min(if rule.learns() { until + TimeDelta::hours(REFIT_HOURS) } else { window.until });
        each(&mut runs, |run| run.go_on(until, &prior, terms, window));
        if rule.learns() {
            prior = fitted(&runs, terms);
        }
    }
    // Continues beyond the window until all of its changes are found.
    each(&mut runs, |run| run.finish(&prior, terms, window));
    let mut all = Tally::default();
    for run in runs {
        all.calls += run.tally.calls;
        all.delays.extend(run.tally.delays);
    }
    all
}

/// Applies `act` to all streams, in as many threads as there are processors.
fn each(runs: &mut [Run], act: impl Fn(&mut Run) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let size = runs.len().div_ceil(threads).max(1);
    let act = &act;
    std::thread::scope(|scope| {
        for part in runs.chunks_mut(size) {
            scope.spawn(move || part.iter_mut().for_each(act));
        }
    });
}

/// The prior of the fleet as it is now.
fn fitted(runs: &[Run], terms: &Terms) -> Prior {
    let mut fleet = Fleet::default();
    for run in runs {
        fleet.add(run.pacer.evidence(run.polled));
    }
    fleet.prior(terms.assumed())
}

/// A stream in a replay.
struct Run<'a> {
    pacer: Pacer<'a>,
    /// Each stream has its own random numbers, regardless of the number of threads.
    chance: StdRng,
    polled: DateTime<Utc>,
    due: DateTime<Utc>,
    /// Changes that were not found yet.
    rest: &'a [DateTime<Utc>],
    tally: Tally,
}

impl<'a> Run<'a> {
    fn new(trace: &'a Trace, rule: Rule, scale: f64, terms: &'a Terms, seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut pacer = Pacer::new(rule, scale, terms, trace.rate, terms.start);
        // Streams do not start in step.
        let wait = pacer.wait(terms.start, &[], &terms.assumed()) * chance.random::<f64>();
        let due = run_after(terms.start + span(wait), terms);
        Self { pacer, chance, polled: terms.start, due, rest: &trace.changes, tally: Tally::default() }
    }

    /// Makes the polls that are due before `until`.
    fn go_on(&mut self, until: DateTime<Utc>, prior: &Prior, terms: &Terms, window: Window) {
        while self.due < until {
            self.poll(prior, terms, window);
        }
    }

    /// Polls until all changes of the window are found.
    fn finish(&mut self, prior: &Prior, terms: &Terms, window: Window) {
        while self.rest.first().is_some_and(|at| *at < window.until) {
            self.poll(prior, terms, window);
        }
    }

    fn poll(&mut self, prior: &Prior, terms: &Terms, window: Window) {
        let now = self.due;
        let (seen, later) = self.rest.split_at(self.rest.iter().take_while(|at| **at <= now).count());
        for change in seen.iter().filter(|at| window.holds(**at)) {
            self.tally.delays.push(((now - *change).as_seconds_f64() / 3600.0) as f32);
        }
        self.tally.calls += u64::from(window.holds(now));
        let spread = 1.0 + terms.jitter * (2.0 * self.chance.random::<f64>() - 1.0);
        self.due = run_after(next(now, self.pacer.wait(now, seen, prior) * spread), terms);
        (self.polled, self.rest) = (now, later);
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
