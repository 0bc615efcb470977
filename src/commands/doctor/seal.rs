//! Checks the keys that seal credentials: readable by syncctl alone, and complete for the database.

use super::Findings;
use crate::commands::seal_key_file;
use crate::config::Settings;
use crate::db::Pool;
use crate::db::health;
use crate::db::pool::DatabaseLocation;
use crate::seal::{self, Vault};

const CHECK: &str = "seal keys";
const GET_KEYS: &str = "copy the key file from the host that created it, or create one with `syncctl accounts rekey --new-key` before the first import";

/// Opens the keys named in the settings; does not create any.
pub fn open(settings: &Settings, location: Option<&DatabaseLocation>, findings: &mut Findings) -> Option<Vault> {
    let private = location.is_some_and(|location| location.cluster.is_some());
    let opened =
        seal_key_file(settings, private).and_then(|file| Ok((seal::open_vault(&settings.seal.keys, &file, false)?, file)));
    let (vault, file) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            findings.fail(CHECK, format!("{error:#}"), GET_KEYS);
            return None;
        }
    };
    match vault.writing_key() {
        Ok(key) => findings.ok(CHECK, format!("new values are sealed with {key:?}")),
        // With the private cluster, the first import creates them.
        Err(_) if private && !file.exists() => findings.ok(CHECK, "none yet: the first command that needs one creates it"),
        Err(error) if file.exists() => {
            findings.fail(CHECK, error.to_string(), "make it owned by the user that runs syncctl and readable by no one else")
        }
        Err(error) => findings.fail(CHECK, error.to_string(), GET_KEYS),
    }
    Some(vault)
}

/// Checks by key id that every sealed value can be opened.
pub async fn in_use(pool: &Pool, vault: Option<&Vault>, findings: &mut Findings) -> anyhow::Result<()> {
    let used = health::seal_keys(pool).await?;
    let knows = |id: &str| vault.is_some_and(|vault| vault.knows(id));
    let writing = vault.and_then(|vault| vault.writing_key().ok()).unwrap_or_default();
    let mut older = 0;
    for (id, count) in &used {
        match id {
            None => findings.fail(
                CHECK,
                format!("{count} sealed values are truncated or in another format"),
                "import those accounts again (`syncctl accounts check` names them)",
            ),
            Some(id) if !knows(id) => findings.fail(
                CHECK,
                format!("{count} values are sealed with key {id:?}, which is not among the seal keys"),
                "add its line to the key file; a backup or another host has it",
            ),
            Some(id) if id != writing => older += count,
            Some(_) => {}
        }
    }
    if older > 0 {
        findings.warn(
            CHECK,
            format!("{older} values are sealed with an older key"),
            "run `syncctl accounts rekey`, then remove the old key from the file",
        );
    }
    if !used.is_empty() && used.iter().all(|(id, _)| id.as_deref().is_some_and(knows)) {
        findings.ok(CHECK, format!("all {} sealed values have their key", used.iter().map(|(_, count)| count).sum::<i64>()));
    }
    Ok(())
}
