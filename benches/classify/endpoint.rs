//! The model endpoint, asked by the real binary over a real PostgreSQL: how much it is asked, what its budgets hold, what injections reach, and what a day
//! without it costs. The model is the simulator's.

mod away;
mod budgets;
mod injections;
mod mailbox;
mod share;

use crate::corpus::Document;
use crate::table::Table;

pub fn tell(mail: &[Document], table: &mut Table) {
    share::tell(mail, table);
    budgets::tell(mail, table);
    injections::tell(table);
    away::tell(mail, table);
}
