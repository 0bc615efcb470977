//! Retries revoked accounts, rarely, so that none stays revoked forever by mistake. Independent of any service.

use futures_util::{StreamExt as _, stream};

use super::shared::Shared;
use crate::db::accounts;
use crate::error::Class;

/// Requests a token for each revoked account that is due for a retry; the streams of those that get one become due immediately. Limited to the number of
/// concurrent calls: the run has other work, and the next one follows soon.
///
/// # Errors
/// Returns an error if the database is gone.
pub async fn revive<S>(shared: &Shared<S>) -> anyhow::Result<()> {
    let concurrency = shared.context.settings.engine.concurrency;
    let rows = accounts::take_revoked(&shared.context.pool, i64::from(concurrency)).await?;
    let renewals = stream::iter(&rows).map(|row| async move { (row.user_id, shared.broker.credential(row).renew().await) });
    let mut answers = renewals.buffer_unordered(concurrency as usize);
    loop {
        let answer = tokio::select! {
            answer = answers.next() => answer,
            () = shared.wind_down.cancelled() => return Ok(()),
        };
        match answer {
            None => return Ok(()),
            Some((user, Ok(()))) => {
                log::info!(user:%; "account works again");
                shared.report().revived_accounts += 1;
            }
            // Already known, or inconclusive: the account stays revoked.
            Some((user, Err(failure))) if !matches!(failure.class, Class::Internal | Class::Settings) => {
                log::debug!(user:%; "account retried: {failure}")
            }
            Some((user, Err(failure))) => {
                shared.digest.add("could not retry the account", Some(failure.class), user, &failure.message);
            }
        }
    }
}
