//! `syncctl verify`: compares stored data with the providers' data.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;

use super::verbs::Bounds;
use super::{Output, complain, jobs, table, with_context};
use crate::config::{Settings, duration};
use crate::db::claims::Selection;
use crate::engine::job::Job;
use crate::engine::verify::{Ask, Compared, Figures, Mismatch};
use crate::engine::{Context, Report};
use crate::error::{Exit, Fault};
use crate::services::{Comparison, Entry, registry};

/// Default number of streams of each service to compare.
const SAMPLE: u32 = 100;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[arg(value_name = "SERVICE", value_parser = PossibleValuesParser::new(comparable()))]
    #[arg(help = format!("Services to compare: {} (default: all in use)", comparable().join(", ")))]
    services: Vec<String>,
    /// Compare all streams of this user only, by UUID or address
    #[arg(long, value_name = "ID", conflicts_with_all = ["sample", "all"])]
    user: Option<String>,
    /// Number of streams of each service to compare, chosen at random (default: 100)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Compare every stream
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// Seed of the random choice, to choose the same streams again
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["user", "all"])]
    seed: Option<u32>,
    /// Repair differences with full passes of the streams and by rebuilding derived rows, then compare again
    #[arg(long)]
    repair: bool,
    /// Wind down after this time for all services together, such as `30m` (default: no limit)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_duration: Option<Duration>,
}

/// The names of the services that can be compared.
fn comparable() -> Vec<&'static str> {
    registry::names(|service| service.verify.is_some())
}

/// The result for all compared services.
#[derive(Debug, Serialize)]
struct Verified {
    /// Everything was compared, and nothing differs.
    consistent: bool,
    runs: Vec<Report>,
}

/// Runs the command.
pub fn run(args: &VerifyArgs, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        let users = match &args.user {
            Some(name) => Some(vec![jobs::user(&context, name).await?]),
            None => None,
        };
        let ask = Ask {
            sample: (!args.all && users.is_none()).then_some(args.sample.unwrap_or(SAMPLE)),
            users,
            seed: i64::from(args.seed.unwrap_or_else(|| u32::from(rand::random::<u16>()))),
            repair: args.repair,
        };
        let started = Instant::now();
        let mut runs = Vec::new();
        for (service, verify) in chosen(&context, args).await? {
            // After a stop signal or with no time left, still run each service, which reports that it was not compared: that is not consistent.
            let remaining = args.max_duration.map(|limit| limit.saturating_sub(started.elapsed()));
            let bounds = Bounds { max_duration: remaining, dry_run: false };
            // Without --max-duration, engine.max_duration does not apply.
            let selection = Selection { users: ask.users.clone(), ..Selection::default() };
            let job = Job { max_duration: remaining, ..jobs::job(&context, service.name, "verify", selection, bounds) };
            runs.push(verify(&context, &job, &ask).await?);
            if args.repair {
                jobs::deliver_events(&context, &job).await;
            }
        }
        finish(runs, output)
    })
}

/// The services to compare, with their comparisons.
async fn chosen(context: &Context, args: &VerifyArgs) -> anyhow::Result<Vec<(&'static Entry, Comparison)>> {
    let mut chosen = Vec::new();
    for (service, verify) in registry::SERVICES.iter().filter_map(|service| Some((service, service.verify?))) {
        let name = service.name;
        let is_named = args.services.iter().any(|one| one == name);
        // A user names their own streams only.
        let has_streams = service.google.is_some() || (args.user.is_none() && (service.is_in_use)(&context.pool).await?);
        match (service.enabled)(&context.settings) && has_streams {
            true if is_named || args.services.is_empty() => chosen.push((service, verify)),
            false if is_named => {
                let why = match service.google {
                    Some(_) => format!("{name}.enabled is false"),
                    None => format!("bots belong to {}, not to users: see `syncctl {name} project list`", service.owners),
                };
                return Err(Fault::usage(format!("{name}: nothing to compare: {why}")).into());
            }
            _ => {}
        }
    }
    Ok(chosen)
}

fn finish(runs: Vec<Report>, output: Output) -> anyhow::Result<Exit> {
    let wrong = |report: &Report| report.verify.as_ref().map_or(0, Compared::wrong);
    let exit =
        runs.iter().map(|report| if wrong(report) > 0 { Exit::SomeFailed } else { report.exit() }).max_by_key(|exit| *exit as u8);
    let exit = exit.unwrap_or(Exit::Done);
    let verified = Verified { consistent: exit == Exit::Done && runs.iter().all(|report| report.stopped_early.is_none()), runs };
    output.print(&verified, || text(&verified))?;
    for report in &verified.runs {
        if let Some(message) = report.error_message() {
            complain(message);
        }
        let Some(compared) = report.verify.as_ref().filter(|compared| compared.wrong() > 0) else { continue };
        // Only a random choice needs its seed.
        let seed_hint =
            if compared.chosen < compared.of { format!("compare again with --seed {}, ", compared.seed) } else { String::new() };
        // A one-line summary for cron's mail.
        complain(format!("{}: {} items differ; {seed_hint}repair with --repair", report.job, compared.wrong()));
    }
    Ok(exit)
}

fn text(verified: &Verified) -> String {
    let mut text = String::new();
    for report in &verified.runs {
        let Some(compared) = &report.verify else {
            text.push_str(&format!("{}: {}\n", report.job, report.status));
            continue;
        };
        let Compared { seed, chosen, of, kinds, repair } = compared;
        let which = if chosen < of {
            format!("{chosen} of {of} streams, chosen at random (--seed {seed} chooses them again, --all compares all)")
        } else {
            format!("all {of} streams")
        };
        text.push_str(&format!(
            "{}: {which}, in {:.2} s with {} calls ({} quota units)\n",
            report.job,
            report.elapsed_ms as f64 / 1000.0,
            report.api_calls,
            report.quota_units
        ));
        figures(kinds, &mut text);
        if let Some(repair) = repair {
            match repair.streams {
                0 => text.push_str("repaired: nothing\n"),
                streams => {
                    text.push_str(&format!("repaired: {streams} streams; compared again:\n"));
                    figures(&repair.left, &mut text);
                }
            }
        }
        if let Some(why) = &report.stopped_early {
            text.push_str(&format!("stopped early ({why}): {} streams were not compared\n", report.interrupted_streams));
        }
        text.push('\n');
    }
    text.extend(verified.runs.iter().map(jobs::format_skipped));
    let differ = verified.runs.iter().filter_map(|report| report.verify.as_ref()).any(|compared| compared.wrong() > 0);
    text.push_str(if verified.consistent {
        "no differences"
    } else if differ {
        "differences found"
    } else {
        "not everything was compared"
    });
    text
}

fn figures(kinds: &BTreeMap<String, Figures>, text: &mut String) {
    let mut table =
        table(&["kind", "streams", "items", "missing here", "excess here", "stale", "not yet polled", "in quarantine"]);
    for (kind, figures) in kinds {
        let share = |count: u64| match count {
            0 => "0".into(),
            count => format!("{count} ({:.2} %)", count as f64 * 100.0 / figures.compared.max(1) as f64),
        };
        table.add_row([
            kind.clone(),
            figures.streams.to_string(),
            figures.compared.to_string(),
            share(figures.missing),
            share(figures.excess),
            share(figures.stale),
            share(figures.not_polled),
            share(figures.quarantined),
        ]);
    }
    text.push_str(&format!("{}\n", table.trim_fmt()));
    for (kind, figures) in kinds {
        if figures.unfinished_streams > 0 {
            text.push_str(&format!(
                "{kind}: {} streams have no full pass yet and were not compared\n",
                figures.unfinished_streams
            ));
        }
        for example in &figures.examples {
            let mismatch = match example.found {
                Mismatch::Missing => "missing",
                Mismatch::Excess => "excess",
                Mismatch::Stale => "stale",
                Mismatch::NotPolled => "not polled",
                Mismatch::Quarantined => "quarantined",
            };
            text.push_str(&format!(
                "{mismatch:<12} {kind} {} (user {}, stream {})\n",
                example.id, example.user_id, example.stream_id
            ));
        }
    }
}
