//! What a comparison asks of a service: both sides of a stream, and the rows that are made of what is stored.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;

use super::compare::{Derived, Differences, News, Things};
use crate::engine::{Calls, Next, Position, Source, Stream};
use crate::error::Failure;

/// A service whose streams can be compared with what is stored of them.
pub trait Verify: Source {
    /// What a comparison covers: chosen first, so that both sides speak of the same.
    type Scope: Send + Sync;
    /// What a report calls the rows that are made of stored ones: `meetings`, `documents`.
    const DERIVED: &'static str;
    /// They hold what is not stored elsewhere, so that it takes a complete pass to make them anew.
    const DERIVED_BY_PASS: bool = false;

    /// What is to be compared of a stream whose last complete pass ended then.
    fn scope(&self, stream: &Stream, full_pass_at: DateTime<Utc>) -> Self::Scope;

    /// Everything that the provider has of it. `stored` is what is to be compared with it, for what a list cannot show.
    fn list(
        &self,
        stream: &Stream,
        calls: &Calls,
        scope: &Self::Scope,
        stored: &Things,
    ) -> impl Future<Output = Result<Things, Failure>> + Send;

    /// Everything that is stored of the stream, also what lies outside of the scope.
    fn stored(&self, tx: &Transaction<'_>, stream: &Stream) -> impl Future<Output = anyhow::Result<Things>> + Send;

    /// Which of these things, which are stored, the list must have named.
    fn owed(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        scope: &Self::Scope,
        ids: &[&str],
    ) -> impl Future<Output = anyhow::Result<Vec<String>>> + Send;

    /// What has changed since the cursor.
    fn news(&self, stream: &Stream, calls: &Calls, cursor: &str) -> impl Future<Output = Result<News, Failure>> + Send {
        fed(self, stream, calls, cursor)
    }

    /// Lets the next complete pass write these things whatever is stored of them.
    fn distrust(&self, tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Holds the rows that are made of stored ones against these: by the ids of what they are made of.
    fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> impl Future<Output = anyhow::Result<Derived>> + Send;

    /// Before a complete pass that makes derived rows anew: lets it read what they are made of. Only where `DERIVED_BY_PASS`.
    fn distrust_derived(
        &self,
        _tx: &Transaction<'_>,
        _stream: &Stream,
        _found: &Differences,
    ) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Makes derived rows anew of what is stored.
    fn derive(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        found: &Differences,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What the feed names, page by page.
async fn fed<S: Source + ?Sized>(source: &S, stream: &Stream, calls: &Calls, cursor: &str) -> Result<News, Failure> {
    let mut at = Position { cursor: Some(cursor.to_owned()), ..Position::default() };
    let mut ids = HashSet::new();
    loop {
        let page = source.fetch(stream, calls, &at).await?;
        ids.extend(page.items.into_iter().map(|item| item.id));
        ids.extend(page.poison.into_iter().map(|poison| poison.item_id));
        match page.next {
            Next::Page(token) => at.page_token = Some(token),
            Next::Cursor(_) => return Ok(News::Of(ids)),
        }
    }
}
