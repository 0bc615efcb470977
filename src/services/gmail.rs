//! Gmail: a user's mailbox, followed by its history. Messages to virtual addresses become documents.

pub mod attachments;
mod changes;
mod content;
mod cursor;
mod derived;
pub mod detect;
mod fetch;
mod headers;
pub mod labels;
mod list;
mod mail;
mod message;
mod partial_page;
mod push;
mod read;
mod store;
pub mod stored;
mod verify;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use deadpool_postgres::Transaction;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{Probe, Registered, Service};
use crate::address;
use crate::config::{self, EventTypes, Limits, Quota, QuotaProfile, Settings};
use crate::db::accounts;
use crate::db::claims::Selection;
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::engine::pace::Bounds;
use crate::engine::{Auth, Calls, Context, Counts, Decoded, Item, Page, Position, Source, Stream};
use crate::error::Failure;
use crate::google::{self, Endpoint, Host};

use attachments::Kept;
use attachments::memory::ContentMemory;
use changes::Announcer;
use cursor::Cursor;
use message::Change;

/// `history.list` of one user.
pub const MAILBOX: &str = "mailbox";
/// Reads a user's mail.
const SCOPE: &str = "https://www.googleapis.com/auth/gmail.readonly";
/// Where its calls are batched.
const BATCH: Endpoint = Endpoint { host: Host::Gmail, path: ["batch", "gmail", "v1"] };

/// What accounts need to know.
pub const REGISTERED: Registered = Registered {
    service: "gmail",
    root_kind: MAILBOX,
    scope: SCOPE,
    change_times: include_str!("gmail/sql/change_times.sql"),
    probe: Probe {
        method: "users.getProfile",
        host: Host::Gmail,
        path: &["gmail", "v1", "users", "me", "profile"],
        fields: "emailAddress",
        address: "/emailAddress",
    },
};
/// Maximum total size of complete messages in memory, in MiB.
const MEMORY_MIB: u32 = 32;
/// Urgency of a mailbox that recently received mail at a virtual address, relative to others: a user is probably waiting.
const ADDRESSED: f64 = 2.0;

/// Estimate: one in this many messages goes to a virtual address and is read completely.
const MESSAGES_PER_FULL_READ: usize = 10;
/// Margin added to this estimate.
const EXTRA_FULL_READS: usize = 4;

/// The Gmail service of one run.
pub struct Gmail {
    google: Arc<google::Client>,
    batcher: Arc<google::Batcher>,
    settings: config::Gmail,
    pattern: address::Pattern,
    /// Quota units of `messages.get`.
    message_cost: u64,
    /// Messages requested concurrently for one page, if the mailbox may make this many concurrent calls: two batches, so that Google prepares
    /// one while the other is parsed.
    concurrency: usize,
    memory: Semaphore,
    /// For the contents of attachments until they are stored.
    contents: ContentMemory,
    addressed: HashSet<i64>,
    /// Opt-in types of outbox events that targets ask for.
    requested: HashSet<&'static str>,
}

impl Service for Gmail {
    const GOOGLE: Option<Registered> = Some(REGISTERED);
    const EVENTS: EventTypes = EventTypes { standard: &detect::EVENTS, opt_in: &changes::OPT_IN };
    const NOUNS: &'static [(&'static str, [&'static str; 2])] = &[(MAILBOX, ["message", "messages"])];
    const LOOK: Option<&'static str> = Some("gmail list");

    fn enabled(settings: &Settings) -> bool {
        settings.gmail.enabled
    }

    /// Loads the users' domains, the values of `{domain}` in a virtual address if the settings list none, and the streams that recently received mail
    /// at a virtual address.
    ///
    /// # Errors
    /// Returns `Fault::settings` if the pattern of virtual addresses is invalid (exit code 78), or the error of the database.
    async fn load(context: &Context, _selection: &Selection, _dry_run: bool) -> anyhow::Result<Self> {
        let settings = &context.settings;
        let gmail = settings.gmail.clone();
        let domains = accounts::domains(&context.pool).await?;
        let addressed = detect::addressed(&context.pool).await?;
        let domains = if gmail.domains.is_empty() { domains } else { gmail.domains.clone() };
        Ok(Self {
            batcher: Arc::new(google::Batcher::new(Arc::clone(&context.google), settings.google.batch_size)),
            google: Arc::clone(&context.google),
            pattern: address::Pattern::new(&gmail.virtual_address, domains)?,
            message_cost: match settings.quota.profile {
                QuotaProfile::Since2026 => 20,
                QuotaProfile::Legacy => 5,
            },
            concurrency: 2 * settings.google.batch_size as usize,
            memory: Semaphore::new(MEMORY_MIB as usize),
            contents: ContentMemory::default(),
            requested: settings.outbox.requested(&Self::EVENTS),
            settings: gmail,
            addressed,
        })
    }
}

impl Gmail {
    /// Units that this many messages are expected to cost: each is requested once, and those read completely a second time.
    fn expected_cost(&self, messages: usize) -> u64 {
        let twice = match self.settings.store {
            config::MailStore::All => messages,
            _ => messages / MESSAGES_PER_FULL_READ + EXTRA_FULL_READS,
        };
        self.message_cost * (messages + twice) as u64
    }

    /// The maximum number of messages whose expected cost is within `units`, at least 1.
    fn affordable(&self, units: u64) -> usize {
        let affordable = (1..=read::MAX_MESSAGES).rev().find(|messages| self.expected_cost(*messages) <= units);
        affordable.unwrap_or(1)
    }

    /// Whether the text and attachments of a message are to be read.
    fn needs_content(&self, mail: &mail::Mail) -> bool {
        self.settings.store == config::MailStore::All || mail.recipients.iter().any(|to| self.pattern.name(to).is_some())
    }
}

impl Source for Gmail {
    const TABLES: Tables = Tables { service: REGISTERED.service, total: "total_users", successes: "polls", summaries: &[] };
    const AUTH: Auth = Auth::Scope(SCOPE);
    const PASS_SETTINGS: &'static [&'static str] = &[
        "gmail.window",
        "gmail.store",
        "gmail.whole_max_size",
        "gmail.attachments",
        "gmail.attachment_max_size",
        "gmail.html",
        "gmail.virtual_address",
        "gmail.domains",
    ];
    type Change = Change;

    async fn fetch(&self, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
        let mut page = match (partial_page::Rest::of(at)?, &at.cursor) {
            (Some(rest), _) => fetch::rest(self, calls, at, rest).await?,
            (None, Some(cursor)) => fetch::history(self, calls, &Cursor::parse(cursor), at).await?,
            (None, None) => fetch::listing(self, calls, at).await?,
        };
        labels::fetch::end(self, stream, calls, at, &mut page).await?;
        Ok(page)
    }

    async fn fetch_again(&self, _stream: &Stream, calls: &Calls, ids: &[String]) -> Result<Decoded<Change>, Failure> {
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
        let announcer = Announcer::of_page(tx, &self.requested, stream, pass, items).await?;
        let counts = store::apply(tx, stream, pass, items).await?;
        detect::apply(tx, &self.pattern, stream, items).await?;
        labels::store::apply(tx, stream, pass, items).await?;
        attachments::store::apply(tx, stream, items).await?;
        if let Some(announcer) = announcer {
            announcer.announce(tx, stream).await?;
        }
        Ok(counts)
    }

    /// A change of labels does not contain the message, so a quarantined message stays in quarantine.
    fn is_whole(change: &Change) -> bool {
        match change {
            Change::Labels { .. } => false,
            Change::LabelList(listing) => listing.labels.is_some(),
            Change::Message(_) | Change::Deleted => true,
        }
    }

    async fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
        store::known(tx, stream, id).await
    }

    async fn sweep(&self, tx: &Transaction<'_>, stream: &Stream, pass: i64, pinned: Option<&str>) -> anyhow::Result<Counts> {
        store::sweep(tx, &self.requested, stream, pass, pinned).await
    }

    async fn prepare(&self, context: &Context) -> anyhow::Result<()> {
        labels::removal::resume(&context.pool).await
    }

    fn limits(quota: &Quota) -> Limits {
        let (user_per_minute, per_day) = match quota.profile {
            QuotaProfile::Since2026 => (6_000, 80_000_000),
            QuotaProfile::Legacy => (15_000, u64::MAX),
        };
        // Google documents no limit. According to reports, one batch of 100 is refused and four consecutive batches of 25 pass.
        quota.gmail.or(Limits { project_per_minute: 1_200_000, user_per_minute, per_day, user_concurrency: 25 })
    }

    fn cost(_kind: &str) -> u64 {
        fetch::HISTORY_COST
    }

    fn page_cost(&self, _kind: &str, at: &Position) -> RangeInclusive<u64> {
        let messages = match partial_page::Rest::of(at) {
            Ok(Some(rest)) => rest.rest.len().min(read::MAX_MESSAGES),
            _ => read::MAX_MESSAGES.min(self.settings.page_size as usize),
        };
        let max = fetch::PASS_COST + self.expected_cost(messages);
        // A small minimum, so that a stream that has exhausted its user's quota per minute need not wait long to continue.
        max.div_ceil(8)..=max
    }

    fn urgency(&self, stream: i64) -> f64 {
        if self.addressed.contains(&stream) { ADDRESSED } else { 1.0 }
    }

    fn bounds(&self, _stream: &Stream) -> Bounds {
        Bounds { min: self.settings.min_interval, max: self.settings.max_interval, prior: 1.0, full_pass_every: None }
    }
}

/// Parses bytes as a message and as Gmail's JSON of one. For `crate::fuzz`.
pub(crate) fn read_any(input: &[u8]) {
    let all = Kept { attachments: &config::Attachments::all(), max_size: u64::MAX, html: true };
    std::hint::black_box((mail::of_message(input), mail::content(input, all)));
    let Ok(text) = std::str::from_utf8(input) else { return };
    std::hint::black_box(mail::plain(text));
    if let Ok(raw) = RawValue::from_string(text.to_owned()) {
        std::hint::black_box(message::decode(raw).is_ok());
    }
}
