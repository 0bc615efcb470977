//! Revoked accounts are asked again, rarely, so that nobody stays out for ever by mistake. Knows no service.

use futures_util::{StreamExt as _, stream};

use super::shared::Shared;
use crate::db::accounts;
use crate::error::Class;

/// Asks for a token of each revoked account whose time has come; the streams of those that get one are due at once. As many as may be under
/// way together: a run has other things to do, and the next one is not far.
///
/// # Errors
/// The database is gone.
pub async fn revive<S>(shared: &Shared<S>) -> anyhow::Result<()> {
    let at_once = shared.context.settings.engine.concurrency;
    let rows = accounts::take_revoked(&shared.context.pool, i64::from(at_once)).await?;
    let asked = stream::iter(&rows).map(|row| async move { (row.user_id, shared.broker.credential(row).renew().await) });
    let mut answers = asked.buffer_unordered(at_once as usize);
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
            // Known already, or no verdict: it stays as it is.
            Some((user, Err(failure))) if !matches!(failure.class, Class::Internal | Class::Settings) => {
                log::debug!(user:%; "account asked again: {failure}")
            }
            Some((user, Err(failure))) => {
                shared.digest.add("account could not be asked again", Some(failure.class), user, &failure.message);
            }
        }
    }
}
