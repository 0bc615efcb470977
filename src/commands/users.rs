//! Users named on the command line, and the only one if none is named.

use uuid::Uuid;

use super::hints;
use crate::db::accounts;
use crate::engine::Context;
use crate::error::Fault;
use crate::similar;

/// Maximum number of users that an error names.
const NAMED: usize = 5;

/// Finds a user by UUID or address. An unknown one is an error; at a terminal, a similar address is suggested.
///
/// # Errors
/// Returns `Fault::usage` if there is no such user.
pub async fn find(context: &Context, name: &str) -> anyhow::Result<Uuid> {
    let found = accounts::find(&context.pool, &[name]).await?.into_iter().next().flatten();
    match found {
        Some(user) => Ok(user),
        None => {
            suggest(context, name).await;
            let message = format!("no user {name}: give the UUID or the address of a user that `syncctl accounts list` shows");
            Err(Fault::usage(message).into())
        }
    }
}

/// The named user; without a name, the only one.
///
/// # Errors
/// Returns `Fault::usage` if there is no such user, or no name and not exactly one user.
pub async fn find_or_only(context: &Context, name: Option<&str>) -> anyhow::Result<Uuid> {
    if let Some(name) = name {
        return find(context, name).await;
    }
    if let Some(only) = accounts::only_user(&context.pool).await? {
        return Ok(only);
    }
    let mut known = accounts::addresses(&context.pool, NAMED as i64 + 1).await?;
    if known.is_empty() {
        return Err(Fault::usage(format!("there is no user yet: {}", hints::FIRST_ACCOUNT)).into());
    }
    let more = if known.len() > NAMED { ", …: see `syncctl accounts list`" } else { "" };
    known.truncate(NAMED);
    Err(Fault::usage(format!("there is more than one user: name one of {}{more}", known.join(", "))).into())
}

/// Suggests a similar address at a terminal. Not part of the error, which is stored and mailed: it would name another user.
pub async fn suggest(context: &Context, name: &str) {
    if !hints::is_at_terminal() {
        return;
    }
    match accounts::addresses(&context.pool, i64::MAX).await {
        Ok(known) => {
            if let Some(similar) = similar::closest(name, known.iter().map(String::as_str)) {
                hints::notice(&format!("did you mean {similar}?"));
            }
        }
        // Only the suggestion is missing.
        Err(error) => log::debug!("no similar users: {error:#}"),
    }
}
