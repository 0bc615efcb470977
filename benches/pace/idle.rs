//! Idle passes: ten thousand feeds in which nothing has changed, with latency.

use serde_json::json;

use crate::ground::{Ground, MEDIAN_MS};
use crate::results::{Bound, Results};
use crate::run::{Seen, run};
use crate::scale::scaled;
use crate::support::service::{CALENDAR, GMAIL};

/// Maximum number of requests in flight.
const MAX_CONCURRENT: u64 = 32;
const CALENDARS: u32 = 4;

/// Both, with Google's quotas and without.
pub fn both() -> Results {
    let mut results = Results::default();
    calendars(&mut results);
    mailboxes(&mut results);
    results
}

fn calendars(results: &mut Results) {
    let users = scaled(2_500);
    eprintln!("idle: {} calendars …", users * CALENDARS);
    let ground = Ground::of(&CALENDAR);
    let order = json!({ "users": users, "calendars_per_user": CALENDARS, "events_per_user": 8, "seed": 7 });
    ground.sim.admin("generate", order);
    ground.import();
    ground.bring_in_step();
    ground.slow();
    ground.limit();
    let limits = ground.limits();
    let bound = Bound::of(users, u64::from(CALENDARS), limits.project_per_minute, limits.user_per_minute);
    let seen = pass(&ground, results, "idle_calendars", (true, i64::from(users * CALENDARS)));
    results.add_relative("idle_calendars_over_bound", "<= 1.1", (seen.seconds, &bound, done(&seen, users * CALENDARS)));
    ground.unlimit();
    let seen = pass(&ground, results, "idle_calendars_without_quotas", (false, i64::from(users * CALENDARS)));
    results.add("idle_150ms_calls_per_s", seen.calls() as f64 / seen.seconds, ">= 2000", without_quotas(&seen));
}

fn mailboxes(results: &mut Results) {
    let users = scaled(10_000);
    eprintln!("idle: {users} mailboxes …");
    let ground = Ground::of(&GMAIL);
    ground.sim.generate(users, 0);
    ground.sim.admin("mail/generate", json!({ "messages": 1, "seed": 7, "days": 2 }));
    ground.import();
    ground.bring_in_step();
    ground.slow();
    ground.limit();
    let limits = ground.limits();
    let bound = Bound::of(users, 2, limits.project_per_minute, limits.user_per_minute);
    let seen = pass(&ground, results, "idle_mailboxes", (true, i64::from(users)));
    let bound = Bound { words: format!("{}: it does not bind, times of answers do", bound.words), ..bound };
    results.add_relative("idle_mailboxes_over_bound", "–", (seen.seconds, &bound, done(&seen, users)));
    ground.unlimit();
    let seen = pass(&ground, results, "idle_mailboxes_without_quotas", (false, i64::from(users)));
    results.add("idle_150ms_mailboxes_calls_per_s", seen.calls() as f64 / seen.seconds, ">= 2000", without_quotas(&seen));
}

/// One pass over all streams of the service's main kind.
fn pass(ground: &Ground, results: &mut Results, name: &'static str, (limited, streams): (bool, i64)) -> Seen {
    let kind = if ground.service.name == "gmail" { "mailbox" } else { "events" };
    assert_eq!(ground.make_due(kind), streams, "streams in step");
    let cron = [ground.service.name, "cron", "--json"];
    let seen = run(ground, if limited { ground.command(&cron) } else { ground.command_without_quota(&cron) });
    results.add_run(name, &seen);
    let statements = seen.statements as f64 / streams as f64;
    let what = match name {
        "idle_calendars" => "statements_per_idle_calendar",
        "idle_mailboxes" => "statements_per_idle_mailbox",
        _ => {
            let most = seen.ledger["requests_at_once"].as_u64().unwrap_or(0);
            if most > MAX_CONCURRENT {
                results.wrong.push(format!("{name}: {most} concurrent requests, more than {MAX_CONCURRENT}"));
            }
            return seen;
        }
    };
    results.add(what, statements, "<= 0.05", format!("{} statements of {streams} streams", seen.statements));
    seen
}

fn done(seen: &Seen, streams: u32) -> f64 {
    seen.sum("idle_streams") as f64 / f64::from(streams)
}

fn without_quotas(seen: &Seen) -> String {
    format!(
        "{} calls in {:.1} s, answers of {MEDIAN_MS} ms, {} concurrent requests (at most {MAX_CONCURRENT})",
        seen.calls(),
        seen.seconds,
        seen.ledger["requests_at_once"]
    )
}
