//! A week of simulated time: calendars of 1,000 users that change at rates over four decades, polled by the real binary as from cron, over
//! real HTTP, with a real PostgreSQL on the same clock. Prints how the budget was kept, and calls and delays compared with those of `sync
//! simulate` for exactly the same changes.
//!
//!     scripts/week [USERS] [DAYS] [MINUTES]
//!
//! MINUTES: the interval between two runs.

mod clock;
#[path = "../../tests/it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pace_lab::{Kind, Terms};
use serde_json::{Value, json};
use syncctl::engine::delays::Delays;
use syncctl::engine::pace::Bounds;

use clock::Clock;
use it::support;
use support::World;

/// Polls per day and calendar in the budget; the lists of calendars cost 4 more.
const POLLS: u64 = 24;
const LISTS: u64 = 4;
const SEED: u64 = 1;
/// Events that are changed, over all users.
const EVENTS: usize = 100_000;
const MIN: Duration = Duration::from_secs(300);
const MAX: Duration = Duration::from_secs(12 * 3600);

/// One day's sums.
#[derive(Default)]
struct Day {
    calls: u64,
    polls: u64,
    delays: Delays,
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let mut number = |default: u32| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (users, days, every) = (number(1000), number(7), number(1));
    let kind = Kind::Office;
    let start = pace_lab::start();
    let clock = Clock::of_environment();
    clock.set(start);
    let traces = pace_lab::generate(kind, users as usize, f64::from(days) * 24.0, SEED);
    let mut changes: Vec<(DateTime<Utc>, usize)> =
        traces.iter().enumerate().flat_map(|(user, trace)| trace.changes.iter().map(move |at| (*at, user))).collect();
    changes.sort_unstable();
    eprintln!("{users} users, {days} days, {} changes ({}), seed {SEED} …", changes.len(), kind.about());

    let mut world = World::empty();
    for (name, value) in Clock::environment() {
        world.set(name, value);
    }
    let budget = u64::from(users) * (POLLS + LISTS);
    for (name, value) in [
        ("SYNCCTL_PACE_CALLS_PER_DAY", budget.to_string()),
        // Only the budget decides.
        ("SYNCCTL_PACE_PRICE", "0.000001".into()),
        ("SYNCCTL_CALENDAR_MIN_INTERVAL", format!("{}s", MIN.as_secs())),
        ("SYNCCTL_CALENDAR_MAX_INTERVAL", format!("{}s", MAX.as_secs())),
        ("SYNCCTL_GMAIL_ENABLED", "false".into()),
        ("SYNCCTL_DRIVE_ENABLED", "false".into()),
    ] {
        world.set(name, value);
    }
    world.populate(users, 1);
    world.syncctl(&["calendar", "cron"]).expect(0);
    // The replay starts without knowledge of its streams; so must this.
    world.execute("UPDATE streams SET change_since = now(), change_mass = 0, change_shape = NULL");
    world.sim.reset_ledger();

    let emails: Vec<String> = world.sim.users().into_iter().collect();
    let mut sums: Vec<Day> = Vec::new();
    let mut pending = changes.iter().enumerate().peekable();
    for minute in (1..=days * 24 * 60).filter(|minute| minute % every == 0) {
        let now = start + TimeDelta::minutes(i64::from(minute));
        while let Some((number, (at, user))) = pending.next_if(|(_, (at, _))| *at <= now) {
            clock.set(*at);
            // If an event changes twice between two polls, a feed reports only the last change: here each change is of a different event.
            let id = format!("paced{}", number % EVENTS);
            let event = json!({ "id": id, "summary": at.to_rfc3339(), "start": { "date": "2026-02-01" }, "end": { "date": "2026-02-02" } });
            world.sim.admin("events", json!({ "user": emails[*user], "calendar": "primary", "event": event }));
        }
        clock.set(now);
        let report = world.syncctl(&["calendar", "cron", "--json"]).expect(0).json();
        let day = (minute as usize - 1) / (24 * 60);
        sums.resize_with(day + 1, Day::default);
        sums[day].calls += number_of(&report, "api_calls");
        sums[day].polls += number_of(&report, "streams");
        sums[day].delays += &serde_json::from_value(report["delays"].clone()).expect("delays");
    }
    print_report(&world, &traces, &sums, budget, Duration::from_secs(u64::from(every) * 60));
}

fn number_of(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}"))
}

fn print_report(world: &World, traces: &[pace_lab::Trace], sums: &[Day], budget: u64, every: Duration) {
    println!("{:<8}{:>10}{:>10}{:>12}{:>10}{:>14}", "day", "calls", "budget", "of budget", "changes", "mean delay");
    let row = |name: &str, calls: u64, budget: u64, delays: &Delays| {
        let mean = delays.mean().unwrap_or(0.0) / 60.0;
        println!("{name:<8}{calls:>10}{budget:>10}{:>12.3}{:>10}{mean:>10.1} min", calls as f64 / budget as f64, delays.count);
    };
    let mut all = Day::default();
    for (number, day) in sums.iter().enumerate() {
        row(&format!("{}", number + 1), day.calls, budget, &day.delays);
        all.calls += day.calls;
        all.polls += day.polls;
        all.delays += &day.delays;
    }
    row("all", all.calls, budget * sums.len() as u64, &all.delays);
    let at_google: i64 = world.sim.ledger()["total"].as_i64().unwrap_or(-1);
    println!("calls by the simulator's ledger: {at_google}");

    let days = sums.len() as u32;
    let lists = u64::from(days) * LISTS * traces.len() as u64;
    let terms = Terms {
        bounds: Bounds { min: MIN, max: MAX, prior: 0.1, full_pass_every: None },
        half_life: Duration::from_secs(4 * 86_400),
        jitter: 0.15,
        every,
        start: pace_lab::start(),
        days,
        calls: (all.polls - lists) as f64 / f64::from(days) / traces.len() as f64,
        seed: SEED,
    };
    let rows = pace_lab::compare(traces, &terms).expect("a simulation");
    println!("\n{:<20}{:>12}{:>14}{:>12}{:>12}", "", "polls", "mean delay", "median", "p95");
    let minutes = |share| all.delays.quantile(share).unwrap_or(0.0) / 60.0;
    let measured = (all.delays.mean().unwrap_or(0.0) / 60.0, minutes(0.5), minutes(0.95));
    println!(
        "{:<20}{:>12}{:>10.1} min{:>8.1} min{:>8.1} min",
        "the real binary",
        all.polls - lists,
        measured.0,
        measured.1,
        measured.2
    );
    for row in rows.iter().filter(|row| ["syncctl", "rates known", "fixed interval"].contains(&row.rule)) {
        let figures = row.whole;
        println!(
            "{:<20}{:>12}{:>10.1} min{:>8.1} min{:>8.1} min",
            row.rule, figures.calls, figures.mean, figures.median, figures.p95
        );
    }
}
