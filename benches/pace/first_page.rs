//! A thousand new users together: how long the last of them waits for their newest page.

use syncctl::config::Gmail;

use crate::ground::Ground;
use crate::onboard::units_of_mailbox;
use crate::results::{Bound, Results};
use crate::run::run_until;
use crate::scale::scaled;

const MESSAGES: u32 = 300;

pub fn first_page() -> Results {
    let users = scaled(1_000);
    eprintln!("first_page: {users} new users, mailboxes of {MESSAGES} messages …");
    let page = Gmail::default().page_size;
    let ground = Ground::of_mailboxes(users, MESSAGES);
    let limits = ground.limits();
    let bound = Bound::of(users, units_of_mailbox(page), limits.project_per_minute, limits.user_per_minute);
    let total = i64::from(users * MESSAGES);
    let began: f64 = ground.query("SELECT extract(epoch FROM clock_timestamp())::float8")[0].get(0);
    let seen = run_until(&ground, || ground.count("SELECT count(*) FROM gmail_messages") == total);
    // Lists are newest first, so the stored part of a mailbox is its newest.
    let rows = ground.query(&format!(
        "SELECT extract(epoch FROM max(came_at))::float8 FROM (SELECT user_id, came_at,
           row_number() OVER (PARTITION BY user_id ORDER BY received_at DESC) AS place FROM gmail_messages) m
         WHERE place <= {page} GROUP BY user_id HAVING count(*) = {page} ORDER BY 1"
    ));
    let waited: Vec<f64> = rows.iter().map(|row| row.get::<_, f64>(0) - began).collect();
    let done = waited.len() as f64 / f64::from(users);
    let last = if done < 1.0 { seen.seconds } else { waited[waited.len() - 1] };
    let mut results = Results::default();
    results.add_relative("first_page_last_user_over_bound", "<= 1.5", (last, &bound, done));
    results.add_run("first_page", &seen);
    results
}
