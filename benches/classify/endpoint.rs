//! The model endpoint, called by the real binary with a real PostgreSQL: how often it is called, whether its budgets hold, the effect of
//! injections, and the cost of a day without it. The model is the simulator's.

mod away;
mod budgets;
mod injections;
mod mailbox;
mod share;

use crate::corpus::Document;
use crate::table::Table;

pub fn measure(mail: &[Document], table: &mut Table) {
    share::measure(mail, table);
    budgets::measure(mail, table);
    injections::measure(table);
    away::measure(mail, table);
}
