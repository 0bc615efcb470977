//! Bots for comparison: those at Attendee that syncctl asked for, and what is stored of them. Bots of others are passed over.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Attendee;
use crate::engine::verify::{News, Thing, Things, Verify};
use crate::engine::{Calls, Stream};
use crate::error::Failure;

/// The parts of a bot that are compared.
#[derive(Deserialize)]
struct Named {
    state: String,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    /// `attendee_bots.id`
    syncctl_bot: Option<String>,
}

impl Verify for Attendee {
    type Scope = ();

    fn scope(&self, _stream: &Stream, _full_pass_at: DateTime<Utc>) -> Self::Scope {}

    async fn list(&self, stream: &Stream, calls: &Calls, _scope: &(), _stored: &Things) -> Result<Things, Failure> {
        let raws = self.api.list(stream.user_id, calls, &[], None).await?;
        let ours = |raw: Box<RawValue>| {
            let Named { state, metadata } = serde_json::from_str(raw.get()).ok()?;
            Some((metadata?.syncctl_bot?, Thing::alive(state_of(&state))))
        };
        Ok(raws.into_iter().filter_map(ours).collect())
    }

    /// A bot that is not done is asked for by every poll.
    async fn stored(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
        let rows = tx
            .query_typed(
                "SELECT id::text, coalesce(raw_state, ''), state <> 'removed', state IN ('creating', 'open', 'ended')
                 FROM attendee_bots WHERE project_id = $1",
                &[(&stream.user_id, Type::UUID)],
            )
            .await
            .context("reading stored bots")?;
        rows.iter()
            .map(|row| {
                let thing = Thing { version: state_of(row.try_get(1)?).into(), alive: row.try_get(2)?, awaited: row.try_get(3)? };
                Ok((row.try_get(0)?, thing))
            })
            .collect()
    }

    /// None: what is done may be deleted there, and is kept here.
    async fn owed(&self, _tx: &Transaction<'_>, _stream: &Stream, _scope: &(), _ids: &[&str]) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Nothing but what is awaited can change.
    async fn news(&self, _stream: &Stream, _calls: &Calls, _cursor: &str) -> Result<News, Failure> {
        Ok(News::Of(std::collections::HashSet::new()))
    }

    /// There is no pass that would write them: `attendee poll` asks for a single bot.
    async fn distrust(&self, _tx: &Transaction<'_>, _stream: &Stream, _ids: &[&str]) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Data can be deleted at any time once the bot has ended.
fn state_of(state: &str) -> &str {
    match state {
        "data_deleted" => "ended",
        state => state,
    }
}
