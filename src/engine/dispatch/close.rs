//! The end of polls that found nothing new: one statement for hundreds of streams.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::super::Source;
use super::super::shared::Shared;
use crate::db::streams::{self, Closed, Idle};

/// How often it is tried to close idle streams that somebody else holds, and the pause after the first time; it grows.
const CLOSE_TRIES: u32 = 6;
const GIVE_WAY: Duration = Duration::from_millis(50);

/// Closes idle streams with one statement. Those that somebody else holds are passed over and closed a moment later; what is held for longer is
/// left to its lease: nothing had changed in it, and the next run polls it again.
pub(super) async fn idle<S: Source>(shared: &Shared<S>, idle: Vec<(Idle, Uuid)>) -> anyhow::Result<()> {
    let (mut idle, users): (Vec<Idle>, Vec<Uuid>) = idle.into_iter().unzip();
    let mut lost: HashMap<i64, Uuid> = idle.iter().map(|stream| stream.id).zip(users).collect();
    for tries in 1.. {
        let Closed { closed, held } = streams::close_idle(&shared.context.pool, shared.run, &idle).await?;
        for id in closed {
            lost.remove(&id);
            shared.held().remove(&id);
        }
        idle.retain(|stream| held.contains(&stream.id));
        if idle.is_empty() || tries == CLOSE_TRIES {
            break;
        }
        log::info!(streams = idle.len(); "closing idle streams again that somebody holds");
        tokio::time::sleep(GIVE_WAY * tries).await;
    }
    let mut report = shared.report();
    for stream in &idle {
        let whose = format!("stream {}", stream.id);
        shared.digest.add("poll not recorded, and made again", None, whose, "another transaction holds the stream");
        shared.held().remove(&stream.id);
        lost.remove(&stream.id);
        report.idle_streams -= 1;
        report.interrupted_streams += 1;
    }
    lost.into_values().for_each(|user| report.lost(user));
    Ok(())
}
