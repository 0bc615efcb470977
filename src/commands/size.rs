//! `syncctl db size`: shows what fills the database and what makes it grow.

use super::{Output, table};
use crate::db::size::{self, Books, Table};
use crate::engine::Context;
use crate::error::Exit;

/// Size below which empty pages distort the bytes per row.
const MIN_BYTES: i64 = 1 << 20;

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
        for index in entry.indexes.iter().filter(|index| index.bytes > MIN_BYTES) {
            shown.add_row([&format!("  {}", index.index), "", &bytes(index.bytes), &share(index.bytes), ""]);
        }
    }
    let mut text = format!("{}\n{} in total; `syncctl db prune` deletes old rows", shown.trim_fmt(), bytes(total));
    let days = |by: Books| {
        let of = tables.iter().filter_map(|table| table.growth).filter(|growth| growth.by == by);
        of.map(|growth| growth.days).reduce(f64::max)
    };
    if let Some(days) = days(Books::Dates) {
        text.push_str(&format!("\na day: mean of new rows in the last {}, by the dates of the rows", length(days)));
    }
    if let Some(days) = days(Books::Counters) {
        text.push_str(&format!(
            "\n~ a day: mean of rows added minus deleted in the {} counted by the server, including first syncs",
            length(days)
        ));
    }
    text
}

/// Formats the growth per day, if known.
fn growth(table: &Table) -> String {
    let Some(growth) = table.growth else { return "–".into() };
    if growth.rows_a_day < 0.5 {
        return "0".into();
    }
    let mark = if growth.by == Books::Counters { "~ " } else { "" };
    let rows = format!("{:.0} rows", growth.rows_a_day);
    // Assume that a new row takes as much space as the present ones, including indexes.
    if total_bytes(table) >= MIN_BYTES && table.rows > 0 {
        format!("{mark}+{} ({rows})", bytes((growth.rows_a_day * total_bytes(table) as f64 / table.rows as f64) as i64))
    } else {
        format!("{mark}+{rows}")
    }
}

fn length(days: f64) -> String {
    if days < 2.0 { format!("{:.0} hours", days * 24.0) } else { format!("{days:.0} days") }
}

/// Formats bytes in a suitable binary unit.
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
