//! Retries quarantined items that were received but could not be applied, with the same decode and apply as for a page.

use anyhow::Context as _;
use serde_json::value::RawValue;

use super::single::{self, ApplyOutcome};
use super::{Context, Source, Stream};
use crate::db::items::{self, Poison, Quarantined};
use crate::db::streams;

/// The result of retrying a quarantined item.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// The item, or a newer version of it, is applied and has left quarantine.
    Applied,
    /// It stays in quarantine, with this error.
    Kept(String),
}

/// Decodes and applies one item again.
///
/// # Errors
/// Returns an error if the database failed; the item is then unchanged.
pub async fn retry<S: Source>(context: &Context, source: &S, item: &Quarantined) -> anyhow::Result<Retried> {
    let stream = Stream {
        id: item.stream_id,
        user_id: item.user_id,
        kind: item.kind.clone(),
        resource: item.resource.clone(),
        full_pass_at: None,
    };
    let decoded = RawValue::from_string(item.raw.clone())
        .map_err(|error| format!("not JSON: {error}"))
        .and_then(|raw| S::decode(&item.kind, raw).map_err(|poison| poison.error));
    let mut client = context.pool.get().await?;
    let mut tx = client.begin("beginning the retry").await?;
    // The feed may have delivered a newer version meanwhile, which removed the item from quarantine: it must not be put back.
    if streams::hold(&tx, item.stream_id).await? && !items::lies(&tx, item.id, &item.raw).await? {
        return Ok(Retried::Applied);
    }
    let poison = match decoded {
        Err(error) => {
            if streams::hold(&tx, item.stream_id).await? {
                Poison { item_id: item.item_id.clone(), raw: item.raw.clone(), error, unfetched: None }
            } else {
                return Ok(removed());
            }
        }
        Ok(decoded) => match single::held(source, &mut tx, &stream, &decoded, None).await? {
            ApplyOutcome::Applied(_) => {
                tx.commit().await.context("committing the retry")?;
                return Ok(Retried::Applied);
            }
            ApplyOutcome::Gone => return Ok(removed()),
            ApplyOutcome::Overtaken => return Ok(Retried::Kept(single::overtaken().message)),
            ApplyOutcome::Refused(poison) => poison,
        },
    };
    let error = poison.error.clone();
    items::quarantine(&tx, item.stream_id, &[poison], None).await?;
    tx.commit().await.context("committing the retry")?;
    Ok(Retried::Kept(error))
}

pub(super) fn removed() -> Retried {
    Retried::Kept("the stream was removed".into())
}
