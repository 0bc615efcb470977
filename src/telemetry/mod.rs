//! Jobs, told to who watches over them. Nothing here ever fails a job. Knows no engine and no database.

pub mod healthchecks;
pub mod traces;
