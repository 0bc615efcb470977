//! Options of lists: which part of it, or only the ids, for pipes.

use clap::Args;
use serde::Serialize;

use super::nouns::grouped;
use super::{Output, hints, print};
use crate::progress;

/// Options of lists that may be long.
#[derive(Debug, Clone, Copy, Args)]
pub struct Page {
    /// Maximum number of rows
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub limit: u32,
    /// Leave out this many rows at the beginning
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub offset: u32,
    #[command(flatten)]
    pub ids: Ids,
}

/// Options of lists that are printed completely unless told otherwise.
#[derive(Debug, Clone, Copy, Args)]
pub struct Part {
    /// Maximum number of rows (default: all)
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    /// Leave out this many rows at the beginning
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    offset: u32,
    #[command(flatten)]
    pub ids: Ids,
}

/// The form of a list for pipes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Ids {
    /// Print only the ids, one per line
    #[arg(long = "ids", conflicts_with = "json")]
    only: bool,
}

impl Ids {
    /// Prints a list: as a table or JSON, or only the ids.
    ///
    /// # Errors
    /// Returns an error if the output could not be written.
    pub fn print(
        self,
        output: Output,
        list: &impl Serialize,
        ids: impl Iterator<Item = String>,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if !self.only {
            return output.print(list, text);
        }
        let ids: Vec<String> = ids.collect();
        if ids.is_empty() || output.quiet { Ok(()) } else { print(&progress::harmless(&ids.join("\n"))) }
    }
}

impl Page {
    /// Whether a person wants to know how long the list is: it is cut, and printed as a table.
    pub fn needs_total(self, output: Output, shown: usize) -> bool {
        !self.ids.only && hints::are_wanted(output) && (self.offset > 0 || shown >= self.limit as usize)
    }

    /// Prints which part of the list is shown, if a person reads along and it is not all of it. `total`: `None` if it is not known.
    pub fn footer(self, output: Output, shown: usize, total: Option<i64>) {
        let total = total.map(i64::unsigned_abs);
        if let Some(text) = part(u64::from(self.offset), shown as u64, total).filter(|_| self.needs_total(output, shown)) {
            hints::footer(output, &text);
        }
    }
}

impl Part {
    /// Cuts a list.
    pub fn of<T>(self, rows: Vec<T>) -> Vec<T> {
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        rows.into_iter().skip(self.offset as usize).take(limit).collect()
    }

    /// Prints which part of the list is shown, if a person reads along and it is not all of it.
    pub fn footer(self, output: Output, shown: usize, total: usize) {
        if let Some(text) = part(u64::from(self.offset), shown as u64, Some(total as u64)).filter(|_| !self.ids.only) {
            hints::footer(output, &text);
        }
    }
}

/// `50 of 50,153; --offset 50 shows the next ones`; `None`: these are all.
fn part(offset: u64, shown: u64, total: Option<u64>) -> Option<String> {
    let end = offset + shown;
    let rows = if offset == 0 || shown == 0 { grouped(shown) } else { format!("{}–{}", grouped(offset + 1), grouped(end)) };
    match total {
        Some(total) if total > end => Some(format!("{rows} of {}; --offset {end} shows the next ones", grouped(total))),
        Some(total) if total > shown => Some(format!("{rows} of {}", grouped(total))),
        Some(_) => None,
        None => Some(format!("{rows}; --offset {end} shows the next ones, if there are more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_list_says_of_how_many_and_how_to_see_the_next() {
        let next = |text: &str, offset: u64| Some(format!("{text}; --offset {offset} shows the next ones"));
        assert_eq!(part(0, 50, Some(50_153)), next("50 of 50,153", 50));
        assert_eq!(part(50, 50, Some(50_153)), next("51–100 of 50,153", 100));
        assert_eq!(part(50_100, 53, Some(50_153)).as_deref(), Some("50,101–50,153 of 50,153"));
        assert_eq!(part(60_000, 0, Some(50_153)).as_deref(), Some("0 of 50,153"));
        assert_eq!(part(0, 3, Some(3)), None);
        assert_eq!(part(0, 50, None).as_deref(), Some("50; --offset 50 shows the next ones, if there are more"));
    }
}
