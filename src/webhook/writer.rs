//! Stores notifications in consecutive batches, each with everything that arrived while the previous batch was written. No HTTP.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use super::Outcome;
use crate::db::connection::Bounds;
use crate::db::notifications::{self, Channel, Notification, Stored};
use crate::db::pool::was_aborted;
use crate::db::{Connection, Pool, is_gone};

/// Maximum number of notifications per statement.
const BATCH: usize = 1000;
/// Maximum number of waiting notifications. Further ones are rejected with 503, for a retry.
const QUEUE: usize = 8192;
/// How long a request waits for the database. Senders give up not much later.
pub(super) const WAIT: Duration = Duration::from_secs(2);
/// Statement timeout at the server.
pub(super) const AT_SERVER: Duration = Duration::from_millis(1500);
/// Delay before notifications that were left out or could not be stored are retried.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// A validated notification.
#[derive(Debug)]
pub enum Arrived {
    Channel {
        id: Uuid,
        service: String,
        token_hash: [u8; 32],
        number: String,
        change: bool,
    },
    /// `address` is in lower case.
    Mail {
        subscription: String,
        id: String,
        address: String,
    },
    /// `bot` is Attendee's id of the bot, if the notification names one.
    Attendee {
        key: String,
        bot: Option<String>,
    },
}

struct Waiting {
    arrived: Arrived,
    answer: oneshot::Sender<Outcome>,
}

/// The queue to the database.
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
}

impl Writer {
    /// Starts the single writer task. `pushed` is notified when streams have become due.
    pub fn start(pool: Pool, pushed: Arc<Notify>) -> Self {
        let (queue, arriving) = mpsc::channel(QUEUE);
        tokio::spawn(write(pool, arriving, pushed));
        Self { queue }
    }

    /// Stores a notification. Returns when it is committed, or `Outcome::Unavailable` after two seconds.
    pub async fn put(&self, arrived: Arrived) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        if self.queue.try_send(Waiting { arrived, answer }).is_err() {
            return Outcome::Unavailable;
        }
        match tokio::time::timeout(WAIT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            _ => Outcome::Unavailable,
        }
    }

    /// Number of waiting notifications.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the database answers.
    pub async fn is_alive(&self, pool: &Pool) -> bool {
        let query = async { anyhow::Ok(pool.get().await?.query_typed("SELECT 1", &[]).await?) };
        tokio::time::timeout(WAIT, query).await.is_ok_and(|answer| answer.is_ok())
    }
}

async fn write(pool: Pool, mut arriving: mpsc::Receiver<Waiting>, pushed: Arc<Notify>) {
    // Waiting notifications. Those left out before come first: their streams were locked.
    let mut batch: Vec<Waiting> = Vec::with_capacity(BATCH);
    let mut unavailable = false;
    while receive(&mut arriving, &mut batch).await {
        // Drop requests that have timed out; their senders will retry.
        batch.retain(|waiting| !waiting.answer.is_closed());
        let outcomes = match store_in_time(&pool, &batch).await {
            Ok((outcomes, due)) => {
                if std::mem::take(&mut unavailable) {
                    log::warn!("the database is available again: storing notifications");
                }
                if due {
                    pushed.notify_one();
                }
                outcomes
            }
            Err(error) => {
                // Log once per outage, not for every batch.
                if !std::mem::replace(&mut unavailable, true) {
                    log::error!("cannot store notifications: {error:#}");
                }
                vec![Some(Outcome::Unavailable); batch.len()]
            }
        };
        let mut left_out = Vec::with_capacity(BATCH);
        for (waiting, outcome) in batch.drain(..).zip(outcomes) {
            match outcome {
                // The request may have timed out.
                Some(outcome) => _ = waiting.answer.send(outcome),
                None => left_out.push(waiting),
            }
        }
        batch = left_out;
    }
}

/// Adds new notifications to the batch. If it already holds some that were left out, waits only `RETRY_DELAY`. `false`: the queue is closed.
async fn receive(arriving: &mut mpsc::Receiver<Waiting>, batch: &mut Vec<Waiting>) -> bool {
    if batch.is_empty() {
        return arriving.recv_many(batch, BATCH).await > 0;
    }
    tokio::time::sleep(RETRY_DELAY).await;
    while batch.len() < BATCH
        && let Ok(waiting) = arriving.try_recv()
    {
        batch.push(waiting);
    }
    true
}

/// Stores a batch before its requests time out, retrying after a broken connection or a deadlock. `None`: left out.
async fn store_in_time(pool: &Pool, batch: &[Waiting]) -> anyhow::Result<(Vec<Option<Outcome>>, bool)> {
    let until = tokio::time::Instant::now() + WAIT;
    let late = || anyhow::anyhow!("the database did not answer within {} s", WAIT.as_secs());
    loop {
        let mut client = tokio::time::timeout_at(until, pool.get()).await.map_err(|_| late())??;
        match tokio::time::timeout_at(until, store(&mut client, batch)).await {
            Ok(Err(error)) if is_gone(&error) || was_aborted(&error) => {
                log::debug!("storing a batch again: {error:#}");
                client.discard();
                // Do not hammer a server that is starting up. The loop ends at the deadline.
                tokio::time::timeout_at(until, tokio::time::sleep(RETRY_DELAY)).await.map_err(|_| error)?;
            }
            Ok(stored) => return stored,
            Err(_) => {
                // A reachable server would already have cancelled the statement, so the connection is dead.
                client.discard();
                return Err(late());
            }
        }
    }
}

/// Looks up the senders and stores the valid notifications. Returns each outcome, and whether a stream has become due.
async fn store(client: &mut Connection, batch: &[Waiting]) -> anyhow::Result<(Vec<Option<Outcome>>, bool)> {
    // Let the server time out before we do: abandoned statements would keep running there and pile up.
    let tx =
        client.begin_within(&Bounds { locks: AT_SERVER, idle: WAIT, statement: Some(AT_SERVER) }, "beginning a batch").await?;
    let senders = Senders::of(&*tx, batch).await?;
    let mut outcomes = vec![None; batch.len()];
    let (mut indexes, mut valid) = (Vec::new(), Vec::new());
    for (index, waiting) in batch.iter().enumerate() {
        match senders.admit(&waiting.arrived) {
            Ok(notification) => {
                indexes.push(index);
                valid.push(notification);
            }
            Err(outcome) => outcomes[index] = Some(outcome),
        }
    }
    if valid.is_empty() {
        return Ok((outcomes, false));
    }
    let stored = notifications::store(&tx, &valid).await.context("storing a batch")?;
    tx.commit().await.context("committing a batch")?;
    let mut due = false;
    for ((index, notification), stored) in indexes.into_iter().zip(&valid).zip(stored) {
        outcomes[index] = match stored {
            Stored::New => Some(Outcome::Accepted),
            Stored::Known => Some(Outcome::Duplicate),
            Stored::LeftOut => None,
        };
        due |= stored == Stored::New && notification.change;
    }
    Ok((outcomes, due))
}

/// The known senders of a batch.
struct Senders {
    channels: HashMap<Uuid, Channel>,
    /// Stream and its newest open channel, by address in lower case.
    mailboxes: HashMap<String, (i64, Option<Uuid>)>,
    /// Stream, by Attendee's id of the bot.
    bots: HashMap<String, i64>,
}

impl Senders {
    /// Queries only the kinds of senders in the batch.
    async fn of(client: &impl GenericClient, batch: &[Waiting]) -> anyhow::Result<Self> {
        let (mut ids, mut addresses, mut bots) = (Vec::new(), Vec::new(), Vec::new());
        for waiting in batch {
            match &waiting.arrived {
                Arrived::Channel { id, .. } => ids.push(*id),
                Arrived::Mail { address, .. } => addresses.push(address.as_str()),
                Arrived::Attendee { bot, .. } => bots.extend(bot.as_deref()),
            }
        }
        let channels = if ids.is_empty() { HashMap::new() } else { notifications::open_channels(client, &ids).await? };
        let mailboxes = if addresses.is_empty() { HashMap::new() } else { notifications::mailboxes(client, &addresses).await? };
        let bots = if bots.is_empty() { HashMap::new() } else { notifications::streams_of_bots(client, &bots).await? };
        Ok(Self { channels, mailboxes, bots })
    }

    /// The row to store for a notification, or the reason to reject it.
    fn admit(&self, arrived: &Arrived) -> Result<Notification, Outcome> {
        Ok(match arrived {
            Arrived::Channel { id, service, token_hash, number, change } => {
                let channel = self.channels.get(id).filter(|channel| channel.service == *service).ok_or(Outcome::Unknown)?;
                if !bool::from(channel.token_hash.ct_eq(token_hash)) {
                    return Err(Outcome::Refused);
                }
                Notification {
                    source: format!("channel:{id}"),
                    key: number.clone(),
                    stream_id: Some(channel.stream_id),
                    channel_id: Some(*id),
                    change: *change,
                }
            }
            // Notifications for unsynced mailboxes are stored without making a stream due, so that they are not sent again.
            Arrived::Mail { subscription, id, address } => {
                let mailbox = self.mailboxes.get(address);
                Notification {
                    source: format!("pubsub:{subscription}"),
                    key: id.clone(),
                    stream_id: mailbox.map(|(stream, _)| *stream),
                    channel_id: mailbox.and_then(|(_, channel)| *channel),
                    change: mailbox.is_some(),
                }
            }
            // Unknown and finished bots make no stream due.
            Arrived::Attendee { key, bot } => {
                let stream_id = bot.as_ref().and_then(|bot| self.bots.get(bot)).copied();
                Notification {
                    source: "attendee".into(),
                    key: key.clone(),
                    stream_id,
                    channel_id: None,
                    change: stream_id.is_some(),
                }
            }
        })
    }
}
