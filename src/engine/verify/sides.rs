//! What a comparison needs from a service: both sides of a stream, and the rows derived from stored ones.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;

use super::compare::{AllDerived, News, Things};
use crate::engine::{Calls, Next, Position, Source, Stream};
use crate::error::Failure;

/// A service whose streams can be compared with what is stored of them.
pub trait Verify: Source {
    /// The scope of a comparison, chosen first so that it is the same for both sides.
    type Scope: Send + Sync;
    /// Names of the derived rows that contain data not stored elsewhere, so that rebuilding them takes a complete pass.
    const DERIVED_BY_PASS: &'static [&'static str] = &[];

    /// The scope for a stream whose last complete pass ended at this time.
    fn scope(&self, stream: &Stream, full_pass_at: DateTime<Utc>) -> Self::Scope;

    /// Lists everything that the provider has. `stored`: the stored items, for what a list cannot show.
    fn list(
        &self,
        stream: &Stream,
        calls: &Calls,
        scope: &Self::Scope,
        stored: &Things,
    ) -> impl Future<Output = Result<Things, Failure>> + Send;

    /// Everything stored of the stream, including what is outside the scope.
    fn stored(&self, tx: &Transaction<'_>, stream: &Stream) -> impl Future<Output = anyhow::Result<Things>> + Send;

    /// Which of these stored items the list must contain.
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

    /// Makes the next complete pass write these items regardless of what is stored.
    fn distrust(&self, tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Compares derived rows with their sources; the differences are keyed by the ids of the source items.
    fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> impl Future<Output = anyhow::Result<AllDerived>> + Send;

    /// Called before a complete pass that rebuilds derived rows, so that it reads their sources.
    fn distrust_derived(
        &self,
        _tx: &Transaction<'_>,
        _stream: &Stream,
        _derived: &AllDerived,
    ) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Rebuilds derived rows from what is stored.
    fn derive(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        derived: &AllDerived,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Changes according to the feed, page by page.
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
