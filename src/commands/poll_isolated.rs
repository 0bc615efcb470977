//! `syncctl poll-isolated`: started by a run for streams whose process died twice. Internal.

use anyhow::Context as _;

use super::{signals, with_context};
use crate::db::claims::Selection;
use crate::engine::announce;
use crate::engine::isolated::{self, Order};
use crate::engine::job::Job;
use crate::error::Exit;
use crate::services::registry;

/// Reads the order from standard input.
pub fn order() -> anyhow::Result<Order> {
    let order = std::io::read_to_string(std::io::stdin()).context("reading what to poll from standard input")?;
    serde_json::from_str(&order).context("this command is started by runs, which pass what to poll; use `batch-poll` instead")
}

/// Polls the streams of the order and reports progress on standard output.
pub fn run(order: Order) -> anyhow::Result<Exit> {
    announce::begin();
    // The run that started this process tells the user.
    signals::expect();
    let Order { settings, service, run, job, streams, max_duration } = order;
    with_context(settings, |context| async move {
        let job = Job {
            name: job,
            exclusive: false,
            dry_run: false,
            selection: Selection { force: true, apart: Some(streams), ..Selection::default() },
            max_duration,
            scopes: registry::scopes(&context.settings),
            unknown: Vec::new(),
            part_of: Some(run),
        };
        isolated::print_report((registry::of_streams(&service)?.run)(&context, &job).await?)?;
        Ok(Exit::Done)
    })
}
