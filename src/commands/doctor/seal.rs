//! The keys that seal credentials: readable by syncctl alone, and all there that the database needs.

use super::Findings;
use crate::commands::seal_key_file;
use crate::config::Settings;
use crate::db::Pool;
use crate::db::health;
use crate::db::pool::DatabaseLocation;
use crate::seal::{self, Vault};

const CHECK: &str = "seal keys";
const NEW: &str =
    "copy the key file from the host that made it, or make one with `syncctl accounts rekey --new-key` before the first import";

/// Opens the keys that the settings name; makes none.
pub fn open(settings: &Settings, place: Option<&DatabaseLocation>, found: &mut Findings) -> Option<Vault> {
    let private = place.is_some_and(|place| place.cluster.is_some());
    let opened =
        seal_key_file(settings, private).and_then(|file| Ok((seal::open_vault(&settings.seal.keys, &file, false)?, file)));
    let (vault, file) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            found.fail(CHECK, format!("{error:#}"), NEW);
            return None;
        }
    };
    match vault.writing_key() {
        Ok(key) => found.ok(CHECK, format!("{key:?} seals")),
        // With the private cluster the first import makes them.
        Err(_) if private && !file.exists() => found.ok(CHECK, "none yet: the first command that needs one makes it"),
        Err(error) if file.exists() => {
            found.fail(CHECK, error.to_string(), "let it belong to whoever runs syncctl, and nobody else read it")
        }
        Err(error) => found.fail(CHECK, error.to_string(), NEW),
    }
    Some(vault)
}

/// Whether every sealed value can be opened, by the ids of the keys that sealed them.
pub async fn in_use(pool: &Pool, vault: Option<&Vault>, found: &mut Findings) -> anyhow::Result<()> {
    let used = health::seal_keys(pool).await?;
    let knows = |id: &str| vault.is_some_and(|vault| vault.knows(id));
    let writing = vault.and_then(|vault| vault.writing_key().ok()).unwrap_or_default();
    let mut older = 0;
    for (id, count) in &used {
        match id {
            None => found.fail(
                CHECK,
                format!("{count} sealed values are cut or of another format"),
                "import those accounts again (`syncctl accounts check` names them)",
            ),
            Some(id) if !knows(id) => found.fail(
                CHECK,
                format!("{count} values are sealed with key {id:?}, which is not among the seal keys"),
                "add its line to the key file; a backup or another host has it",
            ),
            Some(id) if id != writing => older += count,
            Some(_) => {}
        }
    }
    if older > 0 {
        found.warn(
            CHECK,
            format!("{older} values are sealed with an older key"),
            "`syncctl accounts rekey`, then take the old key out of the file",
        );
    }
    if !used.is_empty() && used.iter().all(|(id, _)| id.as_deref().is_some_and(knows)) {
        found.ok(CHECK, format!("all {} sealed values have their key", used.iter().map(|(_, count)| count).sum::<i64>()));
    }
    Ok(())
}
