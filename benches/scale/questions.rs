//! Likely questions about one user of many.

use crate::fill::Size;
use crate::shared::figures::{median, timed};
use crate::support::World;

const ROUNDS: usize = 7;

/// Tables of which one user's part is small.
const LARGE: [&str; 6] =
    ["calendar_events", "calendar_instances", "gmail_messages", "drive_files", "drive_file_access", "drive_permissions"];

pub struct Answer {
    pub name: &'static str,
    /// Median of the rounds after the first.
    pub ms: f64,
    pub rows: usize,
    /// The large tables that the plan reads from end to end.
    pub whole_tables: Vec<&'static str>,
}

const QUESTIONS: [(&str, &str); 12] = [
    (
        "events of a week",
        "SELECT title, start_at, end_at, calendar FROM my_agenda WHERE email = $1 AND during && tstzrange(now(), now() + interval '7 days') ORDER BY 2",
    ),
    (
        "who is free on a day, of five",
        "SELECT email, range_agg(during) FROM busy WHERE email IN ($1, 'many2@example.com', 'many3@example.com', 'many4@example.com', 'many5@example.com')
           AND during && tstzrange(now(), now() + interval '1 day') GROUP BY 1",
    ),
    (
        "hours in meetings by week, four weeks",
        "SELECT date_trunc('week', start_at), sum(end_at - start_at) FROM my_agenda WHERE email = $1 AND attendees_count > 1 AND busy
           AND during && tstzrange(now() - interval '4 weeks', now()) GROUP BY 1",
    ),
    (
        "meetings with outsiders, a week",
        "SELECT DISTINCT a.ical_uid, a.original_start, a.email FROM meeting_attendees a JOIN users u ON u.id = a.user_id
         WHERE u.email = $1 AND a.during && tstzrange(now(), now() + interval '7 days') AND a.email NOT LIKE '%@example.com'",
    ),
    ("mail with a label", "SELECT received_at, subject FROM gmail_messages_by_label WHERE email = $1 AND label = 'Invoices' ORDER BY 1 DESC LIMIT 50"),
    ("unread mail by sender", "SELECT from_address, count(*) FROM gmail_messages_by_label WHERE email = $1 AND label = 'UNREAD' GROUP BY 1 ORDER BY 2 DESC"),
    ("threads with unread mail", "SELECT subject, unread FROM gmail_threads WHERE email = $1 AND unread > 0 ORDER BY last_at DESC LIMIT 50"),
    ("who owns a file", "SELECT owners FROM drive_files WHERE file_id = (SELECT file_id FROM drive_file_access a JOIN users u ON u.id = a.user_id WHERE u.email = $1 LIMIT 1)"),
    ("files shared outside", "SELECT name, shared_with FROM drive_shared_outside WHERE user_email = $1"),
    (
        "files changed in a folder, a week",
        "SELECT p.path, f.modified_at FROM drive_paths p JOIN users u ON u.id = p.user_id JOIN drive_files f USING (file_id)
         WHERE u.email = $1 AND p.path LIKE '/File 1/%' AND f.modified_at > now() - interval '7 days'",
    ),
    ("nothing changed since a cursor", "SELECT message_id FROM gmail_messages WHERE $1 <> '' AND changes_since(changed_xid, 'CURSOR')"),
    ("large mail of a year", "SELECT subject, size_estimate FROM gmail_messages m JOIN users u ON u.id = m.user_id WHERE u.email = $1 AND received_at > now() - interval '1 year' ORDER BY 2 DESC LIMIT 20"),
];

/// Asks each question about a user in the middle, several times.
pub fn ask(world: &World, size: &Size) -> Vec<Answer> {
    let user = format!("many{}@example.com", size.users / 2);
    let cursor = world.text("SELECT changes_cursor(NULL)");
    let mut client = world.database.connect();
    let mut answers: Vec<Answer> = QUESTIONS
        .iter()
        .map(|&(name, text)| {
            let text = text.replace("CURSOR", &cursor);
            let statement =
                client.prepare_typed(&text, &[postgres::types::Type::TEXT]).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut times = Vec::new();
            let mut rows = 0;
            for _ in 0..=ROUNDS {
                let (seconds, found) =
                    timed(|| client.query(&statement, &[&user]).unwrap_or_else(|error| panic!("{name}: {error}")));
                times.push(seconds * 1_000.0);
                rows = found.len();
            }
            let explain = format!("EXPLAIN {}", text.replace("$1", &format!("'{user}'")));
            let plan: Vec<String> = client.query(&explain, &[]).expect("a plan").iter().map(|row| row.get(0)).collect();
            let is_whole = |table: &&str| plan.iter().any(|line| line.contains(&format!("Seq Scan on {table} ")));
            Answer { name, ms: median(times.split_off(1)), rows, whole_tables: LARGE.into_iter().filter(is_whole).collect() }
        })
        .collect();
    let agenda = ["calendar", "agenda", &user, "--week"];
    let times = (0..ROUNDS).map(|_| timed(|| world.syncctl(&agenda).expect(0)).0 * 1_000.0).collect();
    answers.push(Answer {
        name: "`syncctl calendar agenda --week`, the whole process",
        ms: median(times),
        rows: 0,
        whole_tables: Vec::new(),
    });
    answers
}
