//! Seals secrets before they reach the database: XChaCha20-Poly1305, bound to owner and column. Does not access the database.
//!
//! A blob is `0x01 | key id length | key id | nonce (24) | ciphertext and tag`.

mod file;

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::error::Fault;
use crate::trusted;

pub use file::add_key;

const FORMAT: u8 = 1;
const NONCE: usize = 24;

/// The columns with sealed values. The column name is authenticated by the seal.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// `accounts.credentials`
    Credentials,
    /// `accounts.access_token`
    AccessToken,
    /// `attendee_projects.api_key`
    AttendeeKey,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Credentials => "accounts.credentials",
            Self::AccessToken => "accounts.access_token",
            Self::AttendeeKey => "attendee_projects.api_key",
        }
    }

    /// The kind of its owner, and the remedy for a value that cannot be opened.
    fn owner(self) -> (&'static str, &'static str) {
        match self {
            Self::Credentials | Self::AccessToken => ("user", "import the account again"),
            Self::AttendeeKey => ("project", "add its key again with `syncctl attendee project add`"),
        }
    }
}

/// The keys of this process: the first one seals, all of them open.
#[derive(Clone)]
pub struct Vault {
    keys: Vec<(String, XChaCha20Poly1305)>,
    /// Why there is no key. Reported only when a key is needed, because many commands need none.
    missing: String,
    /// The key file, read again when a key is missing: a key may have been added while this process runs.
    file: Option<PathBuf>,
}

impl Vault {
    /// Parses keys from lines of `key-id base64(32 bytes)`. Ignores empty lines and `#` comments.
    ///
    /// # Errors
    /// Returns `Fault::settings` with the source and the line, never the key.
    pub fn parse(source: &str, lines: &str) -> Result<Self, Fault> {
        let mut keys: Vec<(String, XChaCha20Poly1305)> = Vec::new();
        for (number, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| {
                Fault::settings(format!("{source}, line {}: {what}; a key is written `key-id base64-of-32-bytes`", number + 1))
            };
            let (id, key) = line.split_once(char::is_whitespace).ok_or_else(|| wrong("no key id"))?;
            let key = BASE64.decode(key.trim().as_bytes()).map_err(|_| wrong("not base64"))?;
            let key: [u8; 32] = key.try_into().map_err(|_| wrong("the key is not 32 bytes long"))?;
            if id.len() > 64 || keys.iter().any(|(known, _)| known == id) {
                return Err(wrong("the key id is longer than 64 characters or is used twice"));
            }
            keys.push((id.to_owned(), XChaCha20Poly1305::new(&Key::from(key))));
        }
        if keys.is_empty() {
            return Err(Fault::settings(format!("{source} contains no key; add one with `syncctl accounts rekey --new-key`")));
        }
        Ok(Self { keys, missing: String::new(), file: None })
    }

    /// A vault without keys: every use fails with this reason.
    pub fn without_keys(why: impl Into<String>) -> Self {
        Self { keys: Vec::new(), missing: why.into(), file: None }
    }

    /// The id of the key that seals, and the key.
    fn writing(&self) -> Result<&(String, XChaCha20Poly1305), Fault> {
        self.keys.first().ok_or_else(|| Fault::settings(self.missing.clone()))
    }

    /// The id of the key that seals.
    ///
    /// # Errors
    /// Returns `Fault::settings` if there is no key.
    pub fn writing_key(&self) -> Result<&str, Fault> {
        Ok(&self.writing()?.0)
    }

    /// The ids of all keys.
    pub fn key_ids(&self) -> Vec<&str> {
        self.keys.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// The fault of a host whose keys open no credential: `count` accounts are sealed with the missing `key`.
    pub fn stale(&self, count: i64, key: &str) -> Fault {
        let location = self.file.as_ref().map_or_else(|| "seal.keys".into(), |file| format!("seal.key_file {}", file.display()));
        let accounts = if count == 1 { "1 account is".into() } else { format!("{count} accounts are") };
        Fault::settings(format!(
            "the seal keys of this host are stale: {accounts} sealed with key {key:?}, which is not in {location}; copy the file from a host that \
             syncs, or import the accounts again if no host has that key. Nothing was polled, and no account was postponed"
        ))
    }

    /// Whether a key has this id.
    pub fn knows(&self, id: &str) -> bool {
        self.cipher(id).is_some()
    }

    fn cipher(&self, id: &str) -> Option<&XChaCha20Poly1305> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, cipher)| cipher)
    }

    /// Reads the key file again.
    fn read_again(&self) -> Option<Self> {
        let file = self.file.as_deref()?;
        Self::parse(&file.display().to_string(), &trusted::read_keys(file).ok()?).ok()
    }

    /// Seals `secret` for this owner (a user, or a project at Attendee) and column.
    ///
    /// # Errors
    /// Returns an error if there is no key, or if the secret is too long for the cipher (over 256 GiB).
    pub fn seal(&self, owner: Uuid, column: Column, secret: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (id, cipher) = self.writing()?;
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let bound = bound_to(owner, column);
        let sealed = cipher
            .encrypt(&nonce, Payload { msg: secret, aad: bound.as_bytes() })
            .map_err(|_| anyhow::anyhow!("sealing {} for {} {owner}", column.name(), column.owner().0))?;
        let mut blob = vec![FORMAT, u8::try_from(id.len()).context("key id too long")?];
        blob.extend_from_slice(id.as_bytes());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        Ok(blob)
    }

    /// Opens a value sealed for the same owner and column.
    ///
    /// # Errors
    /// Returns an error with the owner and the problem: truncated, sealed with an unknown key, or not sealed for this owner and column.
    pub fn open(&self, owner: Uuid, column: Column, blob: &[u8]) -> anyhow::Result<SecretString> {
        self.writing()?;
        let (whose, remedy) = column.owner();
        let location = format!("{} of {whose} {owner}", column.name());
        let (id, rest) =
            key_id(blob).with_context(|| format!("{location}: the sealed value is truncated or has another format; {remedy}"))?;
        let reread = if self.knows(id) { None } else { self.read_again() };
        let cipher = reread.as_ref().unwrap_or(self).cipher(id).ok_or_else(|| {
            Fault::settings(format!(
                "{location}: sealed with key {id:?}, which is not among the seal keys; add its line to the key file"
            ))
        })?;
        if rest.len() < NONCE {
            anyhow::bail!("{location}: the sealed value is truncated; {remedy}");
        }
        let (nonce, sealed) = rest.split_at(NONCE);
        let bound = bound_to(owner, column);
        let opened = cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: bound.as_bytes() }).map_err(|_| {
            anyhow::anyhow!(
                "{location}: the sealed value was changed, truncated, or belongs to another {whose} or column; {remedy}"
            )
        })?;
        let text = String::from_utf8(opened).map_err(|_| anyhow::anyhow!("{location}: not text"))?;
        Ok(SecretString::from(text))
    }
}

/// The id of the key that sealed a blob, and the rest of the blob.
pub fn key_id(blob: &[u8]) -> Option<(&str, &[u8])> {
    let (head, rest) = blob.split_at_checked(2)?;
    if head[0] != FORMAT {
        return None;
    }
    let (id, rest) = rest.split_at_checked(head[1].into())?;
    Some((std::str::from_utf8(id).ok()?, rest))
}

fn bound_to(owner: Uuid, column: Column) -> String {
    format!("syncctl:{}:{owner}", column.name())
}

/// Generates a key, as a line for the key file.
pub fn new_key_line() -> String {
    let key = XChaCha20Poly1305::generate_key(&mut OsRng);
    let mut id = chrono::Utc::now().format("k%Y%m%d").to_string();
    let suffix = Uuid::new_v4().simple().to_string();
    let _ = write!(id, "-{}", &suffix[..6]);
    format!("{id} {}\n", BASE64.encode(&key))
}

/// Opens the configured vault. With `make` (for the private cluster), creates a missing key file. Missing or unreadable keys are not an error yet: using
/// the vault then fails with the remedy.
///
/// # Errors
/// Returns `Fault::settings` if the keys are malformed or the key file cannot be created.
pub fn open_vault(keys: &SecretString, file: &Path, make: bool) -> anyhow::Result<Vault> {
    if !keys.expose_secret().is_empty() {
        return Ok(Vault::parse("seal.keys", keys.expose_secret())?);
    }
    if file.as_os_str().is_empty() {
        return Ok(Vault::without_keys(
            "no seal key: set seal.key_file (SYNCCTL_SEAL_KEY_FILE), or seal.keys as a credential; create a file with `syncctl accounts rekey --new-key`",
        ));
    }
    if make && !file.exists() {
        file::make(file)?;
    }
    match trusted::read_keys(file) {
        Ok(lines) => Ok(Vault { file: Some(file.to_owned()), ..Vault::parse(&file.display().to_string(), &lines)? }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vault::without_keys(format!(
            "seal.key_file {} does not exist; copy it from the host that created it, or create the first one with `syncctl accounts rekey --new-key`",
            file.display()
        ))),
        Err(error) => Ok(Vault::without_keys(format!("seal.key_file {} cannot be used: {error}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::parse("test", &new_key_line()).expect("a key line that was just made")
    }

    #[test]
    fn sealed_values_open_only_for_the_same_user_and_column() {
        let vault = vault();
        let (user, other) = (Uuid::new_v4(), Uuid::new_v4());
        let blob = vault.seal(user, Column::Credentials, b"secret").expect("sealing");
        let opened = vault.open(user, Column::Credentials, &blob).expect("opening");
        assert_eq!(opened.expose_secret(), "secret");
        for wrong in [
            vault.open(other, Column::Credentials, &blob),
            vault.open(user, Column::AccessToken, &blob),
            vault.open(user, Column::Credentials, &blob[..blob.len() - 1]),
            vault.open(user, Column::Credentials, &[]),
        ] {
            let error = wrong.expect_err("opened what was not sealed for it");
            assert!(error.to_string().contains("of user"), "{error:#}");
        }
    }

    #[test]
    fn a_running_process_opens_values_sealed_with_a_new_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("seal.keys");
        let open = || open_vault(&SecretString::default(), &file, true).expect("a vault");
        let running = open();
        add_key(&file).expect("a new key");
        let user = Uuid::new_v4();
        let sealed = open().seal(user, Column::Credentials, b"secret").expect("sealing");
        assert_eq!(running.open(user, Column::Credentials, &sealed).expect("opening").expose_secret(), "secret");
    }

    #[test]
    fn older_keys_still_open_and_a_missing_key_is_named() {
        let (old, new) = (new_key_line(), new_key_line());
        let user = Uuid::new_v4();
        let blob = Vault::parse("old", &old)
            .map(|vault| vault.seal(user, Column::Credentials, b"x").expect("sealing"))
            .expect("parsing");
        let both = Vault::parse("both", &format!("{new}{old}")).expect("parsing");
        assert!(both.open(user, Column::Credentials, &blob).is_ok());
        let without = Vault::parse("new", &new).expect("parsing");
        let error = without.open(user, Column::Credentials, &blob).expect_err("no key");
        assert!(error.to_string().contains("not among the seal keys"), "{error:#}");
    }
}
