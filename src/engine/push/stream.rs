//! The channels of one stream: the row is written before the channel is created, and the new channel is created before the old one is stopped.

use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::BASE64URL_NOPAD;
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::figures::Repair;
use super::plan::{Mode, RenewalReason, Task};
use super::{Ask, Pushed};
use crate::db::channels::{self, Channel, NewChannel};
use crate::db::claims::StreamRow;
use crate::engine::shared::Shared;
use crate::engine::{Calls, Stream};
use crate::error::{Class, Failure};
use crate::state::ChannelState;

/// Maximum share by which a channel's requested lifetime is shortened, so that channels do not all expire together.
const JITTER: f64 = 0.1;

/// Executes the plan for one stream.
pub async fn work<S: Pushed>(shared: &Shared<S>, task: &Task, row: Option<&StreamRow>) -> Result<(), Failure> {
    let calls = match row {
        Some(row) => Some(shared.calls(row)),
        None => shared.calls_of_user(task.user).await?,
    };
    let Some(calls) = calls else {
        // There are no credentials left to stop them with.
        for channel in &task.surplus {
            lapses(shared, task, channel, "the account is gone").await?;
        }
        return Ok(());
    };
    // Known surplus channels are stopped first, so that a stream never has more than one channel too many.
    let mut result = end(shared, &calls, task, None).await;
    if let (Some(reason), Some(row)) = (task.reason, row)
        && (result.is_ok() || !task.may_wait)
    {
        let made = make(shared, &calls, task, row).await;
        note(shared, task, reason, &made);
        if let Some(made) = made? {
            result = result.and(end(shared, &calls, task, Some(&made.resource)).await);
            if let Some(orphan) = made.orphan {
                result = result.and(stop(shared, &calls, orphan, &made.resource).await);
            }
        }
    }
    result
}

struct Made {
    id: Uuid,
    resource: String,
    /// Created just before, its response lost, and not yet stopped.
    orphan: Option<Uuid>,
}

/// Creates a new channel. `None`: not now, and this is not a failure.
async fn make<S: Pushed>(shared: &Shared<S>, calls: &Calls, task: &Task, row: &StreamRow) -> Result<Option<Made>, Failure> {
    let pool = &shared.context.pool;
    let Some(cursor) = row.position.cursor.as_deref() else { return Ok(None) };
    let stream = Stream::of(row);
    let mut orphan = None;
    let seen: Vec<Uuid> = task.channels().map(|channel| channel.id).collect();
    // A second try, because an id that is already taken is ours, from a try whose response was lost.
    for last in [false, true] {
        let Some(ask) = written(shared, &stream, &seen).await? else { return Ok(None) };
        let may_exist = AtomicBool::new(false);
        let watched = calls.make(S::COSTS.0, || async {
            let watched = shared.source.watch(&stream, cursor, &calls.credential, &ask).await;
            may_exist.fetch_or(matches!(&watched, Err(failure) if failure.class == Class::Transient), Ordering::Relaxed);
            watched
        });
        let failure = match watched.await {
            Ok(watched) => {
                if channels::live(pool, ask.id, &watched.resource_id, watched.expires_at).await? {
                    return Ok(Some(Made { id: ask.id, resource: watched.resource_id, orphan }));
                }
                log::warn!(stream = stream.id; "another run considered this one dead while it created a channel; stopping the channel");
                match S::ONLY {
                    // It replaced the other run's channel, or was replaced by it.
                    Some(_) => channels::stopped(pool, ask.id).await?,
                    None => stop(shared, calls, ask.id, &watched.resource_id).await?,
                }
                return Ok(None);
            }
            Err(failure) => failure,
        };
        let taken = failure.reason == "channelIdNotUnique";
        // Some resources, such as holiday calendars, cannot be watched: they are polled, and this is not an error.
        let unsupported = failure.reason == "pushNotSupportedForRequestedResource";
        if taken || may_exist.load(Ordering::Relaxed) {
            channels::stopping(pool, ask.id, Some(&failure.message)).await?;
        } else if unsupported {
            channels::refused(pool, ask.id, ChannelState::Unsupported, &failure.message).await?;
        } else if failure.class == Class::Permanent {
            channels::refused(pool, ask.id, ChannelState::Refused, &failure.message).await?;
            shared.count(|figures| figures.refused += 1);
        } else {
            channels::stopped(pool, ask.id).await?;
        }
        if unsupported {
            return Ok(None);
        }
        if last || !taken {
            return Err(failure);
        }
        match task.resource() {
            Some(resource) => stop(shared, calls, ask.id, resource).await?,
            None => orphan = Some(ask.id),
        }
    }
    Ok(None)
}

/// Writes the row of a new channel, committed before the request to Google. `None`: another run is creating one, or the stream is gone.
async fn written<S: Pushed>(shared: &Shared<S>, stream: &Stream, seen: &[Uuid]) -> Result<Option<Ask>, Failure> {
    let push = &shared.context.settings.push;
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let token = BASE64URL_NOPAD.encode(&secret);
    let address = S::address(push);
    let life = push.life.mul_f64(1.0 - JITTER * rand::random::<f64>()).as_secs_f64();
    let token_hash = Sha256::digest(token.as_bytes());
    let new = NewChannel {
        id: Uuid::new_v4(),
        run: shared.run,
        stream: stream.id,
        address: &address,
        token_hash: &token_hash,
        seen,
        life,
    };
    let expires_at = channels::create(&shared.context.pool, &new).await?;
    Ok(expires_at.map(|expires_at| Ask { id: new.id, address, token: token.into(), expires_at }))
}

/// Stops channels that the stream does not need. Once it has a `new` channel, which reveals the resource id, these are the current one and those whose
/// resource id was unknown before.
async fn end<S: Pushed>(shared: &Shared<S>, calls: &Calls, task: &Task, new: Option<&str>) -> Result<(), Failure> {
    let known = task.resource();
    let surplus = task.surplus.iter().filter(|_| new.is_none() || known.is_none());
    let mut result = Ok(());
    for channel in surplus.chain(task.current.iter().filter(|_| new.is_some())) {
        let resource = channel.resource.as_deref().or(known).or(new).or(S::ONLY);
        let replaced = S::ONLY.is_some() && (new.is_some() || task.current.is_some());
        result = result.and(match (resource, replaced) {
            (_, true) => replaced_by_the_next(shared, channel).await,
            (Some(resource), false) => stop(shared, calls, channel.id, resource).await,
            // Wait until the stream's next channel reveals the resource id, or this one expires.
            (None, false) if task.stream.is_some() => Ok(()),
            (None, false) => lapses(shared, task, channel, "its stream is gone, and Google never reported its resource id").await,
        });
    }
    result
}

/// Reports once a channel that cannot be stopped; its announcements are ignored until it expires.
async fn lapses<S: Pushed>(shared: &Shared<S>, task: &Task, channel: &Channel, why: &str) -> Result<(), Failure> {
    if !channel.told {
        log::warn!(user:% = task.user, channel:% = channel.id; "channel cannot be stopped; it expires in {:.0} h: {why}", channel.left / 3600.0);
        channels::stopping(&shared.context.pool, channel.id, Some(why)).await?;
    }
    Ok(())
}

async fn replaced_by_the_next<S: Pushed>(shared: &Shared<S>, channel: &Channel) -> Result<(), Failure> {
    channels::stopped(&shared.context.pool, channel.id).await?;
    shared.count(|figures| figures.stopped += 1);
    Ok(())
}

async fn stop<S: Pushed>(shared: &Shared<S>, calls: &Calls, channel: Uuid, resource: &str) -> Result<(), Failure> {
    let pool = &shared.context.pool;
    channels::stopping(pool, channel, None).await?;
    let failure = match calls.make(S::COSTS.1, || shared.source.stop(&calls.credential, channel, resource)).await {
        Err(failure) if failure.class != Class::Gone => failure,
        _ => {
            channels::stopped(pool, channel).await?;
            shared.count(|figures| figures.stopped += 1);
            return Ok(());
        }
    };
    channels::stopping(pool, channel, Some(&failure.message)).await?;
    shared.count(|figures| figures.left_to_stop += 1);
    // Revoking the grant has revoked this right too: the channel expires by itself.
    if failure.class == Class::AuthRevoked { Ok(()) } else { Err(failure) }
}

/// Counts the result for a stream that needed a new channel.
fn note<S: Pushed>(shared: &Shared<S>, task: &Task, reason: RenewalReason, made: &Result<Option<Made>, Failure>) {
    let done = match made {
        Ok(Some(made)) => format!("replaced by {}", made.id),
        Ok(None) => "unchanged".into(),
        Err(failure) => format!("failed: {failure}"),
    };
    let stream_id = task.stream.unwrap_or_default();
    let orphan = || task.surplus.iter().find(|channel| channel.lost);
    let channel = task.current.as_ref().or_else(orphan).map(|channel| channel.id);
    shared.count(|figures| {
        match (made, &task.current) {
            (Ok(Some(_)), Some(_)) => figures.renewed += 1,
            (Ok(Some(_)), None) => figures.made += 1,
            (Ok(None) | Err(_), _) => {}
        }
        if reason.mode() == Mode::Health {
            figures.repairs.push(Repair { stream_id, channel, found: reason, done });
        }
    });
}

impl RenewalReason {
    fn mode(self) -> Mode {
        match self {
            Self::Missing | Self::Expiring => Mode::Age,
            Self::OldAddress | Self::Silent | Self::Refused | Self::Orphaned => Mode::Health,
        }
    }
}
