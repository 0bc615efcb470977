//! `syncctl sync simulate`: replays pacing rules against the times of changes, which are generated, in a file, or stored.

use std::convert::Infallible;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{TimeDelta, Utc};
use clap::ValueEnum as _;
use pace_lab::recorded::{self, Recorded};
use pace_lab::{Kind, Row, Terms, Trace, plot};
use serde::Serialize;

use super::{Output, file, reading, table, with_context};
use crate::config::{Settings, duration};
use crate::db::change_times;
use crate::engine::Context;
use crate::engine::pace::{Bounds, in_words};
use crate::error::{Exit, Fault};
use crate::services::registry;

/// Prior estimate of a stream's changes per hour until enough of them have been seen, as for calendars and drives.
const PRIOR: f64 = 0.1;
/// Defaults for generated changes.
const STREAMS: u32 = 1500;
const DAYS: u32 = 14;

/// Arguments of `sync simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Changes to replay: generated ones that are `stationary`, in `office` hours or in `bursts`, or a file with a line `stream<TAB>second` for each change,
    /// counted from a Monday, 0:00 UTC; may be repeated (default: the three generated ones)
    #[arg(long, value_name = "KIND|FILE")]
    trace: Vec<Source>,
    /// Replay changes stored in the database instead of generated ones
    #[arg(long, conflicts_with_all = ["trace", "streams", "seed"])]
    stored: bool,
    /// Number of streams: to generate, with rates log-uniform from 0.001 to 10 changes an hour (default: 1500); of a file, including silent ones
    /// (default: the number in a comment like `# 2,000 streams`, or those that it names)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    streams: Option<u32>,
    /// Number of days to replay; the second half shows what was learnt in the first (default: 14; of a file: the number in a comment like `# 28 days`, or to
    /// its last change)
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=366))]
    days: Option<u32>,
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

/// Where changes come from.
#[derive(Debug, Clone)]
enum Source {
    Generated(Kind),
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Kind::from_str(text, false).map_or_else(|_| Self::File(text.into()), Self::Generated))
    }
}

/// The results of all rules on one set of traces.
#[derive(Debug, Serialize)]
struct Simulation {
    trace: String,
    about: String,
    days: u32,
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
        days: args.days.unwrap_or(DAYS),
        calls: args.calls,
        seed: args.seed,
    };
    let simulations = if args.stored {
        terms.start = Utc::now() - TimeDelta::days(i64::from(terms.days));
        with_context(settings, |context| async move { reading(&context, stored(&context, &terms)).await })?
    } else {
        of_sources(args, &terms)?
    };
    let outcome = Outcome {
        seed: (!args.stored).then_some(args.seed),
        days: simulations.iter().map(|simulation| simulation.days).max().unwrap_or(terms.days),
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

fn of_sources(args: &Args, terms: &Terms) -> anyhow::Result<Vec<Simulation>> {
    let all = [Kind::Stationary, Kind::Office, Kind::Bursts].map(Source::Generated);
    let sources = if args.trace.is_empty() { all.as_slice() } else { &args.trace };
    let simulate = |source: &Source| match source {
        Source::Generated(kind) => {
            let streams = args.streams.unwrap_or(STREAMS) as usize;
            let traces = pace_lab::generate(*kind, streams, f64::from(terms.days) * 24.0, args.seed);
            simulation(kind.name(), kind.about().to_owned(), &traces, terms)
        }
        Source::File(file) => recorded(file, args, terms),
    };
    sources.iter().map(simulate).collect()
}

/// Replays the changes of a file.
fn recorded(file: &Path, args: &Args, terms: &Terms) -> anyhow::Result<Simulation> {
    let shown = file.display();
    let recorded = Recorded::parse(&read(file)?).map_err(|fault| {
        let line = fault.line.map_or_else(String::new, |line| format!(", line {line}"));
        Fault::usage(format!("{shown}{line}: {}", fault.what))
    })?;
    let (named, days) = (recorded.named(), args.days.unwrap_or(recorded.days.max(2)));
    let streams = args.streams.map(|streams| streams as usize).or(recorded.all).unwrap_or(named);
    if streams < named {
        return Err(Fault::usage(format!(
            "{shown}: it names {named} streams, more than the {streams} that there are: raise --streams"
        ))
        .into());
    }
    let traces = recorded.traces(streams, days);
    let silent = traces.iter().filter(|trace| trace.changes.is_empty()).count();
    simulation(&shown.to_string(), format!("recorded changes; {silent} streams have none"), &traces, &Terms { days, ..*terms })
}

/// The contents of a file that is not too large.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).and_then(|file| file.take(recorded::MAX_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = opened {
        let what = format!("reading {}: {error}; --trace takes stationary, office, bursts or a readable file", file.display());
        return Err(Fault::usage(what).into());
    }
    if bytes.len() as u64 > recorded::MAX_BYTES {
        let most = recorded::MAX_BYTES >> 20;
        return Err(Fault::usage(format!("{}: larger than {most} MiB: split the file", file.display())).into());
    }
    Ok(bytes)
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

fn simulation(trace: &str, about: String, traces: &[Trace], terms: &Terms) -> anyhow::Result<Simulation> {
    let rows = pace_lab::compare(traces, terms).map_err(|error| Fault::usage(format!("simulating {trace}: {error}")))?;
    Ok(Simulation { trace: trace.to_owned(), about, days: terms.days, streams: traces.len(), rows })
}

fn draw(outcome: &Outcome, file: &Path) -> anyhow::Result<()> {
    let panels: Vec<plot::Panel> = outcome
        .simulations
        .iter()
        .map(|simulation| plot::Panel {
            title: simulation.trace.clone(),
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
        "{} calls a day for each stream{seed}; priced rules poll every {} to {}; half-life {}, jitter {}, prior {}/h\n",
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
        let Simulation { trace, about, days, streams, .. } = simulation;
        text += &format!("\n{trace}: {about} ({streams} streams, {changes} changes, {days} days)\n");
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
