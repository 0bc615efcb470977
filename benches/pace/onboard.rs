//! Concurrent first syncs with Google's quotas and latency.

use serde_json::json;
use syncctl::config::Gmail;

use crate::ground::Ground;
use crate::results::{Bound, Results};
use crate::run::run_until;
use crate::scale::scaled;
use crate::support::service::CALENDAR;

const MESSAGES: u32 = 480;
const CALENDARS: u32 = 4;
const EVENTS: u32 = 50;

/// Units for fetching a message.
const GET: u32 = 20;

/// Units of the first sync of a mailbox: its profile, its pages, and each message.
pub fn units_of_mailbox(messages: u32) -> u64 {
    u64::from(1 + messages.div_ceil(Gmail::default().page_size) * 5 + messages * GET)
}

/// 200 mailboxes of 480 messages.
pub fn mailboxes() -> Results {
    let users = scaled(200);
    eprintln!("onboard: {users} mailboxes of {MESSAGES} messages …");
    let ground = Ground::of_mailboxes(users, MESSAGES);
    let limits = ground.limits();
    let total = i64::from(users * MESSAGES);
    let stored = || ground.count("SELECT count(*) FROM gmail_messages");
    let seen = run_until(&ground, || stored() == total);
    // Mail to virtual addresses is additionally fetched in full.
    let fetched_in_full = ground.count("SELECT count(*) FROM documents WHERE source = 'gmail'").unsigned_abs() * u64::from(GET);
    let units = units_of_mailbox(MESSAGES) + fetched_in_full / u64::from(users);
    let bound = Bound::of(users, units, limits.project_per_minute, limits.user_per_minute);
    let mut results = Results::default();
    results.add_relative("onboard_over_bound", "<= 1.15", (seen.seconds, &bound, stored() as f64 / total as f64));
    results.add_run("onboard", &seen);
    results
}

/// 10,000 calendars of 50 events, four of each user.
pub fn calendars() -> Results {
    let users = scaled(2_500);
    eprintln!("onboard_calendars: {} calendars of {EVENTS} events …", users * CALENDARS);
    let ground = Ground::of(&CALENDAR);
    let order = json!({ "users": users, "calendars_per_user": CALENDARS, "events_per_user": CALENDARS * EVENTS, "seed": 7 });
    ground.sim.admin("generate", order);
    ground.import();
    ground.slow();
    ground.limit();
    let limits = ground.limits();
    // A page of each calendar, and one of each user's list of them.
    let bound = Bound::of(users, u64::from(CALENDARS + 1), limits.project_per_minute, limits.user_per_minute);
    let total = i64::from(users * CALENDARS * EVENTS);
    let stored = || ground.count("SELECT count(*) FROM calendar_events WHERE deleted_at IS NULL");
    let seen = run_until(&ground, || stored() == total);
    let mut results = Results::default();
    results.add_relative("onboard_calendars_over_bound", "<= 1.15", (seen.seconds, &bound, stored() as f64 / total as f64));
    results.add_run("onboard_calendars", &seen);
    results
}
