//! The questions of docs/questions.md.

use crate::fill::Size;
use crate::shared::figures::{median, timed};
use crate::support::World;
use crate::support::page::questions;

const ROUNDS: usize = 5;

/// Tables of which one user's part is small.
const LARGE: [&str; 6] =
    ["calendar_events", "calendar_instances", "gmail_messages", "drive_files", "drive_file_access", "drive_permissions"];

pub struct Answer {
    pub name: &'static str,
    /// It is about all users, not one.
    pub is_for_all: bool,
    /// Median of the rounds after the first.
    pub ms: f64,
    pub rows: usize,
    /// The large tables that the plan reads from end to end.
    pub whole_tables: Vec<&'static str>,
}

/// Asks each question about a user in the middle, several times.
pub fn ask(world: &World, size: &Size) -> Vec<Answer> {
    let user = format!("many{}@example.com", size.users / 2);
    let mut client = world.database.connect();
    let file = world.text(&format!(
        "SELECT file_id FROM drive_file_access a JOIN users u ON u.id = a.user_id WHERE u.email = '{user}' LIMIT 1"
    ));
    // The examples of the page.
    let values = [
        ("ann@example.com", user.clone()),
        ("bob@example.com", "many2@example.com".into()),
        ("eve@example.com", "many3@example.com".into()),
        ("FILE_ID", file),
        ("/Plans/2026/", "/File 1/".into()),
        ("CURSOR", world.text("SELECT changes_cursor(NULL)")),
    ];
    let mut answers: Vec<Answer> = questions()
        .into_iter()
        .map(|(name, sql)| {
            let sql = values.iter().fold(sql.to_owned(), |sql, (example, value)| sql.replace(example, value));
            let (mut times, mut rows) = (Vec::new(), 0);
            // The first fills the caches.
            for _ in 0..=ROUNDS {
                let (seconds, found) = timed(|| client.query(&sql, &[]).unwrap_or_else(|error| panic!("{name}: {error}")));
                times.push(seconds * 1_000.0);
                rows = found.len();
            }
            let plan: Vec<String> =
                client.query(&format!("EXPLAIN {sql}"), &[]).expect("a plan").iter().map(|row| row.get(0)).collect();
            let is_whole = |table: &&str| plan.iter().any(|line| line.contains(&format!("Seq Scan on {table} ")));
            let is_for_all = !values[..5].iter().any(|(_, value)| sql.contains(value.as_str()));
            Answer {
                name,
                is_for_all,
                ms: median(times.split_off(1)),
                rows,
                whole_tables: LARGE.into_iter().filter(is_whole).collect(),
            }
        })
        .collect();
    let agenda = ["calendar", "agenda", &user, "--week"];
    let times = (0..ROUNDS).map(|_| timed(|| world.syncctl(&agenda).expect(0)).0 * 1_000.0).collect();
    let name = "`syncctl calendar agenda --week`, the whole process";
    answers.push(Answer { name, is_for_all: false, ms: median(times), rows: 0, whole_tables: Vec::new() });
    answers
}
