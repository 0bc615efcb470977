//! `accounts rekey`: reseals every secret with the newest key.

use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::commands::{Output, complain};
use crate::db::accounts;
use crate::engine::Context;
use crate::error::Exit;
use crate::seal::Column;
use crate::services::attendee::projects;

/// Number of accounts read per query.
const REKEY_CHUNK: i64 = 500;

pub(super) async fn rekey(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let vault = &context.vault;
    let (mut after, mut sealed, mut failed) = (Uuid::nil(), 0u64, Vec::new());
    loop {
        let rows = accounts::sealed_after(&context.pool, after, REKEY_CHUNK).await?;
        let Some(last) = rows.last() else { break };
        after = last.0;
        for (user, credentials, token) in &rows {
            let reseal = |column, blob: &[u8]| -> anyhow::Result<Vec<u8>> {
                vault.seal(*user, column, vault.open(*user, column, blob)?.expose_secret().as_bytes())
            };
            let done = reseal(Column::Credentials, credentials).map(|credentials| {
                // A token is only a cache: drop one that cannot be opened.
                let token = token.as_deref().and_then(|token| reseal(Column::AccessToken, token).ok());
                (credentials, token)
            });
            match done {
                Ok(new) => {
                    let old = (credentials.as_slice(), token.as_deref());
                    // False if another process changed the row in the meantime, with the newest key or an older one; the next rekey handles it.
                    sealed += u64::from(accounts::reseal(&context.pool, *user, old, (&new.0, new.1.as_deref())).await?);
                }
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
    }
    let (keys, wrong) = projects::reseal(&context.pool, vault).await?;
    failed.extend(wrong);
    for error in &failed {
        complain(error);
    }
    let key = vault.writing_key()?;
    output.print(
        &serde_json::json!({ "resealed": sealed, "resealed_projects": keys, "failed": failed.len(), "key": key }),
        || {
            let projects = if keys > 0 { format!(" and {keys} Attendee projects") } else { String::new() };
            format!("{sealed} accounts{projects} sealed with key {key}, {} failed", failed.len())
        },
    )?;
    Ok(if failed.is_empty() { Exit::Done } else { Exit::SomeFailed })
}
