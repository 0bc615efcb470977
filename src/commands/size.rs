//! `syncctl db size`: what fills the database, and what makes it grow.

use super::{Output, table};
use crate::db::size::{self, Table};
use crate::engine::Context;
use crate::error::Exit;

/// Runs the command.
pub async fn run(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let tables = size::read(&context.pool).await?;
    let total: i64 = tables.iter().map(|table| table.bytes + table.index_bytes).sum();
    output.print(&serde_json::json!({ "bytes": total, "tables": tables }), || text(&tables, total))?;
    Ok(Exit::Done)
}

fn text(tables: &[Table], total: i64) -> String {
    let mut shown = table(&["table, index", "rows", "size", "share", "a day"]);
    let share = |bytes: i64| format!("{:.1} %", bytes as f64 * 100.0 / total.max(1) as f64);
    for entry in tables {
        let whole = entry.bytes + entry.index_bytes;
        let rows = entry.rows.map_or_else(|| "–".into(), |rows| rows.to_string());
        // What a row takes now, indexes included, is what another one will take.
        let a_row = entry.rows.filter(|rows| *rows > 0).map(|rows| whole as f64 / rows as f64);
        let growth = match (entry.rows_a_day, a_row) {
            (Some(rows), Some(a_row)) if rows >= 1.0 => format!("+{} ({rows:.0} rows)", bytes((rows * a_row) as i64)),
            (Some(_), _) => "0".into(),
            (None, _) => "–".into(),
        };
        shown.add_row([&entry.table, &rows, &bytes(whole), &share(whole), &growth]);
        // What a page holds is not worth a line.
        for index in entry.indexes.iter().filter(|index| index.bytes > 1 << 20) {
            shown.add_row([&format!("  {}", index.index), "", &bytes(index.bytes), &share(index.bytes), ""]);
        }
    }
    format!("{}\n{} in all; `syncctl db prune` deletes what is old", shown.trim_fmt(), bytes(total))
}

/// In the unit that reads well, binary.
fn bytes(bytes: i64) -> String {
    let mut rest = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if rest < 1024.0 {
            return format!("{rest:.0} {unit}");
        }
        rest /= 1024.0;
    }
    format!("{rest:.1} TiB")
}
