//! What a run needs before it touches a stream: keys, prices, and which projects are not called.

use super::{Context, Job, Source, budget};
use crate::db::prices::Prices;
use crate::db::{explained, health};
use crate::error::Fault;

/// Whether this host has keys, and they open anything of what is sealed. Where they do not, that is no stream's fault: nothing must be put off for
/// the hosts that have the right ones.
pub(super) async fn keys(context: &Context) -> anyhow::Result<Result<(), Fault>> {
    if let Err(none) = context.vault.writing_key() {
        return Ok(Err(none));
    }
    let sealed = health::sealed_credentials(&context.pool, &context.vault.key_ids()).await?;
    Ok(match sealed.as_slice() {
        [] => Ok(()),
        [(key, _), ..] => {
            let count: i64 = sealed.iter().map(|(_, count)| count).sum();
            Err(context.vault.stale(count, key))
        }
    })
}

/// The keys of this host, what polls cost, and which projects are not called.
pub(super) async fn ready<S: Source>(
    context: &Context,
    source: &S,
    job: &Job,
    keys: Result<(), Fault>,
) -> anyhow::Result<Prices> {
    keys?;
    budget::prices(context, source, !job.dry_run).await.map_err(explained)
}
