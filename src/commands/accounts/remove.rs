//! `accounts revoke` and `accounts remove`: the end of a grant, and of a user. Push channels go first: without credentials nobody can stop them.

use secrecy::ExposeSecret as _;
use serde::Serialize;
use uuid::Uuid;

use super::{failed, named};
use crate::commands::remedies::ADMIN_CONSOLE;
use crate::commands::{Output, channels, complain};
use crate::db::accounts;
use crate::db::channels_read::{self, Listed};
use crate::engine::Context;
use crate::engine::tokens::StoredCredentials;
use crate::error::{Class, Exit, Failure, Fault};
use crate::google::oauth::{self, Credentials};
use crate::seal::Column;

/// What became of the right to act for a user.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grant {
    /// Google has ended it.
    Revoked,
    /// Google did not know it any more.
    GoneBefore,
    /// It is the domain's, and of no user's own.
    Delegated,
}

impl Grant {
    fn text(self) -> String {
        match self {
            Self::Revoked => "the grant was revoked at Google".into(),
            Self::GoneBefore => "Google knew the grant no more".into(),
            Self::Delegated => format!("the right of a service account is ended {ADMIN_CONSOLE}"),
        }
    }
}

/// A user whose channels were stopped.
#[derive(Serialize)]
struct Ended {
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Grant>,
    channels_stopped: usize,
    /// Google announces to them until they expire.
    channels_left: Vec<Listed>,
}

/// Ends the grant at Google; what was synced stays.
pub(super) async fn revoke(context: &Context, user: &str, output: Output) -> anyhow::Result<Exit> {
    let user = named(context, user).await?;
    let (channels_stopped, channels_left) = stop_channels(context, user).await?;
    let grant = end_grant(context, user).await?;
    accounts::revoke(&context.pool, user).await?;
    let ended = Ended { revoked: Some(user), removed: None, grant: Some(grant), channels_stopped, channels_left };
    output.print(&ended, || {
        format!(
            "{user} is not called any more, what was synced stays; {}; {channels_stopped} push channels stopped",
            grant.text()
        )
    })?;
    Ok(Exit::Done)
}

/// Removes the user with everything that was synced, and with `revoke` first ends the grant.
pub(super) async fn remove(context: &Context, user: &str, revoke: bool, output: Output) -> anyhow::Result<Exit> {
    let user = named(context, user).await?;
    let (channels_stopped, channels_left) = stop_channels(context, user).await?;
    let grant = if revoke { Some(end_grant(context, user).await?) } else { None };
    accounts::remove(&context.pool, user).await?;
    let ended = Ended { revoked: None, removed: Some(user), grant, channels_stopped, channels_left };
    output.print(&ended, || {
        let grant = grant.map(|grant| format!("; {}", grant.text())).unwrap_or_default();
        format!("removed {user} with everything that was synced; {channels_stopped} push channels stopped{grant}")
    })?;
    Ok(Exit::Done)
}

/// How many were stopped, and those that could not be.
async fn stop_channels(context: &Context, user: Uuid) -> anyhow::Result<(usize, Vec<Listed>)> {
    let before = open_channels(context, user).await?;
    channels::end(context, &before, Some(vec![user]), None).await?;
    let left = open_channels(context, user).await?;
    for channel in &left {
        let until = channel.expires_at.map_or_else(|| "later".into(), |at| at.format("%F %T").to_string());
        let why = channel.last_error.as_deref().unwrap_or("another run is at it");
        complain(format!("{} channel {} could not be stopped and ends by itself, {until}: {why}", channel.service, channel.id));
    }
    Ok((before.len().saturating_sub(left.len()), left))
}

/// The user's channels that Google may have.
async fn open_channels(context: &Context, user: Uuid) -> anyhow::Result<Vec<Listed>> {
    let mut rows = channels_read::list(&context.pool, false).await?;
    rows.retain(|channel| channel.user_id == user && channel.state != "refused");
    Ok(rows)
}

async fn end_grant(context: &Context, user: Uuid) -> anyhow::Result<Grant> {
    let account = accounts::get(&context.pool, user).await?;
    let account = account.ok_or_else(|| Fault::usage(format!("user {user} has no credentials that could be revoked")))?;
    let opened = context.vault.open(user, Column::Credentials, &account.credentials)?;
    let stored: StoredCredentials = serde_json::from_str(opened.expose_secret())
        .map_err(|_| anyhow::anyhow!("the stored credentials of user {user} are malformed; import the account again"))?;
    let Credentials::AuthorizedUser { refresh_token, .. } = &stored.credentials else { return Ok(Grant::Delegated) };
    let done = oauth::revoke(&context.google, refresh_token).await.map_err(|failure| {
        let message = format!("{}; the grant may still live, try again", failure.message);
        // What is no verdict on the grant is no reason to give it up.
        let class = if failure.class == Class::Permanent { Class::Transient } else { failure.class };
        failed(Failure::new(class, message))
    })?;
    Ok(if done { Grant::Revoked } else { Grant::GoneBefore })
}
