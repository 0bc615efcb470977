//! Push channels of Drive: `changes.watch`. No database access.

use uuid::Uuid;

use super::{CHANGES, Drive, REGISTERED, SCOPE, fetch};
use crate::config;
use crate::engine::Stream;
use crate::engine::push::{Ask, Pushed, Watched};
use crate::engine::tokens::Credential;
use crate::error::Failure;
use crate::google::Host;

impl Pushed for Drive {
    const KINDS: &'static [&'static str] = &[CHANGES];
    const COSTS: (u64, u64) = (fetch::OTHER_COST, fetch::OTHER_COST);
    const ONLY: Option<&'static str> = None;

    fn address(push: &config::Push) -> String {
        push.address_of(REGISTERED.service)
    }

    async fn watch(&self, stream: &Stream, cursor: &str, credential: &Credential, ask: &Ask) -> Result<Watched, Failure> {
        let mut url = self.google.url(Host::Apis, &["drive", "v3", "changes", "watch"])?;
        // Watch the same feed that is polled, or the channel would announce changes that the poll does not show.
        fetch::append_feed(&mut url, stream);
        url.query_pairs_mut().append_pair("pageToken", cursor).append_pair("includeRemoved", "true");
        self.google.watch("changes.watch", credential, SCOPE, url, ask).await
    }

    async fn stop(&self, credential: &Credential, channel: Uuid, resource: &str) -> Result<(), Failure> {
        let url = self.google.url(Host::Apis, &["drive", "v3", "channels", "stop"])?;
        self.google.stop_channel(credential, SCOPE, url, channel, resource).await
    }
}
