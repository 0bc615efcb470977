//! Compares the bots at Attendee that syncctl created with the stored ones. Ignores other bots.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Attendee, derived, transcript};
use crate::engine::verify::{AllDerived, ItemState, News, Things, Verify};
use crate::engine::{Calls, Stream};
use crate::error::{Class, Failure};

/// The parts of a bot that are compared.
#[derive(Deserialize)]
struct Named {
    id: String,
    state: String,
    #[serde(default)]
    transcription_state: Option<String>,
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

    async fn list(&self, stream: &Stream, calls: &Calls, _scope: &(), stored: &Things) -> Result<Things, Failure> {
        let raws = self.api.list(stream.user_id, calls, &[], None).await?;
        let ours = |raw: Box<RawValue>| {
            let bot: Named = serde_json::from_str(raw.get()).ok()?;
            Some((bot.metadata.as_ref()?.syncctl_bot.clone()?, bot))
        };
        let mut listed = Things::new();
        for (id, bot) in raws.into_iter().filter_map(ours) {
            let mut version = state_of(&bot.state).to_owned();
            if words_may_come(&bot.state, bot.transcription_state.as_deref()) {
                let raws = self.api.transcript(stream.user_id, calls, &bot.id, None).await?.unwrap_or_default();
                let said = transcript::read(raws)
                    .map_err(|wrong| Failure::new(Class::Permanent, format!("bots.transcript: {wrong}")))?;
                version = with_lines(&version, said.len());
            } else if bot.state == "data_deleted"
                && let Some(kept) = stored.get(&id).filter(|kept| state_of_version(&kept.version) == version)
            {
                // The utterances can no longer be compared.
                version.clone_from(&kept.version);
            }
            listed.insert(id, ItemState::alive(version));
        }
        Ok(listed)
    }

    /// Reads the stored bots. Every poll requests the unfinished ones, so they count as awaited.
    async fn stored(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
        let rows = tx
            .query_typed(
                "SELECT id::text, coalesce(raw_state, ''), state <> 'removed', state IN ('creating', 'open', 'ended'), transcription_state,
                   (SELECT count(*) FROM attendee_utterances u WHERE u.bot = b.id)
                 FROM attendee_bots b WHERE project_id = $1",
                &[(&stream.user_id, Type::UUID)],
            )
            .await
            .context("reading stored bots")?;
        rows.iter()
            .map(|row| {
                let (state, transcription): (&str, Option<&str>) = (row.try_get(1)?, row.try_get(4)?);
                let version = if words_may_come(state, transcription) {
                    with_lines(state_of(state), usize::try_from(row.try_get::<_, i64>(5)?)?)
                } else {
                    state_of(state).to_owned()
                };
                Ok((row.try_get(0)?, ItemState { version, alive: row.try_get(2)?, awaited: row.try_get(3)? }))
            })
            .collect()
    }

    /// Returns nothing: finished bots may be deleted at Attendee, and are kept here.
    async fn owed(&self, _tx: &Transaction<'_>, _stream: &Stream, _scope: &(), _ids: &[&str]) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Returns no news: only awaited bots can change.
    async fn news(&self, _stream: &Stream, _calls: &Calls, _cursor: &str) -> Result<News, Failure> {
        Ok(News::Of(std::collections::HashSet::new()))
    }

    /// Does nothing: no pass would write them again; `attendee poll` fetches a single bot.
    async fn distrust(&self, _tx: &Transaction<'_>, _stream: &Stream, _ids: &[&str]) -> anyhow::Result<()> {
        Ok(())
    }

    async fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<AllDerived> {
        Ok([("transcripts", derived::compared(tx, stream).await?)].into())
    }

    async fn derive(&self, tx: &Transaction<'_>, _stream: &Stream, derived: &AllDerived) -> anyhow::Result<()> {
        for transcripts in derived.values() {
            derived::rebuild(tx, &transcripts.found).await?;
        }
        Ok(())
    }
}

/// Whether utterances are counted: a failed transcription can get more at any time, and nothing else shows it.
fn words_may_come(state: &str, transcription: Option<&str>) -> bool {
    matches!(state, "ended" | "fatal_error") && transcription == Some("failed")
}

fn with_lines(state: &str, lines: usize) -> String {
    format!("{state}, {lines} lines")
}

fn state_of_version(version: &str) -> &str {
    version.split(',').next().unwrap_or_default()
}

/// The state to compare: deleted data counts as ended, because it can be deleted at any time after the bot has ended.
fn state_of(state: &str) -> &str {
    match state {
        "data_deleted" => "ended",
        state => state,
    }
}
