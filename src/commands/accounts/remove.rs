//! `accounts revoke` and `accounts remove`: end a grant, or remove a user. Push channels are stopped first, because that needs credentials.
//! Then unsent events are withdrawn, then everything is erased in one transaction, and last the bots ordered for this user alone are
//! taken back.

use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use uuid::Uuid;

use super::failed;
use crate::commands::remedies::ADMIN_CONSOLE;
use crate::commands::verbs::Bounds;
use crate::commands::{Output, attendee, channels, complain, confirm, users};
use crate::db::accounts;
use crate::db::channels_read::{self, Listed};
use crate::db::erasure::{self, Estate};
use crate::engine::Context;
use crate::engine::tokens::StoredCredentials;
use crate::error::{Class, Exit, Failure, Fault};
use crate::google::oauth::{self, Credentials};
use crate::seal::Column;

/// How often to check whether events being sent are done.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum time for taking bots back at Attendee.
const TAKING_BACK: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// User, by UUID or address
    user: String,
    /// Also end the grant at Google
    #[arg(long)]
    revoke: bool,
    /// Do not ask for confirmation; required without a terminal
    #[arg(long)]
    yes: bool,
    /// Print what would be removed; remove nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// The outcome for the right to act for a user.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grant {
    /// Google has ended it.
    Revoked,
    /// Google no longer knew it.
    GoneBefore,
    /// It is delegated by the domain, not granted by the user.
    Delegated,
}

impl Grant {
    fn text(self) -> String {
        match self {
            Self::Revoked => "the grant was revoked at Google".into(),
            Self::GoneBefore => "the grant was already gone at Google".into(),
            Self::Delegated => format!("to end a service account's right, remove it {ADMIN_CONSOLE}"),
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
    /// Google keeps notifying these until they expire.
    channels_left: Vec<Listed>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    estate: Option<Estate>,
}

/// A user who would be removed.
#[derive(Serialize)]
struct Preview {
    dry_run: bool,
    user: Uuid,
    #[serde(flatten)]
    estate: Estate,
}

/// Ends the grant at Google; synced data stays.
pub(super) async fn revoke(context: &Context, user: &str, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, user).await?;
    let (channels_stopped, channels_left) = stop_channels(context, user).await?;
    let grant = end_grant(context, user).await?;
    accounts::revoke(&context.pool, user).await?;
    let ended = Ended { revoked: Some(user), removed: None, grant: Some(grant), channels_stopped, channels_left, estate: None };
    output.print(&ended, || {
        format!("{user} is no longer synced, the synced data stays; {}; {channels_stopped} push channels stopped", grant.text())
    })?;
    Ok(Exit::Done)
}

/// Removes the user with everything synced for them alone. With `--revoke`, ends the grant first.
pub(super) async fn remove(context: &Context, args: &RemoveArgs, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, &args.user).await?;
    if args.dry_run {
        let preview = Preview { dry_run: true, user, estate: erasure::count(&context.pool, user).await? };
        output.print(&preview, || format!("would be removed with {user}:\n{}", text(&preview.estate)))?;
        return Ok(Exit::Done);
    }
    if !args.yes {
        confirm::must_be_at_terminal()?;
        let estate = erasure::count(&context.pool, user).await?;
        confirm::confirm(context, &text(&estate), &format!("Remove {} with all of this?", args.user)).await?;
    }
    let (channels_stopped, channels_left) = stop_channels(context, user).await?;
    let grant = if args.revoke { Some(end_grant(context, user).await?) } else { None };
    let (estate, bots) = erase(context, user).await?;
    take_back(context, &bots).await;
    let ended = Ended { revoked: None, removed: Some(user), grant, channels_stopped, channels_left, estate: Some(estate) };
    output.print(&ended, || {
        let grant = grant.map(|grant| format!("; {}", grant.text())).unwrap_or_default();
        let estate = ended.estate.as_ref().map(text).unwrap_or_default();
        format!("removed {user} with everything synced for them alone; {channels_stopped} push channels stopped{grant}\n{estate}")
    })?;
    Ok(Exit::Done)
}

/// Lists what is removed and what stays, one item per line.
fn text(estate: &Estate) -> String {
    let Estate { erased, withdrawn, bots_to_take_back, stays } = estate;
    let rows: Vec<String> = erased.iter().map(|of| format!("{} {}", of.rows, of.table)).collect();
    let mut text = format!("rows: {}", if rows.is_empty() { "none".into() } else { rows.join(", ") });
    let bots = stays.bots_at_attendee.join(", ");
    let more = [
        (*withdrawn > 0, format!("{withdrawn} unsent events are withdrawn")),
        (*bots_to_take_back > 0, format!("{bots_to_take_back} bots that have not joined are taken back at Attendee")),
        (stays.documents > 0, format!("stays: {} documents from this user's mail that other users also have", stays.documents)),
        (
            stays.shared_meetings > 0,
            format!("stays: {} bots and transcripts of meetings shared with other users", stays.shared_meetings),
        ),
        (stays.files > 0, format!("stays: {} files that other users can see", stays.files)),
        (!bots.is_empty(), format!("stays at Attendee until deleted there: recordings of these bots: {bots}")),
    ];
    for (_, line) in more.iter().filter(|(applies, _)| *applies) {
        text.push_str(&format!("\n{line}"));
    }
    text
}

/// Withdraws the user's events, waits for those being sent, and erases everything. Returns what was erased and the ids of the bots to
/// take back.
async fn erase(context: &Context, user: Uuid) -> anyhow::Result<(Estate, Vec<Uuid>)> {
    let (mut withdrawn, mut is_announced) = (0, false);
    loop {
        let (events, under_way) = erasure::withdraw(&context.pool, user).await?;
        withdrawn += events;
        if under_way == 0
            && let Some((estate, bots)) = erasure::erase(&context.pool, user).await?
        {
            return Ok((Estate { withdrawn: withdrawn + estate.withdrawn, ..estate }, bots));
        }
        if !is_announced {
            is_announced = true;
            complain(format!("waiting for {under_way} events being sent; those of a dead run are given up within minutes"));
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
            () = context.stop.cancelled() => {
                return Err(Fault::unavailable("stopped after withdrawing events, before removing anything else; run it again").into());
            }
        }
    }
}

/// Takes back bots that are no longer wanted at Attendee. The next run of the schedule retries failures.
async fn take_back(context: &Context, bots: &[Uuid]) {
    if bots.is_empty() {
        return;
    }
    let bounds = Bounds { max_duration: Some(TAKING_BACK), dry_run: false };
    let done = async {
        attendee::schedule_now(context, bounds).await?;
        erasure::forget_bots(&context.pool, bots).await
    };
    match done.await {
        Ok(0) => {}
        Ok(remaining) => {
            complain(format!("{remaining} bots are not taken back yet; the next `syncctl attendee schedule` retries"))
        }
        Err(error) => complain(format!("bots are not taken back yet ({error:#}); the next `syncctl attendee schedule` retries")),
    }
}

/// Returns the number of channels stopped, and those that could not be.
async fn stop_channels(context: &Context, user: Uuid) -> anyhow::Result<(usize, Vec<Listed>)> {
    let before = open_channels(context, user).await?;
    channels::end(context, &before, Some(vec![user]), None).await?;
    let remaining = open_channels(context, user).await?;
    for channel in &remaining {
        let until = channel.expires_at.map_or_else(|| "later".into(), |at| at.format("%F %T").to_string());
        let why = channel.last_error.as_deref().unwrap_or("another run is using it");
        complain(format!(
            "{} channel {} could not be stopped and expires by itself, {until}: {why}",
            channel.service, channel.id
        ));
    }
    Ok((before.len().saturating_sub(remaining.len()), remaining))
}

/// Returns the user's channels that may still exist at Google.
async fn open_channels(context: &Context, user: Uuid) -> anyhow::Result<Vec<Listed>> {
    let mut rows = channels_read::list(&context.pool, false).await?;
    rows.retain(|channel| channel.user_id == user && !channel.state.is_refusal());
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
        // A permanent error says nothing about the grant, so treat it as temporary.
        let class = if failure.class == Class::Permanent { Class::Transient } else { failure.class };
        failed(Failure::new(class, message))
    })?;
    Ok(if done { Grant::Revoked } else { Grant::GoneBefore })
}
