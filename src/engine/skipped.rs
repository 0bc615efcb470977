//! What a run left alone, and why: projects that are paused, accounts that are refused, streams of named users that it could not claim. Knows no
//! service.

use super::Source;
use super::job::Job;
use super::shared::Shared;
use crate::db::claims::{self, Selection, Unclaimed, Why};
use crate::db::{accounts, quota};
use crate::error::{Class, Failure};

/// Counts what the selection names and a paused project keeps from being polled.
///
/// # Errors
/// The database is gone, here and below.
pub async fn paused<S: Source>(shared: &Shared<S>, selection: &Selection) -> anyhow::Result<()> {
    // Mostly none is: an idle run makes few statements.
    if !shared.report().saw_pause && !shared.meter.has_paused() {
        return Ok(());
    }
    let client = shared.context.pool.get().await?;
    let paused = quota::list(&client, Some(S::TABLES.service), selection).await?;
    shared.report().paused = paused.into_iter().filter(|pause| pause.streams > 0).collect();
    Ok(())
}

/// Counts the accounts that are refused, for a run that is for everybody.
pub async fn refused<S: Source>(shared: &Shared<S>, job: &Job) -> anyhow::Result<()> {
    // What is asked of nobody is refused by nobody.
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

/// Accounts for each stream of the named users that the run did not claim: it failed, it is off, or somebody else holds it.
pub async fn unclaimed<S: Source>(shared: &Shared<S>, selection: &Selection) -> anyhow::Result<()> {
    let Some(users) = selection.users.as_deref().filter(|_| selection.force) else { return Ok(()) };
    let left = claims::unclaimed(&shared.context.pool, shared.run, S::TABLES.service, users).await?;
    // A dry run claims nothing that others would see.
    let is_cut_short = shared.wind_down.is_cancelled() || shared.dry_run;
    let mut report = shared.report();
    for Unclaimed { id, user_id, kind, why } in left {
        let why = match why {
            // It stands for a user without an account.
            Why::Refused(_) if id == 0 && S::AUTH.scope().is_none() => continue,
            Why::Refused(reason) => {
                report.fail_unclaimed(user_id, &Failure::new(Class::AuthRevoked, reason));
                continue;
            }
            // With its project.
            Why::Paused => continue,
            // The run did not come to it, and says why.
            Why::Locked if is_cut_short => continue,
            Why::Ended => format!("the account was {}", accounts::ENDED),
            Why::Off => "switched off for the user (`syncctl accounts set`)".to_owned(),
            Why::Held(holder) => {
                report.held_streams += 1;
                holder.to_string()
            }
            Why::Locked => {
                report.held_streams += 1;
                "another session of PostgreSQL holds its row, or a complete pass of it was asked for meanwhile".to_owned()
            }
        };
        report.skipped.push(format!("stream {id} ({kind}) of user {user_id}: {why}"));
    }
    Ok(())
}
