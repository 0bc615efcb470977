//! Items that could not be fetched earlier, added to the last page of a pass.

use std::collections::HashSet;

use crate::engine::{Calls, Item, Page, Source, Stream};

/// Adds items to the last page of a pass that could not be fetched earlier and are available now.
pub(super) async fn add<S: Source>(source: &S, stream: &Stream, calls: &Calls, ids: &[String], page: &mut Page<S::Change>) {
    let named = page.items.iter().map(|item| item.id.as_str()).chain(page.poison.iter().map(|bad| bad.item_id.as_str()));
    let named: HashSet<&str> = named.collect();
    let ids: Vec<String> = ids.iter().filter(|id| !named.contains(id.as_str())).cloned().collect();
    match source.fetch_again(stream, calls, &ids).await {
        Ok((items, poison)) => {
            // They changed back when they could not be fetched, which says nothing about how often the stream changes now.
            page.items.extend(items.into_iter().map(|item| Item { changed_at: None, ..item }));
            page.poison.extend(poison);
        }
        // They stay due, and must not hold up new changes.
        Err(failure) => {
            log::info!(stream = stream.id, class:% = failure.class; "quarantined items not fetched again: {}", failure.message);
        }
    }
}
