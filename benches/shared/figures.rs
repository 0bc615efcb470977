//! Times, CPU times, medians, and the file for figures.

use std::time::Instant;

use serde_json::Value;

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds of the work, and its result.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed().as_secs_f64(), result)
}

/// CPU time, in seconds, of all ended children.
pub fn cpu_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc/self/stat");
    // The name is in parentheses and may contain blanks. After it, cutime and cstime are the 14th and 15th field.
    let fields = stat.rsplit_once(')').expect("a name").1;
    let ticks: f64 = fields.split_whitespace().skip(13).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum();
    // Linux reports a hundred ticks per second to programs, whatever it uses internally.
    ticks / 100.0
}

/// The path for a benchmark's figures: `bench.json` and similar in cargo's target folder.
pub fn path(file: &str) -> String {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    format!("{target}/{file}")
}

/// Writes the figures and prints the path.
pub fn write(file: &str, figures: &Value) {
    let path = path(file);
    std::fs::write(&path, serde_json::to_string_pretty(figures).expect("JSON")).unwrap_or_else(|error| panic!("{path}: {error}"));
    println!("\nwritten to {path}");
}
