//! Idle passes: ten thousand feeds in which nothing has changed, with answers that take their time.

use serde_json::json;

use crate::ground::{Ground, MEDIAN_MS};
use crate::run::{Seen, run};
use crate::scale::scaled;
use crate::support::service::{CALENDAR, GMAIL};
use crate::told::{Bound, Told};

/// Most requests that may be under way at once.
const AT_ONCE: u64 = 32;
const CALENDARS: u32 = 4;

/// Both, at Google's quotas and without.
pub fn both() -> Told {
    let mut told = Told::default();
    calendars(&mut told);
    mailboxes(&mut told);
    told
}

fn calendars(told: &mut Told) {
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
    let seen = pass(&ground, told, "idle_calendars", (true, i64::from(users * CALENDARS)));
    told.over("idle_calendars_over_bound", "<= 1.1", (seen.seconds, &bound, done(&seen, users * CALENDARS)));
    ground.unlimit();
    let seen = pass(&ground, told, "idle_calendars_without_quotas", (false, i64::from(users * CALENDARS)));
    told.add("idle_150ms_calls_per_s", seen.calls() as f64 / seen.seconds, ">= 2000", without_quotas(&seen));
}

fn mailboxes(told: &mut Told) {
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
    let seen = pass(&ground, told, "idle_mailboxes", (true, i64::from(users)));
    let bound = Bound { words: format!("{}: it does not bind, times of answers do", bound.words), ..bound };
    told.over("idle_mailboxes_over_bound", "–", (seen.seconds, &bound, done(&seen, users)));
    ground.unlimit();
    let seen = pass(&ground, told, "idle_mailboxes_without_quotas", (false, i64::from(users)));
    told.add("idle_150ms_mailboxes_calls_per_s", seen.calls() as f64 / seen.seconds, ">= 2000", without_quotas(&seen));
}

/// One pass over all streams of the service's own kind.
fn pass(ground: &Ground, told: &mut Told, name: &'static str, (limited, streams): (bool, i64)) -> Seen {
    let kind = if ground.service.name == "gmail" { "mailbox" } else { "events" };
    assert_eq!(ground.make_due(kind), streams, "streams in step");
    let cron = [ground.service.name, "cron", "--json"];
    let seen = run(ground, if limited { ground.command(&cron) } else { ground.command_without_quota(&cron) });
    told.ran(name, &seen);
    let statements = seen.statements as f64 / streams as f64;
    let what = match name {
        "idle_calendars" => "statements_per_idle_calendar",
        "idle_mailboxes" => "statements_per_idle_mailbox",
        _ => {
            let most = seen.ledger["requests_at_once"].as_u64().unwrap_or(0);
            if most > AT_ONCE {
                told.wrong.push(format!("{name}: {most} requests at once, more than {AT_ONCE}"));
            }
            return seen;
        }
    };
    told.add(what, statements, "<= 0.05", format!("{} statements of {streams} streams", seen.statements));
    seen
}

fn done(seen: &Seen, streams: u32) -> f64 {
    seen.sum("idle_streams") as f64 / f64::from(streams)
}

fn without_quotas(seen: &Seen) -> String {
    format!(
        "{} calls in {:.1} s, answers of {MEDIAN_MS} ms, {} requests at once (at most {AT_ONCE})",
        seen.calls(),
        seen.seconds,
        seen.ledger["requests_at_once"]
    )
}
