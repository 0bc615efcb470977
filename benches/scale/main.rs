//! Large tables: what questions and the engine's own statements take among ten million events. Prints tables and writes `target/bench-scale.json`.
//!
//! - the questions of docs/questions.md, about one user of many or about all, in milliseconds, and which large tables are read from end to end
//! - `calendar roll-instances`: the first computation of all instances, and the step of a day
//! - the statements of real jobs for one user, in a database with only that user, and in the large one
//!
//! `EVENTS`, `MESSAGES`, `FILES` and `USERS` are the numbers of rows. Ten million each take some 25 GB of disk.

mod fill;
#[path = "../../tests/it"]
#[allow(dead_code)]
mod it {
    pub mod support;
}
mod questions;
mod roll;
#[path = "../shared/mod.rs"]
#[allow(dead_code)]
mod shared;
mod statements;

use serde_json::json;

use it::support;

fn main() {
    let size = fill::Size::of_environment();
    let world = fill::world();
    statements::jobs(&world, 1);
    let small = statements::times(&world);
    eprintln!("{size:?}: filling …");
    fill::fill(&world, &size);
    let roll = roll::roll(&world, &size);
    fill::analyze(&world);
    statements::jobs(&world, 2);
    let large = statements::times(&world);
    let questions = questions::ask(&world, &size);

    println!("\n{:<66}{:>10}{:>8}  about  reads from end to end", "question", "ms", "rows");
    for answer in &questions {
        let about = if answer.is_for_all { "all" } else { "one" };
        println!("{:<66}{:>10.2}{:>8}  {about}    {}", answer.name, answer.ms, answer.rows, answer.whole_tables.join(", "));
    }
    println!("\n{:<52}{:>10}{:>10}", "calendar roll-instances", "seconds", "calendars");
    for step in &roll {
        println!("{:<52}{:>10.1}{:>10}", step.name, step.seconds, step.calendars);
    }
    println!(
        "\n{:>8}{:>10}{:>10}  statements of jobs that take longer among many rows (ms: alone, among many)",
        "ratio", "ms", "ms"
    );
    let slower = statements::slower(&small, &large);
    for (ratio, alone, many, text) in slower.iter().take(12) {
        println!("{ratio:>8.1}{alone:>10.3}{many:>10.3}  {text}");
    }
    let figures = json!({
        "events": size.events, "messages": size.messages, "files": size.files, "users": size.users,
        "questions_ms": questions.iter().map(|answer| (answer.name, answer.ms)).collect::<Vec<_>>(),
        "roll_seconds": roll.iter().map(|step| (step.name, step.seconds)).collect::<Vec<_>>(),
        "largest_ratio_of_a_statement": slower.first().map(|(ratio, ..)| ratio),
    });
    shared::figures::write("bench-scale.json", &figures);
}
