//! What a scenario found, and how it is shown.

use serde_json::{Map, Value, json};

use crate::run::Seen;

/// A figure that is held against something.
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    pub aim: &'static str,
    /// What it is made of.
    pub how: String,
}

/// All that a scenario found.
#[derive(Default)]
pub struct Told {
    pub figures: Vec<Figure>,
    /// What was seen of its runs, by name.
    runs: Vec<(&'static str, Value)>,
    /// What must not be so; a figure whose work was not done is no figure.
    pub wrong: Vec<String>,
}

/// Seconds that quotas alone ask for.
pub struct Bound {
    pub seconds: f64,
    /// How they come about.
    pub words: String,
}

impl Bound {
    /// The time in which the project may spend all units, and a user his own, whichever is longer.
    pub fn of(users: u32, units_of_user: u64, project_per_minute: u64, user_per_minute: u64) -> Self {
        let units = u64::from(users) * units_of_user;
        let minutes = |units: u64, limit: u64| units as f64 / limit as f64 * 60.0;
        let (project, user) = (minutes(units, project_per_minute), minutes(units_of_user, user_per_minute));
        let words = format!(
            "bound {:.1} s: {units} units at {project_per_minute} a minute take {project:.1} s, a user's {units_of_user} at \
             {user_per_minute} take {user:.1} s",
            project.max(user)
        );
        Self { seconds: project.max(user), words }
    }
}

impl Told {
    /// A figure.
    pub fn add(&mut self, name: &'static str, value: f64, aim: &'static str, how: impl Into<String>) {
        self.figures.push(Figure { name, value, aim, how: how.into() });
    }

    /// A time over its bound; `done`: the share of the work that was done in it.
    pub fn over(&mut self, name: &'static str, aim: &'static str, (seconds, bound, done): (f64, &Bound, f64)) {
        let mut how = format!("{seconds:.1} s; {}", bound.words);
        if done < 1.0 {
            let cut = format!("CUT OFF with {:.1} % done", done * 100.0);
            how = format!("{cut}: {how}");
            self.wrong.push(format!("{name}: {cut}, so it is more than {:.3}", seconds / bound.seconds));
        }
        self.add(name, seconds / bound.seconds, aim, how);
    }

    /// What was seen of a run.
    pub fn ran(&mut self, name: &'static str, seen: &Seen) {
        self.runs.push((name, seen.json()));
    }

    pub fn print(&self) {
        println!("\n{:<44}{:>10}  {:<9} how", "figure", "measured", "aim");
        for Figure { name, value, aim, how } in &self.figures {
            println!("{name:<44}{value:>10.3}  {aim:<9} {how}");
        }
        println!(
            "\n{:<44}{:>10}{:>12}{:>10}{:>12}{:>10}{:>10}{:>12}",
            "run", "seconds", "RSS, MiB", "calls", "beyond", "share", "at once", "statements"
        );
        for (name, run) in &self.runs {
            let beyond: u64 = run["beyond"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
            let number = |key: &str| run[key].as_f64().unwrap_or(0.0);
            let whole = |key: &str| run[key].as_u64().unwrap_or(0);
            println!(
                "{name:<44}{:>10.1}{:>12.1}{:>10}{beyond:>12}{:>10.5}{:>10}{:>12}",
                number("seconds"),
                number("peak_rss_kib") / 1024.0,
                whole("calls"),
                number("beyond_share"),
                whole("requests_at_once"),
                whole("statements")
            );
        }
        println!("aims of all runs: RSS <= 64 MiB, calls beyond a limit < 0.001 of all");
    }

    /// Puts its figures among those of other scenarios, which may be of an earlier day.
    pub fn merge_into(&self, all: &mut Map<String, Value>, scenario: &str) {
        for Figure { name, value, .. } in &self.figures {
            all.insert((*name).to_owned(), json!(value));
        }
        for (name, run) in &self.runs {
            all.entry("runs").or_insert_with(|| json!({}))[*name] = run.clone();
        }
        // The worst of all runs in the file.
        for key in ["peak_rss_kib", "beyond_share"] {
            let runs = all.get("runs").and_then(Value::as_object);
            let worst = runs.into_iter().flatten().filter_map(|(_, run)| run[key].as_f64()).fold(0.0, f64::max);
            all.insert(key.to_owned(), json!(worst));
        }
        all.entry("measured").or_insert_with(|| json!({}))[scenario] =
            json!({ "at": chrono::Utc::now(), "scale": crate::scale::scale(), "wrong": self.wrong });
    }
}
