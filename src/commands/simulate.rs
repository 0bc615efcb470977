//! `syncctl sync simulate`: replays pacing rules against the times of changes, stored or generated.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{TimeDelta, Utc};
use pace_lab::{Kind, Row, Terms, Trace, plot};
use serde::Serialize;

use super::{Output, file, reading, table, with_context};
use crate::config::{Settings, duration};
use crate::db::change_times;
use crate::engine::Context;
use crate::engine::pace::{Bounds, in_words};
use crate::error::{Exit, Fault};
use crate::services::registry;

/// Prior estimate of a stream's changes per hour, as for calendars and drives.
const PRIOR: f64 = 0.1;

/// Arguments of `sync simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pattern of the generated changes; may be repeated (default: stationary, office and bursts)
    #[arg(long, value_name = "KIND")]
    trace: Vec<Kind>,
    /// Replay changes stored in the database instead of generated ones
    #[arg(long, conflicts_with_all = ["trace", "streams", "seed"])]
    stored: bool,
    /// Number of streams to generate, with rates log-uniform from 0.001 to 10 changes an hour
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// Number of days to replay; the second half shows what was learnt in the first
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(2..=366))]
    days: u32,
    /// Mean calls per day and stream
    #[arg(long, default_value_t = 24.0)]
    calls: f64,
    /// Shortest interval of the rules with a price
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration::parse)]
    min: Duration,
    /// Longest interval of the rules with a price
    #[arg(long, default_value = "1d", value_name = "DURATION", value_parser = duration::parse)]
    max: Duration,
    /// Interval of the cron job that polls; with 0s, streams are polled as soon as they are due
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration::parse)]
    every: Duration,
    /// Seed of the generated changes; the same seed gives the same changes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// SVG file for a plot of the mean delays
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The results of all rules on one set of traces.
#[derive(Debug, Serialize)]
struct Simulation {
    trace: &'static str,
    about: String,
    streams: usize,
    rows: Vec<Row>,
}

/// The parameters and the results.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Seed of the changes and of the polls' randomness; `null` for stored changes.
    seed: Option<u64>,
    days: u32,
    calls_per_stream_and_day: f64,
    min_interval_s: u64,
    max_interval_s: u64,
    prior_per_hour: f64,
    half_life_s: u64,
    jitter: f64,
    simulations: Vec<Simulation>,
}

/// Runs the command. Takes the half-life and the jitter from the settings.
pub fn run(args: &Args, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    let calls_possible = args.calls.is_finite() && args.calls > 0.0;
    if !calls_possible || args.min > args.max || args.min.is_zero() {
        return Err(Fault::usage("--calls must be more than 0, and --min more than 0s and at most --max").into());
    }
    let mut terms = Terms {
        bounds: Bounds { min: args.min, max: args.max, prior: PRIOR, full_pass_every: None },
        half_life: settings.pace.half_life,
        jitter: settings.pace.jitter,
        every: args.every,
        start: pace_lab::start(),
        days: args.days,
        calls: args.calls,
        seed: args.seed,
    };
    let simulations = if args.stored {
        terms.start = Utc::now() - TimeDelta::days(i64::from(args.days));
        with_context(settings, |context| async move { reading(&context, stored(&context, &terms)).await })?
    } else {
        generated(args, &terms)?
    };
    let outcome = Outcome {
        seed: (!args.stored).then_some(args.seed),
        days: args.days,
        calls_per_stream_and_day: args.calls,
        min_interval_s: args.min.as_secs(),
        max_interval_s: args.max.as_secs(),
        prior_per_hour: PRIOR,
        half_life_s: terms.half_life.as_secs(),
        jitter: terms.jitter,
        simulations,
    };
    if let Some(file) = &args.svg {
        draw(&outcome, file)?;
    }
    output.print(&outcome, || text(&outcome))?;
    Ok(Exit::Done)
}

fn generated(args: &Args, terms: &Terms) -> anyhow::Result<Vec<Simulation>> {
    let kinds: &[Kind] = if args.trace.is_empty() { &[Kind::Stationary, Kind::Office, Kind::Bursts] } else { &args.trace };
    let simulate = |kind: &Kind| {
        let traces = pace_lab::generate(*kind, args.streams as usize, f64::from(args.days) * 24.0, args.seed);
        simulation(kind.name(), kind.about().to_owned(), &traces, terms)
    };
    kinds.iter().map(simulate).collect()
}

async fn stored(context: &Context, terms: &Terms) -> anyhow::Result<Vec<Simulation>> {
    let mut simulations = Vec::new();
    for service in registry::registered() {
        let streams = change_times::read(&context.pool, service.change_times, terms.start).await?;
        let changes: usize = streams.iter().map(Vec::len).sum();
        if changes == 0 {
            log::info!("{}: no changes stored from the last {} days", service.service, terms.days);
            continue;
        }
        let hours = f64::from(terms.days) * 24.0;
        let traces: Vec<Trace> =
            streams.into_iter().map(|changes| Trace { rate: changes.len() as f64 / hours, changes }).collect();
        let about = format!("{changes} stored changes; for items changed more than once, the last change");
        simulations.push(simulation(service.service, about, &traces, terms)?);
    }
    if simulations.is_empty() {
        bail!("no changes stored from the last {} days: sync first, or set --days", terms.days);
    }
    Ok(simulations)
}

fn simulation(trace: &'static str, about: String, traces: &[Trace], terms: &Terms) -> anyhow::Result<Simulation> {
    let rows = pace_lab::compare(traces, terms).map_err(|error| Fault::usage(format!("simulating {trace}: {error}")))?;
    Ok(Simulation { trace, about, streams: traces.len(), rows })
}

fn draw(outcome: &Outcome, file: &Path) -> anyhow::Result<()> {
    let panels: Vec<plot::Panel> = outcome
        .simulations
        .iter()
        .map(|simulation| plot::Panel {
            title: simulation.trace,
            bars: simulation.rows.iter().map(|row| (row.rule, row.learnt.mean)).collect(),
        })
        .collect();
    let terms = format!(
        "The second half of {} days, {} calls a day for each stream. Dashed: optimum for known rates.",
        outcome.days, outcome.calls_per_stream_and_day
    );
    let drawn = plot::draw(&panels, &terms).context("drawing the plot")?;
    file::replace(file, drawn)
}

fn text(outcome: &Outcome) -> String {
    let seed = outcome.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    let words = |seconds| in_words(Duration::from_secs(seconds));
    let mut text = format!(
        "{} days, {} calls a day for each stream{seed}; priced rules poll every {} to {}; half-life {}, jitter {}, prior {}/h\n",
        outcome.days,
        outcome.calls_per_stream_and_day,
        words(outcome.min_interval_s),
        words(outcome.max_interval_s),
        words(outcome.half_life_s),
        outcome.jitter,
        outcome.prior_per_hour,
    );
    text += "Minutes from a change to the poll that finds it. The scale of each rule (interval or price in hours, factor of the\n\
             minutes) is adjusted until its calls match the others' to 0.1 %, separately for the second half.\n";
    for simulation in &outcome.simulations {
        let changes = simulation.rows.first().map_or(0, |row| row.whole.changes);
        text += &format!("\n{}: {} ({} streams, {changes} changes)\n", simulation.trace, simulation.about, simulation.streams);
        let mut rows = table(&[
            "rule",
            "scale",
            "calls",
            "mean",
            "median",
            "p95",
            "ratio",
            "2nd half: calls",
            "mean",
            "median",
            "p95",
            "ratio",
        ]);
        for column in rows.column_iter_mut().skip(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        for row in &simulation.rows {
            let (all, learnt) = (&row.whole, &row.learnt);
            let figures = |figures: &pace_lab::Figures| {
                let minutes = [figures.mean, figures.median, figures.p95].map(|minutes| format!("{minutes:.1}"));
                [vec![figures.calls.to_string()], minutes.into(), vec![format!("{:.2}", figures.to_optimum)]].concat()
            };
            rows.add_row([vec![row.rule.to_owned(), format!("{:.4}", all.scale)], figures(all), figures(learnt)].concat());
        }
        text += &rows.trim_fmt();
        text.push('\n');
    }
    text
}
