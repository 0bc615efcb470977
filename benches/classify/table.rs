//! Figures in order of measurement: printed immediately, and kept for the file.

use serde_json::{Map, Value};

#[derive(Default)]
pub struct Table(Map<String, Value>);

impl Table {
    pub fn add(&mut self, name: &str, measured: f64, aim: Option<&str>, about: &str) {
        if self.0.is_empty() {
            println!("{:<32}{:>12}  {:<9}", "figure", "measured", "aim");
        }
        let shown = if measured >= 1_000.0 { format!("{measured:.0}") } else { format!("{measured:.3}") };
        println!("{name:<32}{shown:>12}  {:<9} {about}", aim.unwrap_or("–"));
        self.0.insert(name.into(), measured.into());
    }

    pub fn figures(self) -> Value {
        Value::Object(self.0)
    }
}
