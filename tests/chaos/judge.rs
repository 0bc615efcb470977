//! Verdict after a chaos run: heals and compares the data, and reports problems.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::arena::{Arena, LEASE};
use crate::support::service::ATTENDEE;
use crate::{clocks, compare};

/// Everything must be in sync again within this time, or, on a slow machine, within a number of rounds of all jobs.
const PATIENCE: Duration = Duration::from_secs(180);
const ROUNDS: u32 = 8;

/// What a chaos run did and left behind.
#[derive(Default)]
pub struct Verdict {
    seed: Option<u64>,
    figures: BTreeMap<&'static str, u64>,
    heal_s: Vec<f64>,
    /// Descriptions of the problems.
    pub problems: Vec<String>,
}

/// Figures that must be zero.
const BAD: [&str; 5] = ["lost", "doubled", "wrong", "stuck", "cursor_regressions"];
/// What happened.
const HAPPENED: [(&str, &str); 7] = [
    ("runs", "run"),
    ("kills", "kill"),
    ("terms", "term"),
    ("stops", "stop"),
    ("faults", "fault"),
    ("blows", "blow"),
    ("changes", "change"),
];

impl Verdict {
    /// Counts a problem and reports it; does nothing if the count is zero.
    pub fn find(&mut self, figure: &'static str, count: u64, what: impl fmt::Display) {
        *self.figures.entry(figure).or_default() += count;
        if count > 0 {
            self.problems.push(format!("{figure}: {count} {what}"));
        }
    }

    pub fn is_clean(&self) -> bool {
        BAD.iter().all(|figure| self.figures.get(figure).is_none_or(|count| *count == 0))
    }

    /// Sum over all seeds.
    pub fn sum(verdicts: &[Self]) -> Self {
        let mut sum = Self::default();
        for verdict in verdicts {
            for (figure, count) in &verdict.figures {
                *sum.figures.entry(figure).or_default() += count;
            }
            sum.heal_s.extend(&verdict.heal_s);
        }
        sum
    }

    fn heal_p95_s(&self) -> f64 {
        let mut sorted = self.heal_s.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0)
    }

    pub fn json(&self) -> Value {
        let mut shown = json!(self.figures);
        if let Some(seed) = self.seed {
            shown["seed"] = json!(seed);
        }
        shown["heal_p95_s"] = json!((self.heal_p95_s() * 10.0).round() / 10.0);
        shown
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seed {
            Some(seed) => write!(out, "chaos, seed {seed}:")?,
            None => write!(out, "chaos, all seeds:")?,
        }
        for (figure, count) in &self.figures {
            write!(out, " {figure} {count}")?;
        }
        write!(out, " heal_p95_s {:.1}", self.heal_p95_s())?;
        self.problems.iter().try_for_each(|problem| write!(out, "\n  {problem}"))
    }
}

/// Heals, compares, and keeps the story if there is a problem.
pub fn verdict(arena: &Arena) -> Verdict {
    let ended = Instant::now();
    // Leases of dead runs have lapsed by then, even if the database's clock was set back at the end.
    std::thread::sleep(LEASE + clocks::MAX_BACK);
    let mut verdict = Verdict::default();
    let mut rounds = 0;
    while rounds < ROUNDS || ended.elapsed() < PATIENCE {
        rounds += 1;
        heal(arena);
        verdict = compare::everything(arena);
        if verdict.is_clean() {
            break;
        }
    }
    verdict.seed = Some(arena.seed);
    verdict.heal_s.push(ended.elapsed().as_secs_f64());
    verdict.find("stuck", arena.story.count("hung"), "runs that did not end");
    for (figure, what) in HAPPENED {
        verdict.figures.insert(figure, arena.story.count(what));
    }
    if !verdict.is_clean() {
        let kept = arena.story.keep(arena.seed);
        dump(arena, &kept);
        verdict.problems.push(format!("the story: {}, and alongside it both databases and the bots at Attendee", kept.display()));
    }
    verdict
}

/// Dumps both databases and the bots at Attendee, for debugging.
fn dump(arena: &Arena, story: &Path) {
    for (name, world) in [("sync", &arena.sync), ("meetings", &arena.meetings)] {
        let file = story.with_extension(format!("{name}.sql"));
        let arguments =
            ["--inserts", "--file", &file.display().to_string(), "--dbname", world.database.name()].map(str::to_owned);
        let dumped = arena.server.cluster.client("pg_dump", arguments).map(|mut command| command.status());
        if !matches!(dumped, Ok(Ok(status)) if status.success()) {
            eprintln!("{name} could not be dumped: {dumped:?}");
        }
    }
    let bots = arena.meetings.sim.text("attendee/state");
    std::fs::write(story.with_extension("bots.jsonl"), bots).expect("writing the bots");
}

/// Runs every job once, without faults.
pub fn heal(arena: &Arena) {
    let Arena { sync, meetings, .. } = arena;
    for job in [
        &["calendar", "cron", "--force"][..],
        &["gmail", "cron", "--force"],
        &["drive", "cron", "--force"],
        &["items", "retry"],
        &["webhook", "drain"],
        &["calendar", "renew-watches"],
        &["gmail", "renew-watches"],
        &["drive", "renew-watches"],
        &["calendar", "renew-webhooks"],
        &["drive", "renew-webhooks"],
        &["deliver"],
        // The next run of a job closes a run that died.
        &["db", "prune"],
    ] {
        let run_output = sync.syncctl(job);
        arena.story.record("heal", format!("{}: {} {}", job.join(" "), run_output.code, run_output.stderr.trim()));
    }
    // Distant meetings get their bots; then all take place.
    for _ in 0..2 {
        for job in ATTENDEE.jobs {
            let run_output = meetings.syncctl(job);
            arena.story.record("heal", format!("{}: {} {}", job.join(" "), run_output.code, run_output.stderr.trim()));
        }
        meetings.pass(12 * 60);
    }
}
