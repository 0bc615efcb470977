//! After a storm: everything is brought in step, and compared row by row with what Google, Attendee and the receiver hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::arena::{Arena, LEASE};
use crate::support::World;
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL, Service};
use crate::support::sim::field;

/// Within so long everything must be in step again.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a storm did and left.
#[derive(Default)]
pub struct Verdict {
    seed: Option<u64>,
    figures: BTreeMap<&'static str, u64>,
    heal_s: Vec<f64>,
    /// What was wrong, for people.
    found: Vec<String>,
}

/// Figures that must be zero.
const BAD: [&str; 5] = ["lost", "doubled", "wrong", "stuck", "cursor_regressions"];
/// What happened.
const HAPPENED: [(&str, &str); 6] =
    [("runs", "run"), ("kills", "kill"), ("terms", "term"), ("stops", "stop"), ("faults", "fault"), ("changes", "change")];

impl Verdict {
    fn find(&mut self, figure: &'static str, count: u64, what: impl fmt::Display) {
        *self.figures.entry(figure).or_default() += count;
        if count > 0 {
            self.found.push(format!("{figure}: {count} {what}"));
        }
    }

    pub fn is_clean(&self) -> bool {
        BAD.iter().all(|figure| self.figures.get(figure).is_none_or(|count| *count == 0))
    }

    /// All seeds together.
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
        self.found.iter().try_for_each(|found| write!(out, "\n  {found}"))
    }
}

/// Heals, compares, and keeps the story where something is wrong.
pub fn verdict(arena: &Arena) -> Verdict {
    let ended = Instant::now();
    std::thread::sleep(LEASE);
    let mut found = Verdict::default();
    while ended.elapsed() < PATIENCE {
        heal(arena);
        found = compare(arena);
        if found.is_clean() {
            break;
        }
    }
    found.seed = Some(arena.seed);
    found.heal_s.push(ended.elapsed().as_secs_f64());
    found.find("stuck", arena.story.count("hung"), "runs that did not end");
    for (figure, what) in HAPPENED {
        found.figures.insert(figure, arena.story.count(what));
    }
    if !found.is_clean() {
        let kept = arena.story.keep(arena.seed);
        dump(arena, &kept);
        found.found.push(format!("the story: {}, and beside it both databases and the bots at Attendee", kept.display()));
    }
    found
}

/// Both databases and the bots at Attendee, for whoever has to find out why.
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

/// Every job once, with nothing in its way.
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
        // A run that died is closed by the next one of its job.
        &["db", "prune"],
    ] {
        let ran = sync.syncctl(job);
        arena.story.tell("heal", format!("{}: {} {}", job.join(" "), ran.code, ran.stderr.trim()));
    }
    // Those that are far away get their bots; then all take place.
    for _ in 0..2 {
        for job in ATTENDEE.jobs {
            let ran = meetings.syncctl(job);
            arena.story.tell("heal", format!("{}: {} {}", job.join(" "), ran.code, ran.stderr.trim()));
        }
        meetings.pass(12 * 60);
    }
}

/// How calendars, mail and files differ from what they are at Google.
pub fn differences(arena: &Arena) -> Vec<String> {
    let mut found = Verdict::default();
    [&CALENDAR, &GMAIL, &DRIVE].into_iter().for_each(|service| rows(&mut found, &arena.sync, service));
    found.found
}

fn compare(arena: &Arena) -> Verdict {
    let mut found = Verdict::default();
    for service in [&CALENDAR, &GMAIL, &DRIVE] {
        rows(&mut found, &arena.sync, service);
    }
    rows(&mut found, &arena.meetings, &ATTENDEE);
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (ATTENDEE.check)(&arena.meetings)));
    if let Err(panic) = checked {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        found.find("wrong", 1, format!("meetings: {}", text.chars().take(600).collect::<String>()));
    }
    for world in [&arena.sync, &arena.meetings] {
        leftovers(&mut found, world);
    }
    channels(&mut found, &arena.sync);
    deliveries(&mut found, arena);
    found
}

fn rows(found: &mut Verdict, world: &World, service: &Service) {
    let (truth, stored) = ((service.truth)(world), (service.stored)(world));
    let name = service.name;
    let lost: Vec<_> = truth.keys().filter(|key| !stored.contains_key(*key)).collect();
    found.find("lost", lost.len() as u64, format!("of {name}, such as {:?}", lost.first()));
    let excess: Vec<_> = stored.keys().filter(|key| !truth.contains_key(*key)).collect();
    found.find("wrong", excess.len() as u64, format!("of {name} are gone there and live here, such as {:?}", excess.first()));
    let stale: Vec<_> = truth.iter().filter(|(key, version)| stored.get(*key).is_some_and(|stored| stored != *version)).collect();
    found.find("wrong", stale.len() as u64, format!("of {name} are older here, such as {:?}", stale.first()));
    for (what, statement) in service.wrong {
        let figure = if ["doubled", "twice", " once"].iter().any(|word| what.contains(word)) { "doubled" } else { "wrong" };
        found.find(figure, count(world, statement), format!("{name}: {what}"));
    }
}

fn leftovers(found: &mut Verdict, world: &World) {
    for (what, statement) in [
        ("leases", "SELECT count(*) FROM streams WHERE claimed_by IS NOT NULL"),
        ("locks of jobs", "SELECT count(*) FROM job_locks"),
        ("runs that read running", "SELECT count(*) FROM runs WHERE status = 'running'"),
        (
            "streams that fail",
            "SELECT count(*) FROM streams WHERE state IN ('degraded', 'revoked') OR (state = 'active' AND failures > 0)",
        ),
        ("accounts that are revoked", "SELECT count(*) FROM accounts WHERE state = 'revoked'"),
        ("items in quarantine", "SELECT count(*) FROM quarantined_items"),
        ("deliveries that are open", "SELECT count(*) FROM outbox_deliveries WHERE state <> 'delivered'"),
    ] {
        found.find("stuck", count(world, statement), what);
    }
    let regressions = count(world, "SELECT count(*) FROM chaos_regressions");
    found.find("cursor_regressions", regressions, "cursors that went back");
}

/// Every channel at Google is a row, and every row a channel.
fn channels(found: &mut Verdict, world: &World) {
    let text = world.sim.text("push/channels");
    let there: BTreeSet<String> =
        text.lines().map(|line| field(&serde_json::from_str(line).expect("a JSON line"), "id")).collect();
    let rows = world.query("SELECT id::text, state FROM channels WHERE expires_at > now() OR state = 'creating'");
    let known: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let leaked = there.iter().filter(|id| !known.contains_key(*id)).count();
    found.find("wrong", leaked as u64, "channels at Google that the database does not know");
}

/// Every event came, and those of one subject in their order.
fn deliveries(found: &mut Verdict, arena: &Arena) {
    let mut came: HashMap<String, usize> = HashMap::new();
    for (place, request) in arena.receiver.requests().iter().enumerate() {
        came.entry(request.key().to_owned()).or_insert(place);
    }
    let events = arena.sync.query("SELECT id::text, coalesce(subject::text, id::text) FROM outbox_events ORDER BY seq");
    let mut last: HashMap<String, usize> = HashMap::new();
    let (mut lost, mut disordered) = (0, 0);
    for event in &events {
        let (id, subject): (String, String) = (event.get(0), event.get(1));
        let Some(place) = came.get(&id) else {
            lost += 1;
            continue;
        };
        let before = last.insert(subject, *place);
        disordered += u64::from(before.is_some_and(|before| before > *place));
    }
    found.find("lost", lost, format!("events of {} that never came", events.len()));
    found.find("wrong", disordered, "events that first came after a later one of their subject");
}

fn count(world: &World, statement: &str) -> u64 {
    u64::try_from(world.count(statement)).unwrap_or(0)
}
