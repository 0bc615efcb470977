//! Mailboxes for comparison: the messages of the window with their labels, listed label by label. Getting messages one by one would cost 20
//! units each; 5 units list up to 500 messages with a label.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Context as _;
use chrono::{DateTime, Duration, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::attachments::compared as attachments;
use super::cursor::Cursor;
use super::fetch;
use super::labels::{self, OWN};
use super::list::{LIST_COST, LIST_FIELDS, Listed};
use super::{BATCH, Gmail, SCOPE, derived};
use crate::engine::verify::{AllDerived, ItemState, News, Things, Verify};
use crate::engine::{Calls, Stream};
use crate::error::Failure;
use crate::google::parse_json;

/// Messages per page: Google's maximum.
const PAGE: &str = "500";
/// Number of labels listed concurrently.
const CONCURRENT_LABELS: usize = 16;
/// Margin at the edge of the window, where the expected state is uncertain.
const EDGE: Duration = Duration::minutes(1);

impl Verify for Gmail {
    /// The start of the window.
    type Scope = Option<DateTime<Utc>>;
    const DERIVED_BY_PASS: &'static [&'static str] = &[attachments::NAME];

    fn scope(&self, _stream: &Stream, _full_pass_at: DateTime<Utc>) -> Self::Scope {
        self.settings.window.map(|window| Utc::now() - window)
    }

    async fn list(&self, _stream: &Stream, calls: &Calls, scope: &Self::Scope, stored: &Things) -> Result<Things, Failure> {
        let labels = labels::fetch::list(self, calls).await?;
        let mut messages: HashMap<String, BTreeSet<String>> =
            listed(self, calls, *scope, None).await?.into_iter().map(|id| (id, BTreeSet::new())).collect();
        let known: HashSet<String> = labels.iter().map(|label| label.id.clone()).collect();
        let each = labels
            .into_iter()
            .map(async |label| Ok::<_, Failure>((listed(self, calls, *scope, Some(&label.id)).await?, label.id)));
        let each: Vec<_> = each.collect();
        let mut each = futures_util::stream::iter(each).buffer_unordered(CONCURRENT_LABELS);
        while let Some((ids, label)) = each.try_next().await? {
            for id in ids {
                // A message that arrived after the listing is in the history.
                if let Some(labels) = messages.get_mut(&id) {
                    labels.insert(label.clone());
                }
            }
        }
        // labels.list omits some of Gmail's own labels, so their stored state is kept. A user label that is not listed no longer exists.
        for (id, labels) in &mut messages {
            let kept = stored.get(id).map_or("", |message| &message.version).split(',');
            labels.extend(
                kept.filter(|label| !label.is_empty() && !label.starts_with(OWN) && !known.contains(*label)).map(str::to_owned),
            );
        }
        Ok(messages.into_iter().map(|(id, labels)| (id, ItemState::alive(Vec::from_iter(labels).join(",")))).collect())
    }

    async fn stored(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
        let rows = tx
            .query_typed(
                // A deleted label leaves the messages of a large mailbox over several runs.
                "SELECT message_id, array_to_string(ARRAY(SELECT DISTINCT label COLLATE \"C\" FROM unnest(labels) AS label
                   WHERE label <> ALL (ARRAY(SELECT label_id FROM gmail_labels WHERE stream_id = $1 AND removed_to IS NOT NULL)) ORDER BY 1), ',')
                 FROM gmail_messages WHERE stream_id = $1 AND deleted_at IS NULL",
                &[(&stream.id, Type::INT8)],
            )
            .await
            .context("reading stored messages")?;
        rows.iter().map(|row| Ok((row.try_get(0)?, ItemState::alive(row.try_get::<_, String>(1)?)))).collect()
    }

    async fn owed(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        scope: &Self::Scope,
        ids: &[&str],
    ) -> anyhow::Result<Vec<String>> {
        let since = scope.map(|since| since + EDGE);
        let rows = tx
            .query_typed(
                "SELECT message_id FROM gmail_messages WHERE stream_id = $1 AND message_id = ANY ($2)
                   AND ($3::timestamptz IS NULL OR received_at >= $3)",
                &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY), (&since, Type::TIMESTAMPTZ)],
            )
            .await
            .context("looking for messages that should have been listed")?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn news(&self, _stream: &Stream, calls: &Calls, cursor: &str) -> Result<News, Failure> {
        Ok(News::Of(fetch::changed(self, calls, &Cursor::parse(cursor)).await?))
    }

    async fn distrust(&self, tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<()> {
        tx.execute_typed(
            "UPDATE gmail_messages SET history_id = NULL, changed_xid = DEFAULT WHERE stream_id = $1 AND message_id = ANY ($2)",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("invalidating messages")?;
        Ok(())
    }

    async fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<AllDerived> {
        let documents = derived::compared(tx, stream, &self.pattern).await?;
        Ok([("documents", documents), (attachments::NAME, attachments::compared(tx, stream).await?)].into())
    }

    async fn derive(&self, tx: &Transaction<'_>, stream: &Stream, derived: &AllDerived) -> anyhow::Result<()> {
        for (name, derived) in derived {
            match *name {
                attachments::NAME => attachments::ask_for(tx, stream, &derived.found).await?,
                _ => derived::made(tx, stream, &self.pattern, &derived.found).await?,
            }
        }
        Ok(())
    }
}

/// Lists the ids of all messages in the window, or of those with a label.
async fn listed(gmail: &Gmail, calls: &Calls, since: Option<DateTime<Utc>>, label: Option<&str>) -> Result<Vec<String>, Failure> {
    let (mut ids, mut page_token) = (Vec::new(), None::<String>);
    loop {
        let mut url = gmail.url(&["messages"])?;
        url.query_pairs_mut()
            .append_pair("maxResults", PAGE)
            .append_pair("includeSpamTrash", "true")
            .append_pair("fields", LIST_FIELDS)
            .extend_pairs(label.map(|label| ("labelIds", label)))
            .extend_pairs(since.map(|since| ("q", format!("after:{}", since.timestamp()))));
        fetch::append_page(&mut url, page_token.as_deref());
        let Listed { messages, next_page_token } = calls
            .make(LIST_COST, async || {
                let (what, scope) = ("messages.list", SCOPE);
                // A label usually has few messages, so first pages are batched.
                let answer = match page_token {
                    None => gmail.batcher.get(BATCH, what, &calls.credential, scope, url.clone()).await,
                    Some(_) => gmail.google.get(what, &calls.credential, scope, url.clone()).await,
                };
                parse_json(what, &answer?)
            })
            .await?;
        ids.extend(messages.into_iter().map(|message| message.id));
        match next_page_token {
            Some(token) => page_token = Some(token),
            None => return Ok(ids),
        }
    }
}
