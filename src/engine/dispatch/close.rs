//! Closes polls that found nothing new, hundreds of streams per statement.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::super::Source;
use super::super::shared::Shared;
use crate::db::streams::{self, Closed, Idle};

/// How often closing idle streams held by another transaction is tried, and the pause after the first try; it grows.
const CLOSE_TRIES: u32 = 6;
const GIVE_WAY: Duration = Duration::from_millis(50);

/// Closes idle streams with one statement. Streams held by another transaction are skipped and closed shortly after. Streams held for longer are left to
/// their leases: nothing had changed in them, and the next run polls them again.
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
        log::info!(streams = idle.len(); "closing idle streams again that another transaction holds");
        tokio::time::sleep(GIVE_WAY * tries).await;
    }
    let mut report = shared.report();
    for stream in &idle {
        let whose = format!("stream {}", stream.id);
        shared.digest.add("poll not recorded; the next run repeats it", None, whose, "another transaction holds the stream");
        shared.held().remove(&stream.id);
        lost.remove(&stream.id);
        report.idle_streams -= 1;
        report.interrupted_streams += 1;
    }
    lost.into_values().for_each(|user| report.lost(user));
    Ok(())
}
