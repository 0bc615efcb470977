//! `renew-watches` and `renew-webhooks`: jobs that keep push channels alive.

use super::verbs::{Bounds, RenewArgs};
use super::{Output, jobs};
use crate::db::claims::Selection;
use crate::engine::Context;
use crate::engine::push::{self, Mode, Pushed};
use crate::error::Exit;

/// Opens and renews channels by age, or repairs unhealthy ones.
pub async fn renew<S: Pushed>(
    args: &RenewArgs,
    context: &Context,
    source: S,
    mode: Mode,
    output: Output,
) -> anyhow::Result<Exit> {
    let verb = match mode {
        Mode::Age => "renew-watches",
        Mode::Health => "renew-webhooks",
    };
    let bounds = Bounds { max_duration: args.max_duration, dry_run: false };
    let mut job = jobs::job(context, S::TABLES.service, verb, Selection::default(), bounds);
    job.exclusive = true;
    if let Some(name) = &args.user {
        jobs::only(context, S::TABLES, &mut job, name).await?;
    }
    let mut report = push::renew(context, source, &job, mode).await?;
    if S::address(&context.settings.push).is_empty() {
        report
            .skipped
            .push("every stream: [push] in the settings has no address for them; remaining channels are stopped".into());
    }
    jobs::finish(report, output)
}
