//! Gmail: a user's mailbox, followed by its history; virtual addresses in it become documents.

mod derived;
pub mod detect;
mod fetch;
mod headers;
mod mail;
mod message;
mod partial_page;
mod push;
mod read;
mod store;
mod verify;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use deadpool_postgres::Transaction;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{Probe, Registered};
use crate::address;
use crate::config::{self, QuotaProfile};
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::engine::pace::Bounds;
use crate::engine::{Auth, Calls, Counts, Found, Item, Page, Position, Source, Stream};
use crate::error::{Failure, Fault};
use crate::google::{self, Host};

use message::Change;

pub use detect::EVENTS;

/// `history.list` of one user.
pub const MAILBOX: &str = "mailbox";
/// The registry's line.
pub const REGISTERED: Registered = Registered {
    service: "gmail",
    root_kind: MAILBOX,
    scope: google::SCOPE_GMAIL,
    enabled: |settings| settings.gmail.enabled,
    change_times: include_str!("gmail/sql/change_times.sql"),
    probe: Probe {
        method: "users.getProfile",
        host: Host::Gmail,
        path: &["gmail", "v1", "users", "me", "profile"],
        fields: "emailAddress",
        address: "/emailAddress",
    },
};
/// Mebibytes of whole messages in memory at once.
const MEMORY: u32 = 32;
/// How many times more urgent a mailbox is that brought mail to a virtual address lately: somebody waits for an answer.
const ADDRESSED: f64 = 2.0;

/// One message of so many is taken to go to a virtual address.
const READ_WHOLE: usize = 10;
/// And a few more by chance.
const SOME_MORE: usize = 4;

/// The Gmail service of one run.
pub struct Gmail {
    google: Arc<google::Client>,
    batcher: Arc<google::Batcher>,
    settings: config::Gmail,
    pattern: address::Pattern,
    /// Units of `messages.get`.
    message_cost: u64,
    /// Messages asked for at once for one page, if the mailbox may have so many calls under way: two batches, so that Google fills one while the
    /// other is read.
    at_once: usize,
    memory: Semaphore,
    addressed: HashSet<i64>,
}

impl Gmail {
    /// The service with these settings. `domains`: what `{domain}` in a virtual address may be where the settings name none; `addressed`:
    /// streams that brought mail to a virtual address lately.
    ///
    /// # Errors
    /// A pattern of virtual addresses that makes no sense (exit 78).
    pub fn new(
        google: Arc<google::Client>,
        settings: &config::Settings,
        domains: Vec<String>,
        addressed: HashSet<i64>,
    ) -> Result<Self, Fault> {
        let gmail = settings.gmail.clone();
        let domains = if gmail.domains.is_empty() { domains } else { gmail.domains.clone() };
        Ok(Self {
            batcher: Arc::new(google::Batcher::new(Arc::clone(&google), settings.google.batch_size)),
            google,
            pattern: address::Pattern::new(&gmail.virtual_address, domains)?,
            message_cost: match settings.quota.profile {
                QuotaProfile::Since2026 => 20,
                QuotaProfile::Legacy => 5,
            },
            at_once: 2 * settings.google.batch_size as usize,
            memory: Semaphore::new(MEMORY as usize),
            settings: gmail,
            addressed,
        })
    }

    /// Units that so many messages cost: each is asked for once, and those that are read whole a second time.
    fn expected_cost(&self, messages: usize) -> u64 {
        let twice = match self.settings.store {
            config::MailStore::All => messages,
            _ => messages / READ_WHOLE + SOME_MORE,
        };
        self.message_cost * (messages + twice) as u64
    }

    /// How many messages so many units are enough for.
    fn affordable(&self, units: u64) -> usize {
        // The largest number whose cost is within them.
        let most = (1..=read::AT_MOST).rev().find(|messages| self.expected_cost(*messages) <= units);
        most.unwrap_or(1)
    }

    /// Whether text and attachments of a message are wanted.
    fn wants_whole(&self, mail: &mail::Mail) -> bool {
        self.settings.store == config::MailStore::All || mail.recipients.iter().any(|to| self.pattern.name(to).is_some())
    }
}

impl Source for Gmail {
    const TABLES: Tables = Tables { service: "gmail", total: "total_users", successes: "polls" };
    const AUTH: Auth = Auth::Scope(google::SCOPE_GMAIL);
    type Change = Change;

    async fn fetch(&self, _stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
        match (partial_page::Rest::of(at)?, &at.cursor) {
            (Some(rest), _) => fetch::rest(self, calls, at, rest).await,
            (None, Some(cursor)) => fetch::history(self, calls, cursor, at).await,
            (None, None) => fetch::listing(self, calls, at).await,
        }
    }

    async fn fetch_again(&self, _stream: &Stream, calls: &Calls, ids: &[String]) -> Result<Found<Change>, Failure> {
        read::refetch(self, calls, ids).await
    }

    fn decode(_kind: &str, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
        message::decode(raw)
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        pass: Option<i64>,
        items: &[Item<Change>],
    ) -> anyhow::Result<Counts> {
        let counts = store::apply(tx, stream, pass, items).await?;
        detect::apply(tx, &self.pattern, stream, items).await?;
        Ok(counts)
    }

    /// Labels are no message: one that could not be stored is still to be.
    fn is_whole(change: &Change) -> bool {
        !matches!(change, Change::Labels { .. })
    }

    async fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
        store::known(tx, stream, id).await
    }

    async fn sweep(tx: &Transaction<'_>, stream: &Stream, pass: i64, pinned: Option<&str>) -> anyhow::Result<Counts> {
        store::sweep(tx, stream, pass, pinned).await
    }

    fn cost(_kind: &str) -> u64 {
        fetch::HISTORY_COST
    }

    fn page_cost(&self, _kind: &str, at: &Position) -> RangeInclusive<u64> {
        let messages = match partial_page::Rest::of(at) {
            Ok(Some(rest)) => rest.rest.len().min(read::AT_MOST),
            _ => read::AT_MOST.min(self.settings.page_size as usize),
        };
        let most = fetch::PASS_COST + self.expected_cost(messages);
        // Small parts, so that whoever runs into their user's minute has little left to wait for.
        most.div_ceil(8)..=most
    }

    fn urgency(&self, stream: i64) -> f64 {
        if self.addressed.contains(&stream) { ADDRESSED } else { 1.0 }
    }

    fn bounds(&self, _stream: &Stream) -> Bounds {
        Bounds { min: self.settings.min_interval, max: self.settings.max_interval, prior: 1.0, full_pass_every: None }
    }
}

/// Reads bytes as a message and as Gmail's JSON of one, for `crate::fuzz`.
pub(crate) fn read_any(input: &[u8]) {
    std::hint::black_box((mail::of_message(input), mail::content(input)));
    let Ok(text) = std::str::from_utf8(input) else { return };
    std::hint::black_box(mail::plain(text));
    if let Ok(raw) = RawValue::from_string(text.to_owned()) {
        std::hint::black_box(message::decode(raw).is_ok());
    }
}
