//! What a run skipped, and why: paused projects, refused accounts, streams of named users that could not be claimed. Independent of any service.

use super::Source;
use super::job::spec::Job;
use super::shared::Shared;
use crate::db::claims::{self, Selection, Unclaimed, Why};
use crate::db::{accounts, quota};
use crate::error::{Class, Failure};

/// Counts the selected streams that are not polled because their project is paused.
///
/// # Errors
/// Returns an error if the database is gone; the same applies to the functions below.
pub async fn paused<S: Source>(shared: &Shared<S>, selection: &Selection) -> anyhow::Result<()> {
    // Usually none is: an idle run makes few statements.
    if !shared.report().saw_pause && !shared.meter.has_paused() {
        return Ok(());
    }
    let client = shared.context.pool.get().await?;
    let paused = quota::list(&client, Some(S::TABLES.service), selection).await?;
    shared.report().paused = paused.into_iter().filter(|pause| pause.streams > 0).collect();
    Ok(())
}

/// Counts the refused accounts, in a run for all users.
pub async fn refused<S: Source>(shared: &Shared<S>, job: &Job) -> anyhow::Result<()> {
    // A service without scopes uses no grants, so none can be refused.
    if !job.is_for_everybody() || S::AUTH.scope().is_none() {
        return Ok(());
    }
    let client = shared.context.pool.get().await?;
    let refused = accounts::refused(&client, Some(S::TABLES.service)).await?;
    let mut report = shared.report();
    report.refused = Some(refused).filter(|refused| refused.accounts > 0);
    report.refused_share = shared.context.settings.engine.refused_share;
    Ok(())
}

/// Accounts for each stream of the named users that the run did not claim: it failed, is off, or is held by another run.
pub async fn unclaimed<S: Source>(shared: &Shared<S>, selection: &Selection) -> anyhow::Result<()> {
    let Some(users) = selection.users.as_deref().filter(|_| selection.force) else { return Ok(()) };
    let unclaimed = claims::unclaimed(&shared.context.pool, shared.run, S::TABLES.service, users).await?;
    // A dry run claims nothing that is visible to others.
    let is_cut_short = shared.wind_down.is_cancelled() || shared.dry_run;
    let mut report = shared.report();
    for Unclaimed { id, user_id, kind, why } in unclaimed {
        let why = match why {
            // A placeholder for a user without an account.
            Why::Refused(_) if id == 0 && S::AUTH.scope().is_none() => continue,
            Why::Refused(reason) => {
                report.fail_unclaimed(user_id, &Failure::new(Class::AuthRevoked, reason));
                continue;
            }
            // Reported with its project.
            Why::Paused => continue,
            // The run ended before it got to the stream, and reports why.
            Why::Locked if is_cut_short => continue,
            Why::Ended => format!("the account was {}", accounts::ENDED),
            Why::Off => "switched off for the user (`syncctl accounts set`)".to_owned(),
            Why::Held(holder) => {
                report.held_streams += 1;
                holder.to_string()
            }
            Why::Locked => {
                report.held_streams += 1;
                "another PostgreSQL session holds its row, or a full pass of it was requested meanwhile".to_owned()
            }
        };
        report.skipped.push(format!("stream {id} ({kind}) of user {user_id}: {why}"));
    }
    Ok(())
}
