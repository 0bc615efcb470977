//! The results of a scenario, and their output.

use serde_json::{Map, Value, json};

use crate::run::Seen;

/// A figure with its target.
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    pub aim: &'static str,
    /// How it was computed.
    pub how: String,
}

/// All results of a scenario.
#[derive(Default)]
pub struct Results {
    pub figures: Vec<Figure>,
    /// Measurements of its runs, by name.
    runs: Vec<(&'static str, Value)>,
    /// Failed preconditions; a figure whose work was not done is invalid.
    pub wrong: Vec<String>,
}

/// Seconds required by quotas alone.
pub struct Bound {
    pub seconds: f64,
    /// How they are computed.
    pub words: String,
}

impl Bound {
    /// The time in which the project may spend all units, and a user their own, whichever is longer.
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

impl Results {
    /// Adds a figure.
    pub fn add(&mut self, name: &'static str, value: f64, aim: &'static str, how: impl Into<String>) {
        self.figures.push(Figure { name, value, aim, how: how.into() });
    }

    /// A time relative to its bound; `done`: the share of the work done in it.
    pub fn add_relative(&mut self, name: &'static str, aim: &'static str, (seconds, bound, done): (f64, &Bound, f64)) {
        let mut how = format!("{seconds:.1} s; {}", bound.words);
        if done < 1.0 {
            let cut = format!("CUT OFF with {:.1} % done", done * 100.0);
            how = format!("{cut}: {how}");
            self.wrong.push(format!("{name}: {cut}, so it is more than {:.3}", seconds / bound.seconds));
        }
        self.add(name, seconds / bound.seconds, aim, how);
    }

    /// Adds the measurements of a run.
    pub fn add_run(&mut self, name: &'static str, seen: &Seen) {
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
            let integer = |key: &str| run[key].as_u64().unwrap_or(0);
            println!(
                "{name:<44}{:>10.1}{:>12.1}{:>10}{beyond:>12}{:>10.5}{:>10}{:>12}",
                number("seconds"),
                number("peak_rss_kib") / 1024.0,
                integer("calls"),
                number("beyond_share"),
                integer("requests_at_once"),
                integer("statements")
            );
        }
        println!("aims of all runs: RSS <= 64 MiB, calls beyond a limit < 0.001 of all");
    }

    /// Merges its figures with those of other scenarios, which may be older.
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
