//! Push channels of Calendar: `events.watch`, `calendarList.watch`. No database access.

use uuid::Uuid;

use super::{COST, Calendar, EVENTS, LIST, REGISTERED, SCOPE, unknown};
use crate::config;
use crate::engine::Stream;
use crate::engine::push::{Ask, Pushed, Watched};
use crate::engine::tokens::Credential;
use crate::error::Failure;
use crate::google::Host;

impl Pushed for Calendar {
    const KINDS: &'static [&'static str] = &[LIST, EVENTS];
    const COSTS: (u64, u64) = (COST, COST);
    const ONLY: Option<&'static str> = None;

    fn address(push: &config::Push) -> String {
        push.address_of(REGISTERED.service)
    }

    async fn watch(&self, stream: &Stream, _cursor: &str, credential: &Credential, ask: &Ask) -> Result<Watched, Failure> {
        let (what, path): (_, &[&str]) = match stream.kind.as_str() {
            LIST => ("calendarList.watch", &["calendar", "v3", "users", "me", "calendarList", "watch"]),
            EVENTS => ("events.watch", &["calendar", "v3", "calendars", &stream.resource, "events", "watch"]),
            kind => return Err(unknown(kind)),
        };
        let url = self.google.url(Host::Apis, path)?;
        self.google.watch(what, credential, SCOPE, url, ask).await
    }

    async fn stop(&self, credential: &Credential, channel: Uuid, resource: &str) -> Result<(), Failure> {
        let url = self.google.url(Host::Apis, &["calendar", "v3", "channels", "stop"])?;
        self.google.stop_channel(credential, SCOPE, url, channel, resource).await
    }
}
