//! Makes one call to find out whether a paused project may be called again. Independent of any service.

use std::sync::Arc;

use super::outcome::PollEnd;
use super::poll::{self, Until};
use super::queue::Taken;
use super::shared::Shared;
use super::slice::{Sliced, Task};
use super::{Source, workers};
use crate::db::claims::{self, Claim};
use crate::db::quota;

/// Polls one stream, or requests one page of its pass, for each project whose pause is due for a probe. The pause is lifted if the call is answered;
/// otherwise it stays, and the next probe comes after a longer wait.
///
/// # Errors
/// Returns an error if the database is gone.
pub async fn probe<S: Source>(shared: &Arc<Shared<S>>) -> anyhow::Result<()> {
    let pool = &shared.context.pool;
    let mut ended = Vec::new();
    for (project, id) in quota::take_probes(pool, S::TABLES.service).await? {
        let lease = shared.context.settings.engine.lease.as_secs_f64();
        let claim = Claim { run: shared.run, lease, ids: &[id], force: false, settings: &shared.pass_settings };
        let Some(row) = claims::claim(pool, &claim).await?.pop() else { continue };
        shared.held().insert(id);
        let why = shared.meter.resume(&project);
        shared.queue.state().add(Task::of(&shared.source, row));
        let taken = shared.queue.take(shared.turns(), |task| shared.admit(task));
        let Taken::Task(task, granted) = taken else {
            // Its user or the minute has no quota: it stays in the queue, where it could be taken for another project's probe.
            shared.meter.are_paused(why.map(|why| (project, why)));
            break;
        };
        let sliced = poll::slice(Arc::clone(shared), task, Some(granted), Until::Page).await;
        if has_answered(&sliced) {
            log::info!(project; "works again; pause lifted");
            quota::resume(pool, Some(S::TABLES.service), &project).await?;
        } else {
            shared.meter.are_paused(why.map(|why| (project, why)))
        }
        ended.push(sliced);
    }
    // Only after all probes: none of them must be taken for another's.
    ended.into_iter().for_each(|sliced| workers::take_back(shared, sliced));
    Ok(())
}

fn has_answered(sliced: &Sliced) -> bool {
    match sliced {
        Sliced::Ended(task) => matches!(task.outcome.end, PollEnd::Idle(_) | PollEnd::Done),
        Sliced::Waiting(task, _) => !task.outcome.fetches.is_empty(),
    }
}
