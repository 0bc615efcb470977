//! `syncctl db size`: what fills the database, and what makes it grow.

use super::{Output, table};
use crate::db::size::{self, Books, Table};
use crate::engine::Context;
use crate::error::Exit;

/// Below it, what an empty page holds says more than the rows.
const WORTH_TELLING: i64 = 1 << 20;

/// Runs the command.
pub async fn run(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let tables = size::read(&context.pool).await?;
    let total: i64 = tables.iter().map(total_bytes).sum();
    output.print(&serde_json::json!({ "bytes": total, "tables": tables }), || text(&tables, total))?;
    Ok(Exit::Done)
}

fn total_bytes(table: &Table) -> i64 {
    table.bytes + table.index_bytes
}

fn text(tables: &[Table], total: i64) -> String {
    let mut shown = table(&["table, index", "rows", "size", "share", "a day"]);
    let share = |bytes: i64| format!("{:.1} %", bytes as f64 * 100.0 / total.max(1) as f64);
    for entry in tables {
        shown.add_row([
            &entry.table,
            &entry.rows.to_string(),
            &bytes(total_bytes(entry)),
            &share(total_bytes(entry)),
            &growth(entry),
        ]);
        for index in entry.indexes.iter().filter(|index| index.bytes > WORTH_TELLING) {
            shown.add_row([&format!("  {}", index.index), "", &bytes(index.bytes), &share(index.bytes), ""]);
        }
    }
    let mut text = format!("{}\n{} in all; `syncctl db prune` deletes what is old", shown.trim_fmt(), bytes(total));
    let days = |by: Books| {
        let of = tables.iter().filter_map(|table| table.growth).filter(|growth| growth.by == by);
        of.map(|growth| growth.days).reduce(f64::max)
    };
    if let Some(days) = days(Books::Dates) {
        text.push_str(&format!("\na day: the mean of what came in the last {}, by the dates of the rows", length(days)));
    }
    if let Some(days) = days(Books::Counters) {
        text.push_str(&format!(
            "\n~ a day: the mean of what came and did not go in the {} that the server has counted, first syncs included",
            length(days)
        ));
    }
    text
}

/// What comes a day, where it is known.
fn growth(table: &Table) -> String {
    let Some(growth) = table.growth else { return "–".into() };
    if growth.rows_a_day < 0.5 {
        return "0".into();
    }
    let mark = if growth.by == Books::Counters { "~ " } else { "" };
    let rows = format!("{:.0} rows", growth.rows_a_day);
    // What a row takes now, indexes included, is what another one will take.
    match total_bytes(table) >= WORTH_TELLING && table.rows > 0 {
        true => format!("{mark}+{} ({rows})", bytes((growth.rows_a_day * total_bytes(table) as f64 / table.rows as f64) as i64)),
        false => format!("{mark}+{rows}"),
    }
}

fn length(days: f64) -> String {
    if days < 2.0 { format!("{:.0} hours", days * 24.0) } else { format!("{days:.0} days") }
}

/// In the unit that reads well, binary.
fn bytes(bytes: i64) -> String {
    let mut rest = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        match rest {
            _ if rest < 10.0 && unit != "B" => return format!("{rest:.1} {unit}"),
            _ if rest < 1024.0 => return format!("{rest:.0} {unit}"),
            _ => rest /= 1024.0,
        }
    }
    format!("{rest:.0} PiB")
}
