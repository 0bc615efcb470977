//! The services: one folder and one line of the registry each. Services do not depend on each other.

pub mod attendee;
pub mod calendar;
pub mod classify;
pub mod drive;
mod entry;
pub mod gmail;
pub mod registry;

use google_apis_common::GetToken;

use crate::config::{EventTypes, Settings};
use crate::db::Pool;
use crate::db::claims::Selection;
use crate::engine::{Context, Source};
use crate::error::{Class, Failure};
use crate::google::{self, Host};

pub use entry::{Comparison, Entry};

/// A service, as its commands see it; the engine sees it as a `Source`. The registry makes an `Entry` of it.
pub trait Service: Source + Sized {
    /// What accounts need to know; `None` if its streams do not belong to accounts at Google.
    const GOOGLE: Option<Registered> = None;
    /// The types of its outbox events.
    const EVENTS: EventTypes = EventTypes { standard: &[], opt_in: &[] };
    /// Jobs that schedules start besides `cron` and those of push channels.
    const JOBS: &'static [&'static str] = &[];
    /// What its streams belong to, in the plural.
    const OWNERS: &'static str = "users";
    /// What the items of each kind of stream are called, in the singular and the plural; the main items first.
    const NOUNS: &'static [(&'static str, [&'static str; 2])];
    /// The command, without the program's name, that shows a user what is stored.
    const LOOK: Option<&'static str> = None;

    /// Whether the settings enable it.
    fn enabled(settings: &Settings) -> bool;

    /// Whether there is anything to poll.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    fn is_in_use(_pool: &Pool) -> impl Future<Output = anyhow::Result<bool>> {
        async { Ok(true) }
    }

    /// Writes events that are due at a time, such as before a meeting begins. Called before events are delivered.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    fn announce(_context: &Context) -> impl Future<Output = anyhow::Result<()>> {
        async { Ok(()) }
    }

    /// Makes streams due whose items are due. Called before a run that polls due streams, but not before a dry run.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    fn wake(_context: &Context) -> impl Future<Output = anyhow::Result<()>> {
        async { Ok(()) }
    }

    /// Loads what one run needs to poll the selected streams.
    ///
    /// # Errors
    /// Returns an error if the database fails or the settings are invalid.
    fn load(context: &Context, selection: &Selection, dry_run: bool) -> impl Future<Output = anyhow::Result<Self>>;
}

/// What accounts need to know about a service of Google's.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    /// `streams.service`
    pub service: &'static str,
    /// Kind of the stream that every user has. It creates the others.
    pub root_kind: &'static str,
    /// The narrowest OAuth scope that suffices.
    pub scope: &'static str,
    /// SQL that lists when its streams changed, for `db::change_times`.
    pub change_times: &'static str,
    /// A cheap call that shows whether access is granted.
    pub probe: Probe,
}

/// A GET request that every user of a service may make. Its response identifies the user.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Google's name for the method.
    pub method: &'static str,
    pub host: Host,
    pub path: &'static [&'static str],
    pub fields: &'static str,
    /// JSON pointer to the user's address in the response.
    pub address: &'static str,
}

impl Probe {
    /// Makes the call and returns the address of the token's owner.
    ///
    /// # Errors
    /// Returns the failures of `google::Client::get`, and a permanent failure if the response contains no address.
    pub async fn probe(&self, google: &google::Client, token: &dyn GetToken, scope: &str) -> Result<String, Failure> {
        let mut url = google.url(self.host, self.path)?;
        url.query_pairs_mut().append_pair("fields", self.fields);
        let body = google.get(self.method, token, scope, url).await?;
        let answer: serde_json::Value = google::parse_json(self.method, &body)?;
        let address = answer.pointer(self.address).and_then(|address| address.as_str()).filter(|address| address.contains('@'));
        address.map(str::to_owned).ok_or_else(|| {
            Failure::new(Class::Permanent, format!("{}: the response has no address at {}", self.method, self.address))
        })
    }
}
