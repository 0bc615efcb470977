//! Compares transcripts, their documents and the bot fields of meetings with the stored bots, and rebuilds them. No network access.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::{SERVICE, finish, store};
use crate::engine::Stream;
use crate::engine::verify::{Derived, Differences, Mismatch, wrong};
use crate::state::BotState;

/// Compares, for settled bots: the transcript, and its document for each user of the meeting; for all bots: the bot fields of their meetings.
pub async fn compared(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Derived> {
    let rows = tx
        .query_typed(
            "SELECT b.id::text, b.state = 'settled' AND CASE WHEN t.id IS NULL
                 THEN EXISTS (SELECT 1 FROM attendee_utterances u WHERE u.bot = b.id)
                 ELSE EXISTS (SELECT 1 FROM attendee_bot_meetings bm WHERE bm.bot = b.id AND NOT EXISTS (
                   SELECT 1 FROM documents o WHERE o.source = $2 AND o.source_id = b.bot_id AND o.user_id = bm.user_id AND o.status <> 'deleted')) END
               OR EXISTS (SELECT 1 FROM attendee_bot_meetings bm JOIN meetings m ON m.stream_id = bm.stream_id AND m.event_id = bm.meeting_event_id
                 WHERE bm.bot = b.id AND m.bot_id IS NULL),
               b.state = 'settled' AND EXISTS (SELECT 1 FROM attendee_bot_meetings bm JOIN documents o ON o.user_id = bm.user_id
                 WHERE bm.bot = b.id AND o.source = $2 AND o.source_id = b.bot_id AND (o.title, o.body) IS DISTINCT FROM (b.title, t.text))
             FROM attendee_bots b LEFT JOIN attendee_transcripts t ON t.bot = b.id
             WHERE b.project_id = $1 AND b.bot_id IS NOT NULL AND b.state <> 'removed'",
            &[(&stream.user_id, Type::UUID), (&SERVICE, Type::TEXT)],
        )
        .await
        .context("reading transcripts and their documents")?;
    let mut derived = Derived::default();
    for row in &rows {
        let mismatch = match (row.try_get(1)?, row.try_get(2)?) {
            (true, _) => Some(Mismatch::Missing),
            (false, true) => Some(Mismatch::Stale),
            (false, false) => None,
        };
        derived.add(row.try_get(0)?, mismatch);
    }
    Ok(derived)
}

/// Rebuilds them from the stored utterances.
pub async fn rebuild(tx: &Transaction<'_>, differences: &Differences) -> anyhow::Result<()> {
    let bots: Vec<Uuid> =
        wrong(differences).into_iter().map(str::parse).collect::<Result<_, _>>().context("reading ids of bots")?;
    tx.execute_typed(
        "UPDATE documents o SET content_hash = '', changed_xid = DEFAULT FROM attendee_bots b
         WHERE b.id = ANY ($1) AND o.source = $2 AND o.source_id = b.bot_id",
        &[(&bots, Type::UUID_ARRAY), (&SERVICE, Type::TEXT)],
    )
    .await
    .context("distrusting documents of transcripts")?;
    for bot in &bots {
        if let Some(row) = store::held(tx, *bot).await?.filter(|row| row.state == BotState::Settled) {
            finish::rebuild(tx, &row).await?;
        }
    }
    store::show(tx, &bots).await
}
