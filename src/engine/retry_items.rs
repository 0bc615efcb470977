//! Tries quarantined items again, through the same decode and apply as a page.

use anyhow::Context as _;
use serde_json::value::RawValue;

use super::{Context, Source, Stream, apply};
use crate::db::items::{self, Poison, Quarantined};
use crate::db::streams;

/// What became of a quarantined item.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// It is applied and has left quarantine.
    Applied,
    /// It stays, with this error.
    Kept(String),
}

/// Decodes and applies one item again.
///
/// # Errors
/// The database failed; the item stays as it was.
pub async fn retry<S: Source>(context: &Context, source: &S, item: &Quarantined) -> anyhow::Result<Retried> {
    let stream = Stream { id: item.stream_id, user_id: item.user_id, kind: item.kind.clone(), resource: item.resource.clone() };
    let decoded = RawValue::from_string(item.raw.clone())
        .map_err(|error| format!("not JSON: {error}"))
        .and_then(|raw| S::decode(&item.kind, raw).map_err(|poison| poison.error));
    let mut client = context.pool.get().await?;
    let mut tx = client.transaction().await.context("beginning the retry")?;
    if !streams::hold(&tx, item.stream_id).await? {
        return Ok(Retried::Kept("the stream was removed".into()));
    }
    let error = match decoded {
        Err(error) => error,
        Ok(decoded) => {
            let savepoint = tx.transaction().await.context("setting a savepoint")?;
            match source.apply(&savepoint, &stream, None, &[decoded]).await {
                Ok(_) => {
                    savepoint.commit().await.context("releasing the savepoint")?;
                    items::clear(&tx, item.stream_id, &[&item.item_id]).await?;
                    tx.commit().await.context("committing the retry")?;
                    return Ok(Retried::Applied);
                }
                Err(error) if apply::blames_the_data(&error) => {
                    savepoint.rollback().await.context("rolling back to the savepoint")?;
                    format!("{error:#}")
                }
                Err(error) => return Err(error),
            }
        }
    };
    let poison = Poison { item_id: item.item_id.clone(), raw: item.raw.clone(), error: error.clone() };
    items::quarantine(&tx, item.stream_id, &[poison]).await?;
    tx.commit().await.context("committing the retry")?;
    Ok(Retried::Kept(error))
}
