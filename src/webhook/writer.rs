//! Stores what arrived: one batch after the other, each with everything that came while the last one was written. Knows no HTTP.

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
use crate::db::pool::DEADLOCK;
use crate::db::{Connection, Pool, is_gone};
use crate::error::sql_state;

/// Notifications stored by one statement.
const BATCH: usize = 1000;
/// Notifications that may wait; further ones are told to come again.
const QUEUE: usize = 8192;
/// How long a request waits for the database: the sender gives up not much later.
pub(super) const WAIT: Duration = Duration::from_secs(2);
/// How long a statement may take at the server.
pub(super) const AT_SERVER: Duration = Duration::from_millis(1500);
/// How long what was left out, or could not be stored, waits before it is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// What a request carries, checked for its form.
#[derive(Debug)]
pub enum Arrived {
    Channel {
        id: Uuid,
        service: String,
        token_hash: [u8; 32],
        number: String,
        change: bool,
    },
    /// `address` is in small letters.
    Mail {
        subscription: String,
        id: String,
        address: String,
    },
    /// `bot` is Attendee's id of the bot that it speaks of, where it names one.
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
    /// Starts the one task that writes; `pushed` is told when streams were made due.
    pub fn start(pool: Pool, pushed: Arc<Notify>) -> Self {
        let (queue, arriving) = mpsc::channel(QUEUE);
        tokio::spawn(write(pool, arriving, pushed));
        Self { queue }
    }

    /// Stores a notification; answers when it is committed, or after two seconds that it is not known to be.
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

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the database answers.
    pub async fn is_alive(&self, pool: &Pool) -> bool {
        let asked = async { anyhow::Ok(pool.get().await?.query_typed("SELECT 1", &[]).await?) };
        tokio::time::timeout(WAIT, asked).await.is_ok_and(|answer| answer.is_ok())
    }
}

async fn write(pool: Pool, mut arriving: mpsc::Receiver<Waiting>, pushed: Arc<Notify>) {
    // What waits; the first of them for the second time or more, because somebody held their streams.
    let mut batch: Vec<Waiting> = Vec::with_capacity(BATCH);
    let mut away = false;
    while receive(&mut arriving, &mut batch).await {
        // Whoever has given up will send it again.
        batch.retain(|waiting| !waiting.answer.is_closed());
        let outcomes = match store_in_time(&pool, &batch).await {
            Ok((outcomes, due)) => {
                if std::mem::take(&mut away) {
                    log::warn!("the database is back: notifications are taken again");
                }
                if due {
                    pushed.notify_one();
                }
                outcomes
            }
            Err(error) => {
                // Once, and not with each of thousands.
                if !std::mem::replace(&mut away, true) {
                    log::error!("notifications are not taken: {error:#}");
                }
                vec![Some(Outcome::Unavailable); batch.len()]
            }
        };
        let mut left_out = Vec::with_capacity(BATCH);
        for (waiting, outcome) in batch.drain(..).zip(outcomes) {
            match outcome {
                // Nobody may be there any more.
                Some(outcome) => _ = waiting.answer.send(outcome),
                None => left_out.push(waiting),
            }
        }
        batch = left_out;
    }
}

/// Adds what has arrived; where something was left out, that is tried again in a moment, whether more comes or not. False: the end.
async fn receive(arriving: &mut mpsc::Receiver<Waiting>, batch: &mut Vec<Waiting>) -> bool {
    if batch.is_empty() {
        return arriving.recv_many(batch, BATCH).await > 0;
    }
    tokio::time::sleep(AGAIN).await;
    while batch.len() < BATCH
        && let Ok(waiting) = arriving.try_recv()
    {
        batch.push(waiting);
    }
    true
}

/// Stores a batch within the time that its requests have; what a broken connection or a deadlock undid is done again. `None`: left out.
async fn store_in_time(pool: &Pool, batch: &[Waiting]) -> anyhow::Result<(Vec<Option<Outcome>>, bool)> {
    let until = tokio::time::Instant::now() + WAIT;
    let late = || anyhow::anyhow!("the database did not answer within {} s", WAIT.as_secs());
    loop {
        let mut client = tokio::time::timeout_at(until, pool.get()).await.map_err(|_| late())??;
        match tokio::time::timeout_at(until, store(&mut client, batch)).await {
            Ok(Err(error)) if is_gone(&error) || sql_state(&error) == Some(DEADLOCK) => {
                log::debug!("storing again: {error:#}");
                client.discard();
                // No hurry: this ends when the time is over, and a server that starts wants to be left alone.
                tokio::time::timeout_at(until, tokio::time::sleep(AGAIN)).await.map_err(|_| error)?;
            }
            Ok(stored) => return stored,
            Err(_) => {
                // A server that lives has ended the statement by itself before: nothing comes through to it, or back.
                client.discard();
                return Err(late());
            }
        }
    }
}

/// Looks senders up and stores what they may say; answers each one's outcome, and whether a stream was made due.
async fn store(client: &mut Connection, batch: &[Waiting]) -> anyhow::Result<(Vec<Option<Outcome>>, bool)> {
    // The server ends it while we still listen: given up here, it would go on there, one more with each batch.
    let tx =
        client.begin_within(&Bounds { locks: AT_SERVER, idle: WAIT, statement: Some(AT_SERVER) }, "beginning a batch").await?;
    let senders = Senders::of(&*tx, batch).await?;
    let mut outcomes = vec![None; batch.len()];
    let (mut places, mut good) = (Vec::new(), Vec::new());
    for (place, waiting) in batch.iter().enumerate() {
        match senders.admit(&waiting.arrived) {
            Ok(notification) => {
                places.push(place);
                good.push(notification);
            }
            Err(outcome) => outcomes[place] = Some(outcome),
        }
    }
    if good.is_empty() {
        return Ok((outcomes, false));
    }
    let stored = notifications::store(&tx, &good).await.context("storing a batch")?;
    tx.commit().await.context("committing a batch")?;
    let mut due = false;
    for ((place, notification), stored) in places.into_iter().zip(&good).zip(stored) {
        outcomes[place] = match stored {
            Stored::New => Some(Outcome::Accepted),
            Stored::Known => Some(Outcome::Duplicate),
            Stored::LeftOut => None,
        };
        due |= stored == Stored::New && notification.change;
    }
    Ok((outcomes, due))
}

/// What the tables know of the senders of a batch.
struct Senders {
    channels: HashMap<Uuid, Channel>,
    /// By address, in small letters: the stream, and its newest open channel.
    mailboxes: HashMap<String, (i64, Option<Uuid>)>,
    /// By Attendee's id of the bot: the stream.
    bots: HashMap<String, i64>,
}

impl Senders {
    /// Asks only for the kinds that the batch has.
    async fn of(client: &impl GenericClient, batch: &[Waiting]) -> anyhow::Result<Self> {
        let (mut ids, mut addresses, mut bots) = (Vec::new(), Vec::new(), Vec::new());
        for waiting in batch {
            match &waiting.arrived {
                Arrived::Channel { id, .. } => ids.push(*id),
                Arrived::Mail { address, .. } => addresses.push(address.as_str()),
                Arrived::Attendee { bot, .. } => bots.extend(bot.as_deref()),
            }
        }
        let channels = match ids.is_empty() {
            true => HashMap::new(),
            false => notifications::open_channels(client, &ids).await?,
        };
        let mailboxes = match addresses.is_empty() {
            true => HashMap::new(),
            false => notifications::mailboxes(client, &addresses).await?,
        };
        let bots = match bots.is_empty() {
            true => HashMap::new(),
            false => notifications::streams_of_bots(client, &bots).await?,
        };
        Ok(Self { channels, mailboxes, bots })
    }

    /// What is to be stored of one that arrived, or why nothing is.
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
            // A mailbox that is not synced is nothing to send again for: it is stored and makes nothing due.
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
            // A bot that is not ours, or is done, makes nothing due.
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
