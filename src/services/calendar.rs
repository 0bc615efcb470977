//! Google Calendar: a user's list of calendars, and the events of each.

mod changes;
mod confirm;
mod derived;
mod detect;
mod event;
mod fetch;
pub mod instances;
mod list;
mod meetings;
mod push;
mod read;
mod removed;
mod series;
mod starting;
mod store;
mod sweep;
pub mod upcoming;
mod verify;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Transaction;
use serde_json::value::RawValue;

use super::{Probe, Registered, Service};
use crate::config::{self, EventTypes, Limits, Quota, Settings};
use crate::db::claims::Selection;
use crate::db::items::Poison;
use crate::db::runs::Tables;
use crate::engine::pace::Bounds;
use crate::engine::{Auth, Calls, Context, Counts, Decoded, Item, Page, Position, Source, Stream};
use crate::error::{Class, Failure};
use crate::google::{self, Endpoint, Host};

/// `calendarList.list` of one user.
pub const LIST: &str = "calendar_list";
/// `events.list` of one calendar.
pub const EVENTS: &str = "events";

/// Quota units per request: the Calendar API counts requests.
const COST: u64 = 1;

/// The path of `calendarList.list`.
pub const CALENDAR_LIST: [&str; 5] = ["calendar", "v3", "users", "me", "calendarList"];

/// Reads a user's calendars and events, and may watch them.
const SCOPE: &str = "https://www.googleapis.com/auth/calendar.readonly";
/// Where its calls are batched.
const BATCH: Endpoint = Endpoint { host: Host::Apis, path: ["batch", "calendar", "v3"] };

/// What accounts need to know.
pub const REGISTERED: Registered = Registered {
    service: "calendar",
    root_kind: LIST,
    scope: SCOPE,
    change_times: include_str!("calendar/sql/change_times.sql"),
    probe: Probe {
        method: "calendars.get",
        host: Host::Apis,
        // The id of the primary calendar is its owner's address.
        path: &["calendar", "v3", "calendars", "primary"],
        fields: "id",
        address: "/id",
    },
};

/// Tables of the jobs that keep their summaries apart.
const SUMMARIES: [(&str, &str); 2] =
    [("renew-watches", "calendar_watch_renewal_summaries"), ("renew-webhooks", "calendar_webhook_renewal_summaries")];

/// The types of its outbox events.
const EVENT_TYPES: EventTypes = EventTypes { standard: &[], opt_in: &changes::OPT_IN };

/// The Calendar service of one run.
pub struct Calendar {
    google: Arc<google::Client>,
    batcher: Arc<google::Batcher>,
    settings: config::Calendar,
    /// Types of outbox events that targets ask for.
    requested: HashSet<&'static str>,
    lookups: confirm::Lookups,
}

/// One change in a Calendar page.
pub enum Change {
    /// An entry of the list of calendars.
    Calendar(list::Entry),
    /// An event. Boxed because it is ten times the size of an entry.
    Event(Box<event::Event>),
    /// A meeting was looked up by its id.
    Confirmed,
}

impl Service for Calendar {
    const GOOGLE: Option<Registered> = Some(REGISTERED);
    const EVENTS: EventTypes = EVENT_TYPES;
    const NOUNS: &'static [(&'static str, [&'static str; 2])] =
        &[(EVENTS, ["event", "events"]), (LIST, ["calendar", "calendars"])];
    const LOOK: Option<&'static str> = Some("calendar agenda");

    fn enabled(settings: &Settings) -> bool {
        settings.calendar.enabled
    }

    async fn load(context: &Context, _selection: &Selection, _dry_run: bool) -> anyhow::Result<Self> {
        let (google, settings) = (Arc::clone(&context.google), &context.settings);
        let batcher = Arc::new(google::Batcher::new(Arc::clone(&google), settings.google.batch_size));
        let requested = settings.outbox.requested(&EVENT_TYPES);
        Ok(Self { google, batcher, settings: settings.calendar.clone(), requested, lookups: confirm::Lookups::default() })
    }

    async fn announce(context: &Context) -> anyhow::Result<()> {
        starting::announce(&context.pool, &context.settings).await
    }
}

impl Source for Calendar {
    const TABLES: Tables =
        Tables { service: REGISTERED.service, total: "total_users", successes: "syncs", summaries: &SUMMARIES };
    const AUTH: Auth = Auth::Scope(SCOPE);
    const PASS_SETTINGS: &'static [&'static str] =
        &["calendar.window_past", "calendar.window_future", "calendar.calendars", "calendar.meeting_words"];
    type Change = Change;

    async fn fetch(&self, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
        match stream.kind.as_str() {
            LIST => fetch::calendars(self, calls, at).await,
            EVENTS => fetch::events(self, stream, calls, at).await,
            kind => Err(unknown(kind)),
        }
    }

    async fn fetch_again(&self, stream: &Stream, calls: &Calls, ids: &[String]) -> Result<Decoded<Change>, Failure> {
        match stream.kind.as_str() {
            EVENTS => confirm::refetch(self, stream, calls, ids).await,
            _ => Ok(Decoded::default()),
        }
    }

    fn is_whole(change: &Change) -> bool {
        !matches!(change, Change::Confirmed)
    }

    fn decode(kind: &str, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
        match kind {
            LIST => list::decode(raw),
            _ => read::decode(raw),
        }
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        pass: Option<i64>,
        items: &[Item<Change>],
    ) -> anyhow::Result<Counts> {
        match stream.kind.as_str() {
            LIST => list::apply(tx, &self.settings.calendars, stream, pass, items).await,
            _ => store::apply(tx, &self.settings, &self.requested, stream, pass, items).await,
        }
    }

    async fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
        match stream.kind.as_str() {
            LIST => Ok(None),
            _ => store::known(tx, stream, id).await,
        }
    }

    async fn sweep(&self, tx: &Transaction<'_>, stream: &Stream, pass: i64, pinned: Option<&str>) -> anyhow::Result<Counts> {
        match stream.kind.as_str() {
            LIST => list::sweep(tx, stream, pass).await,
            _ => {
                let counts = sweep::sweep(tx, &self.requested, stream, pass, pinned).await?;
                // An empty calendar gets no window from its events, and without one it would not be known to be empty.
                instances::windows::of(tx, &self.settings, stream).await?;
                Ok(counts)
            }
        }
    }

    async fn begin_anew(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<()> {
        store::distrust(tx, stream).await
    }

    async fn prepare(&self, context: &Context) -> anyhow::Result<()> {
        removed::clean_up(&context.pool, &self.settings.calendars).await?;
        upcoming::follow_series(&context.pool).await?;
        self.lookups.gather(&context.pool, self.settings.min_interval).await?;
        let advanced = upcoming::advance_due(&context.pool, self.settings.min_interval, context.settings.pace.price).await?;
        log::debug!(streams = advanced; "calendars with a meeting soon are due earlier");
        Ok(())
    }

    fn limits(quota: &Quota) -> Limits {
        quota.calendar.or(Limits { project_per_minute: 10_000, user_per_minute: 600, per_day: 1_000_000, user_concurrency: 0 })
    }

    fn cost(_kind: &str) -> u64 {
        COST
    }

    fn bounds(&self, stream: &Stream) -> Bounds {
        let settings = &self.settings;
        let full_pass_every = Some(settings.full_pass_every).filter(|every| *every > Duration::ZERO);
        match stream.kind.as_str() {
            // A full pass restores calendars that were temporarily missing.
            LIST => Bounds { min: settings.list_interval, max: settings.list_interval, prior: 0.001, full_pass_every },
            _ => {
                // Events beyond the window of the last pass arrive with the next one. This interval keeps half of the window ahead.
                let half = settings.window_future / 2;
                let full_pass_every = Some(full_pass_every.map_or(half, |every| every.min(half)));
                Bounds { min: settings.min_interval, max: settings.max_interval, prior: 0.1, full_pass_every }
            }
        }
    }
}

fn unknown(kind: &str) -> Failure {
    Failure::new(Class::Internal, format!("calendar has no streams of kind {kind:?}; the database belongs to a newer syncctl"))
}

/// Parses bytes as an event and derives everything that is made from one. For `crate::fuzz`.
pub(crate) fn read_any(input: &[u8]) {
    let raw = std::str::from_utf8(input).ok().and_then(|text| RawValue::from_string(text.to_owned()).ok());
    let Some(Ok(Item { change: Change::Event(event), .. })) = raw.map(read::decode) else { return };
    std::hint::black_box(detect::meeting(&event, &config::Calendar::default().meeting_words));
    let now = chrono::DateTime::UNIX_EPOCH;
    std::hint::black_box((series::reaches(&event, now), upcoming::next_start(&event, now)));
}
